import type { VmxCapabilities } from '../capabilities/capabilities.ts';
import { Primary } from '../capabilities/controls.ts';
import { Cell } from '../vmcs/fields.ts';
import { Vmcs } from '../vmcs/vmcs.ts';

/** A rule of VM entry that a VMCS breaks. */
export interface Violation {
  /** Which group of checks: what comes of it depends on that. */
  readonly group: 'controls' | 'host' | 'guest';
  /** Section of the SDM, vol. 3. */
  readonly section: string;
  /** What should be. */
  readonly rule: string;
}

/** What of the processor the checks ask for. */
export interface EntryState {
  /** IA32_EFER.LMA of the host. */
  readonly isLongMode: boolean;
  /** A word of physical memory, for the link pointer's revision and the virtual TPR. */
  readPhysical(low: number, high: number): number;
}

/** The subject of the checks, and what they found. With `list` null only counts are kept, and nothing is allocated. */
export class EntryChecks {
  readonly vmcs: Vmcs = new Vmcs();
  /** Controls as they hold: the secondary ones are 0 if they are not activated. */
  pin = 0;
  primary = 0;
  secondary = 0;
  exit = 0;
  entry = 0;
  list: Violation[] | null = null;
  /** Rules broken in the present group. */
  count = 0;
  /** Qualification of a failed entry, for the first rule that was broken (SDM vol. 3, 27.8). */
  qualification = 0;
  private group: Violation['group'] = 'controls';

  constructor(
    readonly capabilities: VmxCapabilities,
    readonly state: EntryState,
  ) {}

  /** Reads the controls anew. */
  load(): void {
    const { vmcs } = this;
    this.pin = vmcs.low(Cell.pinControls);
    this.primary = vmcs.low(Cell.primaryControls);
    this.secondary = (this.primary & Primary.secondary) !== 0 ? vmcs.low(Cell.secondaryControls) : 0;
    this.exit = vmcs.low(Cell.exitControls);
    this.entry = vmcs.low(Cell.entryControls);
  }

  begin(group: Violation['group']): void {
    this.group = group;
    this.count = 0;
    this.qualification = 0;
  }

  expect(isRight: boolean, section: string, rule: string): void {
    if (isRight) return;
    this.count++;
    this.list?.push({ group: this.group, section, rule });
  }

  /** As `expect`, for rules whose violation has a qualification of its own. */
  expectElse(isRight: boolean, qualification: number, section: string, rule: string): void {
    if (!isRight && this.count === 0) this.qualification = qualification;
    this.expect(isRight, section, rule);
  }

  // Words.

  isPage(cell: number): boolean {
    const { vmcs, capabilities } = this;
    return (vmcs.low(cell) & 0xfff) === 0 && capabilities.isPhysical(vmcs.high(cell));
  }

  isPhysical(cell: number): boolean {
    return this.capabilities.isPhysical(this.vmcs.high(cell));
  }

  isCanonical(cell: number): boolean {
    return this.capabilities.isCanonical(this.vmcs.high(cell));
  }
}
