/** A piece of the file that holds code, or was asked for by name. */
export interface ElfPart {
  /** Printable. */
  readonly name: string;
  /** Where in the file. */
  readonly offset: number;
  readonly size: number;
  /** Where in memory; in a relocatable file usually 0. */
  readonly address: bigint;
}
