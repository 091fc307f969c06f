import { ExitReason } from '../records/layout.ts';

/** What an engine has done since it was made. */
export interface EngineStatistics {
  /** Blocks of guest code that were decoded. */
  readonly translated: number;
  /** Blocks that were forgotten because their code was written to. */
  readonly invalidated: number;
  /** How often all blocks were forgotten, for lack of room. */
  readonly flushes: number;
  /** Regions that were compiled, and the size of their WebAssembly. */
  readonly regions: number;
  readonly regionBytes: number;
  /** Why regions could not be compiled. */
  readonly failures: readonly string[];
}

/** What a processor has done since it was made. */
export interface ProcessorStatistics {
  /** Instructions. */
  readonly retired: number;
  /** Memory accesses that the fast TLB could not answer. */
  readonly slowAccesses: number;
  /** Pages that were entered into the fast TLB since then, by its banks. */
  readonly tlbFills: readonly number[];
  /** How often generated code gave way to TypeScript, by reason. */
  readonly exits: Readonly<Record<keyof typeof ExitReason, number>>;
}

/** Numbers by `ExitReason`, with their names. */
export function namedExits(counts: ArrayLike<number>): ProcessorStatistics['exits'] {
  return Object.fromEntries(
    Object.entries(ExitReason).map(([name, reason]) => [name, counts[reason]]),
  ) as ProcessorStatistics['exits'];
}
