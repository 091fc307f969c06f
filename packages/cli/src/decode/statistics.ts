import { DecodeStatus, EncodingSpace, Instruction, maximumLength, Prefix } from '@nest86/decoder';
import { cpuidFeatures } from '@nest86/decoder/info';
import { mnemonic, mnemonicName } from '@nest86/decoder/mnemonic';

/** A name and how many instructions it has. */
export type Count = readonly [name: string, count: number];

const spaceNames = ['legacy', 'VEX', 'XOP', 'EVEX', 'REX2'] as const;
const rex2 = 4;

/** Counts instructions by several properties. */
export class Statistics {
  instructions = 0;
  /** Bytes of these instructions. */
  bytes = 0;
  invalidBytes = 0;

  /** By row of the decoder's table: names are looked up once at the end, and not a million times. */
  #byEncoding = new Uint32Array(1 << 14);
  readonly #byLength = new Uint32Array(maximumLength + 1);
  readonly #bySpace = new Uint32Array(spaceNames.length);

  count(instruction: Instruction): void {
    if (instruction.status !== DecodeStatus.ok) {
      this.invalidBytes++;
      return;
    }
    const { encoding, length, space } = instruction;
    this.instructions++;
    this.bytes += length;
    if (encoding >= this.#byEncoding.length) this.#grow(encoding);
    this.#byEncoding[encoding]++;
    this.#byLength[length]++;
    const isRex2 = space === EncodingSpace.legacy && (instruction.prefixes & Prefix.rex2) !== 0;
    this.#bySpace[isRex2 ? rex2 : space]++;
  }

  #grow(encoding: number): void {
    const larger = new Uint32Array(encoding * 2);
    larger.set(this.#byEncoding);
    this.#byEncoding = larger;
  }

  get averageLength(): number {
    return this.instructions === 0 ? 0 : this.bytes / this.instructions;
  }

  byMnemonic(): Count[] {
    const instruction = new Instruction();
    return this.#sum((encoding) => {
      instruction.encoding = encoding;
      return [mnemonicName(mnemonic(instruction))];
    });
  }

  /** An instruction that needs several features counts for each. */
  byFeature(): Count[] {
    return this.#sum(cpuidFeatures);
  }

  byLength(): Count[] {
    return Array.from(this.#byLength, (count, length): Count => [String(length), count]).filter(isSeen);
  }

  bySpace(): Count[] {
    return Array.from(this.#bySpace, (count, space): Count => [spaceNames[space], count]).filter(isSeen);
  }

  /** Sums by name, most frequent first. */
  #sum(namesOf: (encoding: number) => readonly string[]): Count[] {
    const sums = new Map<string, number>();
    this.#byEncoding.forEach((count, encoding) => {
      if (count > 0) for (const name of namesOf(encoding)) sums.set(name, (sums.get(name) ?? 0) + count);
    });
    return [...sums].sort(([nameA, a], [nameB, b]) => b - a || (nameA < nameB ? -1 : 1));
  }
}

const isSeen = ([, count]: Count): boolean => count > 0;
