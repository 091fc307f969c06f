import type { VcpuState } from '../state/vcpu-state.ts';

/** What DR0 to DR3 watch (SDM vol. 3, 18.2.4), as DR7 has it: R/W fields. */
const Kind = { execute: 0, write: 1, io: 2, access: 3 } as const;
/** LEN fields: 1, 2, 8 and 4 bytes. */
const lengths = [1, 2, 8, 4] as const;

/** The breakpoints of DR7 that are enabled, looked at without regard to which instruction asks. */
export class Breakpoints {
  /** Some of any kind; some on data. */
  isArmed = false;
  watchesData = false;
  /** Bits of DR6 that data accesses of the present instruction have met. */
  met = 0;

  constructor(private readonly state: VcpuState) {}

  /** Takes over DR7. */
  update(): void {
    const control = this.state.low('debug', 7);
    this.isArmed = (control & 0xff) !== 0;
    this.watchesData = false;
    for (let i = 0; i < 4; i++)
      if (isEnabled(control, i) && kindOf(control, i) !== Kind.execute) this.watchesData = true;
  }

  /** Bits of DR6 for the instruction at a linear address. */
  atInstruction(low: number, high: number): number {
    const { state } = this;
    const control = state.low('debug', 7);
    let bits = 0;
    for (let i = 0; i < 4; i++) {
      if (!isEnabled(control, i) || kindOf(control, i) !== Kind.execute) continue;
      if (state.low('debug', i) === low && state.high('debug', i) === high) bits |= 1 << i;
    }
    return bits;
  }

  /** Notes what an access to data meets. */
  access(low: number, high: number, bytes: number, isWrite: boolean): void {
    const { state } = this;
    const control = state.low('debug', 7);
    for (let i = 0; i < 4; i++) {
      const kind = kindOf(control, i);
      if (!isEnabled(control, i) || (kind !== Kind.access && !(kind === Kind.write && isWrite))) continue;
      if (state.high('debug', i) !== high) continue;
      const length = lengths[(control >>> (18 + 4 * i)) & 3];
      // The low bits of the address that the length covers do not count.
      const start = (state.low('debug', i) & -length) >>> 0;
      const first = low >>> 0;
      if (first < start + length && first + bytes > start) this.met |= 1 << i;
    }
  }
}

function isEnabled(control: number, i: number): boolean {
  return ((control >>> (2 * i)) & 3) !== 0;
}

function kindOf(control: number, i: number): number {
  return (control >>> (16 + 4 * i)) & 3;
}
