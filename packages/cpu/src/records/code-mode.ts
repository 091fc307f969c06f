import { DecoderOptions } from '@nest86/decoder';
import type { ModeShape } from '../interpreter/shape.ts';

/** What of the processor's state decides how code bytes become records; part of the code cache's key (engine-decision D). */
export interface CodeModeInit extends ModeShape {
  /** Highest offset that may be fetched, unsigned; 0xffffffff where it does not matter. */
  readonly codeLimit: number;
  /** Base of CS, unsigned; 0 in 64-bit code. Branches wrap by the offset, not by the linear address. */
  readonly codeBase: number;
  /** x87 and MMX instructions raise #NM or #UD (CR0.TS, CR0.EM); so do SSE (CR4.OSFXSR); AVX (CR4.OSXSAVE, XCR0). */
  readonly hasX87: boolean;
  readonly hasSse: boolean;
  readonly hasAvx: boolean;
}

/** A code mode with its number. Equal modes are one object. */
export interface CodeMode extends CodeModeInit {
  readonly id: number;
  readonly options: DecoderOptions;
}

/** Interns code modes. */
export class CodeModes {
  private readonly known = new Map<string, CodeMode>();

  constructor(private readonly vendor: 'intel' | 'amd') {}

  of(init: CodeModeInit): CodeMode {
    const name = `${init.bits} ${init.stackAddressBits} ${init.isFlat} ${init.linearBits} ${init.checksAlignment} ${init.codeLimit} ${init.codeBase} ${init.hasX87} ${init.hasSse} ${init.hasAvx}`;
    let mode = this.known.get(name);
    if (mode === undefined) {
      const options = new DecoderOptions({ mode: init.bits, vendor: this.vendor, disable: ['apx', 'mpx'] });
      mode = { ...init, id: this.known.size, options };
      this.known.set(name, mode);
    }
    return mode;
  }
}
