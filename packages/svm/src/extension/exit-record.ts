import { vmcbOffset } from '../vmcb/layout.ts';
import type { Vmcb } from '../vmcb/vmcb.ts';

const at = vmcbOffset;

/** What an exit will say, from the moment its cause is found until the guest is left. One object, filled anew. */
export class ExitRecord {
  /** Low half of EXITCODE; codes below 0 have all ones above. */
  code = 0;
  info1Low = 0;
  info1High = 0;
  info2Low = 0;
  info2High = 0;
  /** nRIP, 0 for what is no instruction. */
  nextLow = 0;
  nextHigh = 0;
  /** The bytes of the instruction go along: page faults. */
  takesBytes = false;
  /** For DR6, which shows the cause of an intercepted #DB. */
  debugBits = 0;

  /** Begins a record of a cause that is no instruction. */
  set(code: number): this {
    this.code = code;
    this.info1Low = 0;
    this.info1High = 0;
    this.info2Low = 0;
    this.info2High = 0;
    this.nextLow = 0;
    this.nextHigh = 0;
    this.takesBytes = false;
    this.debugBits = 0;
    return this;
  }

  /** Of an instruction: with the RIP behind it. */
  setInstruction(code: number, nextLow: number, nextHigh: number): this {
    this.set(code);
    this.nextLow = nextLow;
    this.nextHigh = nextHigh;
    return this;
  }

  /** @param hasDecodeAssists nRIP and, of page faults, bytes */
  store(vmcb: Vmcb, hasNextRip: boolean): void {
    vmcb.setPair(at.exitCode, this.code, this.code >> 31);
    vmcb.setPair(at.exitInfo1, this.info1Low, this.info1High);
    vmcb.setPair(at.exitInfo2, this.info2Low, this.info2High);
    if (hasNextRip) vmcb.setPair(at.nextRip, this.nextLow, this.nextHigh);
  }
}
