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
  private readonly known: CodeMode[] = [];

  constructor(private readonly vendor: 'intel' | 'amd') {}

  /** The mode with these values; there are few, and one is asked for at each change of privilege. */
  of(init: CodeModeInit): CodeMode {
    for (const mode of this.known) {
      if (
        mode.bits === init.bits &&
        mode.codeLimit === init.codeLimit &&
        mode.codeBase === init.codeBase &&
        mode.stackAddressBits === init.stackAddressBits &&
        mode.isFlat === init.isFlat &&
        mode.linearBits === init.linearBits &&
        mode.checksAlignment === init.checksAlignment &&
        mode.hasX87 === init.hasX87 &&
        mode.hasSse === init.hasSse &&
        mode.hasAvx === init.hasAvx
      )
        return mode;
    }
    const options = new DecoderOptions({ mode: init.bits, vendor: this.vendor, disable: ['apx', 'mpx'] });
    const mode = { ...init, id: this.known.length, options };
    this.known.push(mode);
    return mode;
  }
}
