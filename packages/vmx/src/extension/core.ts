import { EventSource, GuestControls, type VirtualizationUnit } from '@nest86/cpu/virtualization';
import { type Ept, PagingContext, type PhysicalMemory } from '@nest86/mmu';
import type { VmxCapabilities } from '../capabilities/capabilities.ts';
import { EntryChecks } from '../checks/findings.ts';
import { regionBytes } from '../vmcs/fields.ts';
import type { Vmcs } from '../vmcs/vmcs.ts';
import { ExitRecord } from './exit-record.ts';
import { Intercept } from './port.ts';
import { PreemptionTimer } from './preemption-timer.ts';

/** No VMCS: pointers are pages here, as Numbers. */
export const noPointer = -1;

/** Page of a physical address. */
export function pageOf(low: number, high: number): number {
  return (high >>> 0) * 0x10_0000 + (low >>> 12);
}

/** What the parts of the extension share: pointers, the current VMCS, contexts, the exit that is under way. */
export class VmxCore {
  unit!: VirtualizationUnit;
  readonly controls: GuestControls = new GuestControls();
  /** The processor's own registers, and the guest's. */
  host!: PagingContext;
  readonly guest: PagingContext = new PagingContext();
  readonly ept: Ept;
  readonly checks: EntryChecks;
  /** The current VMCS, after `select`. */
  readonly vmcs: Vmcs;
  readonly record: ExitRecord = new ExitRecord();
  readonly timer: PreemptionTimer;
  /** In VMX operation. */
  isOn = false;
  vmxonPage: number = noPointer;
  currentPage: number = noPointer;
  /** PCID that the guest's context is tagged with, and the host's. */
  guestPcid = 0;
  hostPcid = 0;
  /** Counts of entries, and of exits by their basic reasons. */
  entries = 0;
  readonly exits: Float64Array = new Float64Array(80);
  /** What regions are read from that are not in RAM. */
  private readonly nowhere = new Int32Array(regionBytes / 4);

  constructor(readonly capabilities: VmxCapabilities) {
    const core = this;
    this.checks = new EntryChecks(capabilities, {
      get isLongMode() {
        return (core.unit.context.efer & eferLma) !== 0;
      },
      readPhysical: (low, high) => core.physical.read(pageOf(low, high), low & 0xffc, 4),
    });
    this.vmcs = this.checks.vmcs;
    this.timer = new PreemptionTimer(this.controls);
    this.ept = {
      kind: 'ept',
      rootPage: 0,
      levels: 4,
      accessedDirty: false,
      shadowStacks: false,
      modeBasedExecute: false,
      executeOnly: true,
      pages1G: true,
      advancedInformation: true,
      tlbContext: -1,
      logDirty: null,
    };
  }

  get physical(): PhysicalMemory {
    return this.unit.mmu.memory;
  }

  /** Points `vmcs` to a region. @returns whether it is RAM */
  select(page: number): boolean {
    const { vmcs, physical } = this;
    const offset = page < 0 ? -1 : physical.writableOffsetOf(page);
    if (offset < 0) {
      vmcs.words = this.nowhere;
      vmcs.base = 0;
      return false;
    }
    vmcs.words = physical.words;
    vmcs.base = offset / 4;
    return true;
  }

  /** Tells whoever watches the selected region that it was written. */
  written(): void {
    const { vmcs, physical } = this;
    if (vmcs.words !== this.nowhere) physical.written(vmcs.base * 4, regionBytes);
  }

  /** Controls of VMX root operation: INIT waits, and bits of CR0 and CR4 are held. */
  holdRoot(): void {
    const { controls } = this;
    controls.clear();
    if (!this.isOn) return;
    controls.blocked = EventSource.init;
    controls.intercepts = Intercept.controlWrite;
  }

  /** As after RESET or INIT. */
  reset(): void {
    this.isOn = false;
    this.vmxonPage = noPointer;
    this.currentPage = noPointer;
    this.timer.stop();
    this.holdRoot();
  }
}

const eferLma = 0x400;
