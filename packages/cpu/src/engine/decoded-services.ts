import { Instruction } from '@nest86/decoder';
import type { Service } from '../system/unit.ts';

/** An instruction that TypeScript executes, as it was decoded. */
export class DecodedService {
  /** Record that it belongs to; 0: none. */
  record = 0;
  readonly instruction: Instruction = new Instruction();
  /** It is one of the processor's instructions. */
  isValid = false;
  /** Null: generated code executes it where it may be executed at all. */
  service: Service | null = null;
}

/** A power of two. */
const entries = 1024;

/**
 * Instructions that TypeScript executed lately, by their record: decoding one and finding its service costs more than most services. Records
 * are reused only after all have gone; what is here goes with them.
 */
export class DecodedServices {
  private readonly known: (DecodedService | undefined)[] = new Array(entries).fill(undefined);

  /** What was decoded for a record, or undefined. */
  find(rec: number): DecodedService | undefined {
    const entry = this.known[(rec >>> 4) & (entries - 1)];
    return entry?.record === rec ? entry : undefined;
  }

  /** The entry to decode a record's instruction into; who fills it sets `record`. */
  take(rec: number): DecodedService {
    const at = (rec >>> 4) & (entries - 1);
    const entry = (this.known[at] ??= new DecodedService());
    entry.record = 0;
    return entry;
  }

  clear(): void {
    for (const entry of this.known) if (entry !== undefined) entry.record = 0;
  }
}
