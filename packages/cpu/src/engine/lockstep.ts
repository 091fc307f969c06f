import { DecoderOptions, decode, Instruction } from '@nest86/decoder';
import { formatIntel } from '@nest86/decoder/intel';
import { Segment, type StateField, stateOffset } from '../state/layout.ts';
import type { Processor } from './processor.ts';
import { visibleFields } from './state-hash.ts';

/** A processor and what runs with it: its devices, whoever answers its exceptions. */
export interface LockstepSide {
  readonly processor: Processor;
  /** Memory that must be equal on both sides; its length is a multiple of 4. */
  readonly memory: Uint8Array;
  /** Retires up to `count` more instructions, fewer if the guest stops for good. */
  run(count: number): void;
  /** Goes back to where the first `run` began; what follows must happen in the same way again. */
  restart(): void;
  /** Up to 15 bytes of code at RIP; for reports. */
  codeAt(rip: bigint): Uint8Array;
  /** Instructions of all its processors, where `processor` is one of several. Default: of `processor`. */
  readonly retired?: number;
  /** A line for each thing else that must be equal: exceptions that were seen, output. */
  readonly events: string;
}

/** One instruction of the way to a divergence, as the reference executed it. */
export interface LockstepStep {
  readonly rip: bigint;
  readonly bytes: Uint8Array;
  readonly codeBits: 16 | 32 | 64;
}

/** Where two processors parted. */
export interface Divergence {
  /**
   * Retired instructions after which a run still agreed, and after which it did not. A compiled block is executed as a whole or interpreted: the
   * wrong instruction is one of the last block before `to`.
   */
  readonly from: number;
  readonly to: number;
  /** What differs: `gpr 3: 1, not 2`, the reference's value last. */
  readonly differences: readonly string[];
  /** The last instructions up to `to`, the last one last. */
  readonly steps: readonly LockstepStep[];
  /** The run repeated from its start did not diverge, or the reference came elsewhere when single-stepped: then `steps` may be wrong. */
  readonly isRepeatable: boolean;
}

/** More than one block holds. */
const longestTrace = 80;
/** x87 pointers: programs see them in FSAVE's and FXSAVE's images. */
const pointerFields: readonly (readonly [field: StateField, bytes: number])[] = [
  ['x87Opcode', 4],
  ['x87InstructionPointer', 8],
  ['x87DataPointer', 8],
  ['x87InstructionSelector', 4],
  ['x87DataSelector', 4],
];
const comparedFields: typeof visibleFields = [...visibleFields, ...pointerFields];

/** Runs two processors side by side, one of them compiled and one interpreted, and looks at both after each slice. */
export class Lockstep {
  private readonly slices: number[] = [];

  constructor(
    readonly reference: LockstepSide,
    readonly candidate: LockstepSide,
  ) {}

  /** Forgets earlier slices: both sides are at a new start. */
  begin(): void {
    this.slices.length = 0;
  }

  /** Runs both for a slice; undefined if they agree behind it. */
  run(count: number): Divergence | undefined {
    const { reference, candidate, slices } = this;
    const before = retiredBy(reference);
    reference.run(count);
    candidate.run(count);
    slices.push(count);
    if (agree(reference, candidate)) return undefined;
    return this.find(before, retiredBy(reference) - before);
  }

  /** Bisects the last slice: the shortest last slice at whose end the two differ, with all slices before as they were. */
  private find(before: number, length: number): Divergence {
    const { reference, candidate, slices } = this;
    const count = slices.pop()!;
    const first = differences(reference, candidate);
    let low = 0;
    // Beyond what the reference retired, only a side that did not stop tells.
    let high = Math.min(count, length + 1);
    let isRepeatable = !this.replay(high);
    if (!isRepeatable) {
      high = count;
      isRepeatable = !this.replay(high);
    }
    while (isRepeatable && high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.replay(middle)) low = middle;
      else high = middle;
    }
    const agreed = isRepeatable && !this.replay(high);
    const found = agreed ? differences(reference, candidate) : first;
    const { steps, isSame } = this.trace(high);
    slices.push(count);
    return {
      from: before + low,
      to: before + high,
      differences: found,
      steps,
      isRepeatable: isRepeatable && isSame,
    };
  }

  /** Runs from the start, with a last slice of so many instructions; whether the two then agree. */
  private replay(last: number): boolean {
    for (const side of [this.reference, this.candidate]) {
      side.restart();
      for (const slice of this.slices) side.run(slice);
      if (last > 0) side.run(last);
    }
    return agree(this.reference, this.candidate);
  }

  /** The reference's last instructions, and whether it came to the same end when single-stepped. */
  private trace(last: number): { steps: LockstepStep[]; isSame: boolean } {
    const { reference } = this;
    const end = snapshot(reference);
    reference.restart();
    for (const slice of this.slices) reference.run(slice);
    const steps: LockstepStep[] = [];
    const unseen = Math.max(0, last - longestTrace);
    if (unseen > 0) reference.run(unseen);
    for (let i = unseen; i < last; i++) {
      const rip = reference.processor.state.getBig('rip');
      const before = retiredBy(reference);
      steps.push({ rip, bytes: reference.codeAt(rip).slice(), codeBits: codeBitsOf(reference) });
      reference.run(1);
      if (retiredBy(reference) === before) break;
    }
    return { steps, isSame: end === snapshot(reference) };
  }
}

/** Text of a divergence: differences, and the way there as Intel writes it. */
export function divergenceText(divergence: Divergence): string {
  const { from, to, differences: found, steps, isRepeatable } = divergence;
  const lines = [
    `agree after ${from} instructions, differ after ${to}:`,
    ...found.map((line) => `  ${line}`),
  ];
  if (!isRepeatable) lines.push('  (not the same when run again or single-stepped)');
  return [...lines, ...steps.map(stepText)].join('\n');
}

/** Address, bytes and text of an instruction. */
export function stepText({ rip, bytes, codeBits }: LockstepStep): string {
  const instruction = new Instruction();
  const padded = new Uint8Array(15);
  padded.set(bytes);
  decode(padded, 0, decoders[codeBits], instruction);
  const code = Array.from(padded.subarray(0, instruction.length), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join(' ');
  return `  ${rip.toString(16)}: ${code.padEnd(36)} ${formatIntel(instruction, rip)}`;
}

const decoders: Readonly<Record<16 | 32 | 64, DecoderOptions>> = {
  16: new DecoderOptions({ mode: 16 }),
  32: new DecoderOptions({ mode: 32 }),
  64: new DecoderOptions(),
};

/** From CS and EFER.LMA. */
function codeBitsOf({ processor }: LockstepSide): 16 | 32 | 64 {
  const attributes = processor.state.get('segmentAttributes', Segment.cs);
  if ((processor.context.efer & 0x400) !== 0 && (attributes & 0x2000) !== 0) return 64;
  return (attributes & 0x4000) !== 0 ? 32 : 16;
}

function retiredBy({ retired, processor }: LockstepSide): number {
  return retired ?? processor.retired;
}

function agree(a: LockstepSide, b: LockstepSide): boolean {
  if (retiredBy(a) !== retiredBy(b) || a.events !== b.events) return false;
  if (a.processor.problem !== b.processor.problem) return false;
  const wordsA = stateWords(a);
  const wordsB = stateWords(b);
  for (const [field, bytes] of comparedFields) {
    const start = stateOffset[field] >> 2;
    const end = start + (bytes >> 2);
    for (let i = start; i < end; i++) if (wordsA[i] !== wordsB[i]) return false;
  }
  if (a.processor.state.flags !== b.processor.state.flags) return false;
  if (contextText(a) !== contextText(b)) return false;
  return differentWord(a, b) < 0;
}

/** What differs, the candidate's value first. */
function differences(reference: LockstepSide, candidate: LockstepSide): string[] {
  const found: string[] = [];
  const note = (what: string, other: string | number, expected: string | number): void => {
    if (other !== expected) found.push(`${what}: ${other}, not ${expected}`);
  };
  note('retired', retiredBy(candidate), retiredBy(reference));
  note('problem', candidate.processor.problem, reference.processor.problem);
  const [events, wanted] = [candidate.events.split('\n'), reference.events.split('\n')];
  for (let i = 0; i < Math.max(events.length, wanted.length); i++)
    note('events', events[i] ?? 'nothing', wanted[i] ?? 'nothing');
  const words = stateWords(candidate);
  const expected = stateWords(reference);
  for (const [field, bytes] of comparedFields) {
    const size = bytes % 8 === 0 ? 8 : 4;
    for (let i = 0; i < bytes / size; i++) {
      const at = (stateOffset[field] + size * i) >> 2;
      note(`${field} ${i}`, wordText(words, at, size), wordText(expected, at, size));
    }
  }
  note('flags', candidate.processor.state.flags.toString(16), reference.processor.state.flags.toString(16));
  note('control registers', contextText(candidate), contextText(reference));
  const word = differentWord(reference, candidate);
  if (word >= 0)
    note(`memory from ${(4 * word).toString(16)}`, memoryText(candidate, word), memoryText(reference, word));
  return found;
}

/** Index of the first 32-bit word of memory that differs, or -1. */
function differentWord(a: LockstepSide, b: LockstepSide): number {
  const wordsA = new Int32Array(a.memory.buffer, a.memory.byteOffset, a.memory.length >> 2);
  const wordsB = new Int32Array(b.memory.buffer, b.memory.byteOffset, b.memory.length >> 2);
  for (let i = 0; i < wordsA.length; i++) if (wordsA[i] !== wordsB[i]) return i;
  return -1;
}

function stateWords({ processor }: LockstepSide): Int32Array {
  const { bytes } = processor.state;
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
}

function wordText(words: Int32Array, at: number, size: number): string {
  const low = (words[at] >>> 0).toString(16).padStart(8, '0');
  return size === 8 ? (words[at + 1] >>> 0).toString(16).padStart(8, '0') + low : low;
}

function memoryText({ memory }: LockstepSide, word: number): string {
  return Array.from(memory.subarray(4 * word, 4 * word + 16), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}

function contextText({ processor }: LockstepSide): string {
  const { cr0, cr3Low, cr3High, cr4, efer, pkru, pkrs } = processor.context;
  return [cr0, cr3Low, cr3High, cr4, efer, pkru, pkrs].map((value) => (value >>> 0).toString(16)).join(' ');
}

/** For comparing a side with itself. */
function snapshot(side: LockstepSide): string {
  const words = stateWords(side);
  const values: number[] = [];
  for (const [field, bytes] of comparedFields)
    for (let i = 0; i < bytes >> 2; i++) values.push(words[(stateOffset[field] >> 2) + i]);
  return `${retiredBy(side)} ${side.processor.state.flags} ${side.events} ${contextText(side)} ${values.join()}`;
}
