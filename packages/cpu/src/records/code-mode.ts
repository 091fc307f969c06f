import { DecoderOptions } from '@nest86/decoder';
import type { ModeShape } from '../interpreter/shape.ts';
import type { CpuidSource } from '../system/unit.ts';
import { InstructionSet } from './instruction-set.ts';

/** What of the processor's state decides how code bytes become records; part of the code cache's key (engine-decision D). */
export interface CodeModeInit extends Omit<ModeShape, 'vendor'> {
  /** Highest offset that may be fetched, unsigned; 0xffffffff where it does not matter. */
  readonly codeLimit: number;
  /** Base of CS, unsigned; 0 in 64-bit code. Branches wrap by the offset, not by the linear address. */
  readonly codeBase: number;
  /** x87 and MMX instructions raise #NM or #UD (CR0.TS, CR0.EM); so do SSE (CR4.OSFXSR); AVX (CR4.OSXSAVE, XCR0). */
  readonly hasX87: boolean;
  readonly hasSse: boolean;
  readonly hasAvx: boolean;
  /** Bits of `Intercept`: instructions that generated code leaves to TypeScript since a guest's owner wants to see them. */
  readonly intercepts: number;
}

/** A code mode with its number. Equal modes are one object. */
export interface CodeMode extends CodeModeInit, ModeShape {
  readonly id: number;
  /** The same in modes that differ in limit and base only: their instructions have the same shapes. */
  readonly shapeId: number;
  readonly options: DecoderOptions;
  /** The same in all modes of an engine. */
  readonly instructions: InstructionSet;
}

/** Modes that are told apart from new ones. */
const mostModes = 256;

/** Interns code modes. */
export class CodeModes {
  private readonly known: CodeMode[] = [];
  private readonly shapeIds = new Map<string, number>();
  private count = 0;

  private readonly vendor: 'intel' | 'amd';
  private readonly instructions: InstructionSet;

  /** @param cpuid decides which instructions there are; left out: all that the engine knows */
  constructor(vendor: 'intel' | 'amd', cpuid?: CpuidSource) {
    this.vendor = vendor;
    this.instructions = new InstructionSet(cpuid);
  }

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
        mode.hasAvx === init.hasAvx &&
        mode.intercepts === init.intercepts
      )
        return mode;
    }
    const { vendor, instructions } = this;
    const options = new DecoderOptions({ mode: init.bits, vendor, disable: instructions.disabled });
    const mode = { ...init, vendor, id: this.count, shapeId: this.shapeIdOf(init), options, instructions };
    // Limits and bases are the guest's: one that is forgotten gets another number, and its code is translated anew.
    this.count++;
    if (this.known.length === mostModes) this.known.shift();
    this.known.push(mode);
    return mode;
  }

  private shapeIdOf(init: CodeModeInit): number {
    const name = Object.entries({ ...init, codeLimit: 0, codeBase: 0 })
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .join();
    const known = this.shapeIds.get(name);
    if (known !== undefined) return known;
    if (this.shapeIds.size === mostModes) this.shapeIds.clear();
    this.shapeIds.set(name, this.count);
    return this.count;
  }
}
