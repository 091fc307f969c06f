import {
  type CodeSize,
  directionFlag,
  type HostState,
  scratchSize,
  stateAt,
  stateBytes,
  stateOf,
  statusFlags,
} from './host-state.ts';
import { writeExtended, writeInteger, writeVector } from './operands.ts';
import { type Random, randomNumbers } from './random.ts';

/*
 * States that cases start from, before the generator gives registers the values that an instruction wants. Stored vectors hold only what differs from
 * them: this file, operands.ts and random.ts are part of their format, and who changes what comes out of them must record the vectors anew (vectors.test.ts
 * says so).
 */

const vectorPoolSize = 1024;
/** Bytes of the scratch page that each case has for itself. */
export const patchSize = 64;

/** What the cases of one batch begin with: it depends on nothing but the batch's seed and the case's number. */
export class BaseStates {
  readonly page: Uint8Array;
  private readonly pool: Int32Array = new Int32Array(4 * vectorPoolSize);
  private random: Random;

  constructor(
    private readonly seed: number,
    private readonly mode: CodeSize,
  ) {
    // Not the numbers by which the generator chooses instructions.
    this.random = randomNumbers(~seed);
    for (let i = 0; i < vectorPoolSize; i++) writeVector(this.random, this.pool, 4 * i);
    const words = new Int32Array(scratchSize / 4);
    for (let i = 0; i < scratchSize / 16; i++) this.copyVector(words, 4 * i);
    this.page = new Uint8Array(words.buffer);
  }

  /** State and patch of a case. */
  make(index: number): { state: HostState; patch: Uint8Array } {
    this.random = randomNumbers(Math.imul(this.seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca77));
    const state = stateOf(new Uint8Array(stateBytes));
    this.fill(state);
    const patch = new Uint8Array(patchSize);
    const words = new Int32Array(patch.buffer);
    for (let i = 0; i < patchSize / 4; i += 4) this.copyVector(words, i);
    return { state, patch };
  }

  private copyVector(to: Int32Array, at: number): void {
    const from = 4 * (this.random() % vectorPoolSize);
    const { pool } = this;
    to[at] = pool[from];
    to[at + 1] = pool[from + 1];
    to[at + 2] = pool[from + 2];
    to[at + 3] = pool[from + 3];
  }

  private fill({ bytes, view }: HostState): void {
    const { random } = this;
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, stateBytes / 4);
    for (let number = 0; number < 16; number++) writeInteger(random, words, 2 * number);
    // 32-bit code sees eight registers and their lower halves.
    if (this.mode === 32) for (let i = 1; i < 32; i++) if ((i & 1) !== 0 || i >= 16) words[i] = 0;
    const choice = random();
    words[stateAt.rflags / 4] = (random() & statusFlags) | ((choice & 7) === 0 ? directionFlag : 0) | 0x202;
    words[stateAt.rflags / 4 + 1] = 0;
    for (let i = 0; i < 16; i++) this.copyVector(words, stateAt.xmm / 4 + 4 * i);
    for (let i = 0; i < 16; i++) this.copyVector(words, stateAt.upper / 4 + 4 * i);
    for (let i = 0; i < 8; i++) writeExtended(random, words, stateAt.st / 4 + 4 * i);
    // MXCSR: rounding, sticky flags; now and then FTZ, DAZ or unmasked exceptions.
    let mxcsr = 0x1f80 | (random() & 0x603f);
    if ((choice & 0x30) === 0) mxcsr |= random() & 0x8040;
    if ((choice & 0x40) === 0) mxcsr &= ~0x3f;
    if ((choice & 0xf00) === 0) mxcsr &= ~(random() & 0x1f80);
    view.setUint32(stateAt.mxcsr, mxcsr, true);
    let control = 0x37f | ((choice >>> 12) & 0xc00);
    if ((choice & 0x3000) === 0) control = (control & ~0x300) | ((choice >>> 16) & 0x300);
    if ((choice & 0x1c000) === 0) control &= ~(random() & 0x3f);
    view.setUint16(stateAt.x87Control, control, true);
    // Sticky flags, condition codes, TOP; ES and B as the flags and masks want it.
    let status = random() & 0x7f7f;
    if ((choice & 0x60000) !== 0) status &= ~0x7f;
    const isPending = (status & ~control & 0x3f) !== 0;
    view.setUint16(stateAt.x87Status, isPending ? status | 0x8080 : status & ~0x8080, true);
    bytes[stateAt.x87Tags] = (choice & 0x180000) === 0 ? random() : 0xff;
    view.setUint32(stateAt.mxcsr + 4, 0xffff, true);
  }
}
