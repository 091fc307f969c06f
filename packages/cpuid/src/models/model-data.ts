import type { LeafRow } from '../features.ts';

/** A processor as data: what the real one answers, whether or not it can be had here. */
export interface CpuModelData {
  readonly name: string;
  /** One line for a list. */
  readonly description: string;
  readonly vendor: 'intel' | 'amd';
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  readonly brand: string;
  readonly physicalBits: number;
  readonly features: readonly string[];
  readonly leaves: readonly LeafRow[];
  readonly highestBasic: number;
  readonly highestExtended: number;
  readonly coresPerL3?: number;
  readonly microcode: number;
  readonly archCapabilities?: readonly [low: number, high: number];
}
