import type { VcpuState } from '../state/vcpu-state.ts';

/** What DR0 to DR3 watch (SDM vol. 3, 18.2.4), as DR7 has it: R/W fields. */
const Kind = { execute: 0, write: 1, io: 2, access: 3 } as const;
/** LEN fields: 1, 2, 8 and 4 bytes. */
const lengths = [1, 2, 8, 4] as const;
/** BS of DR6. */
export const singleStep = 0x4000;

/** The breakpoints of DR7 that are enabled, looked at without regard to which instruction asks. */
export class Breakpoints {
  /** Some of any kind; some on data. */
  isArmed = false;
  watchesData = false;
  /**
   * While one instruction is executed alone, bits of DR6 that it ends with: breakpoints that its accesses have met, and BS if TF was set.
   * SYSCALL and SYSRET decide BS anew.
   */
  met = 0;
  /** Bits of the data breakpoints that a load of SS has met: they wait for the next instruction (SDM vol. 3, 6.8.3). */
  held = 0;

  constructor(private readonly state: VcpuState) {}

  /** Takes over DR7. */
  update(): void {
    const control = this.state.low('debug', 7);
    this.isArmed = (control & 0xff) !== 0;
    this.watchesData = false;
    for (let i = 0; i < 4; i++)
      if (isEnabled(control, i) && (kindOf(control, i) & Kind.write) !== 0) this.watchesData = true;
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

  /** Notes what an access to ports meets. CR4.DE must be set (SDM vol. 3, 18.2.4). */
  ports(port: number, bytes: number): void {
    const { state } = this;
    const control = state.low('debug', 7);
    for (let i = 0; i < 4; i++) {
      if (!isEnabled(control, i) || kindOf(control, i) !== Kind.io) continue;
      const length = lengths[(control >>> (18 + 4 * i)) & 3];
      const start = (state.low('debug', i) & -length) >>> 0;
      if (port < start + length && port + bytes > start) this.met |= 1 << i;
    }
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

/** Whether an instruction begins with REP or REPNE among its prefixes. */
export function isRepeated(bytes: Uint8Array, count: number): boolean {
  for (let i = 0; i < count; i++) {
    if ((bytes[i] & 0xfe) === 0xf2) return true;
    if (!prefixes.includes(bytes[i])) return false;
  }
  return false;
}

/** Legacy prefixes but F2 and F3. */
const prefixes = [0x66, 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0xf0];

function isEnabled(control: number, i: number): boolean {
  return ((control >>> (2 * i)) & 3) !== 0;
}

function kindOf(control: number, i: number): number {
  return (control >>> (16 + 4 * i)) & 3;
}
