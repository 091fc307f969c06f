import type { CpuidSource } from '../system/unit.ts';

export interface EngineOptions {
  /** Bytes that the guest's RAM and ROM take in the engine's memory, a multiple of 64 KiB; about 4,000 MiB at most. */
  readonly ramSize: number;
  /** Whose processor this is, where they differ. Default `intel`. */
  readonly vendor?: 'intel' | 'amd';
  /** Decides which instructions there are: one that CPUID does not show raises #UD. Default: all that the engine knows. */
  readonly cpuid?: CpuidSource;
  /** Virtual processors that may be made, 1 to 64. Default 1. */
  readonly processors?: number;
  /** `jit` compiles what is hot, `interp` nothing. Default `jit`. */
  readonly accel?: 'jit' | 'interp';
  /** Executions after which a block is hot, 1 to 2³¹ − 2. Default 1,500. */
  readonly heat?: number;
  /** Bytes for decoded operations, 64 KiB to 1 GiB. Default 24 MiB. */
  readonly recordBytes?: number;
  /** Counts how often compiled blocks run and keeps the WebAssembly of regions, for `profileOf` and `regionText`. Default false: it costs a few per cent. */
  readonly observes?: boolean;
}

/** An option of the engine that is wrong; the message says what is allowed. */
export class EngineOptionError extends RangeError {
  override readonly name: string = 'EngineOptionError';
}

/** @throws EngineOptionError */
export function checkEngineOptions(options: EngineOptions): void {
  const { ramSize, vendor, processors, accel, heat, recordBytes } = options;
  whole('ramSize', ramSize, 0, 2 ** 32);
  if (ramSize % 65536 !== 0)
    throw new EngineOptionError(`ramSize ${ramSize}: a multiple of 65536 bytes is allowed`);
  whole('processors', processors, 1, 64);
  whole('heat', heat, 1, 0x7ffffffe);
  whole('recordBytes', recordBytes, 65536, 2 ** 30);
  oneOf('vendor', vendor, ['intel', 'amd']);
  oneOf('accel', accel, ['jit', 'interp']);
}

function whole(name: string, value: number | undefined, minimum: number, maximum: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= minimum && value <= maximum)) return;
  throw new EngineOptionError(`${name} ${value}: a whole number from ${minimum} to ${maximum} is allowed`);
}

function oneOf(name: string, value: string | undefined, allowed: readonly string[]): void {
  if (value === undefined || allowed.includes(value)) return;
  throw new EngineOptionError(`${name} ${value}: ${allowed.join(' or ')} is allowed`);
}
