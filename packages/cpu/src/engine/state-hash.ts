import { type StateField, stateOffset } from '../state/layout.ts';
import type { Processor } from './processor.ts';

/** Fields that programs can see and that have one form only; status flags have several and are hashed as RFLAGS. */
export const visibleFields: readonly (readonly [field: StateField, bytes: number])[] = [
  ['gpr', 128],
  ['segmentBase', 64],
  ['segmentSelector', 32],
  ['segmentLimit', 32],
  ['segmentAttributes', 32],
  ['tableBase', 16],
  ['tableLimit', 8],
  ['cpl', 4],
  ['mxcsr', 4],
  ['x87', 128],
  ['x87Control', 4],
  ['x87Status', 4],
  ['x87Tags', 4],
  ['xcr0', 8],
  ['vector', 2048],
  ['opmask', 64],
  ['cr2', 8],
  ['debug', 64],
  ['tscAux', 8],
  ['star', 8],
  ['lstar', 8],
  ['cstar', 8],
  ['sfmask', 8],
  ['kernelGsBase', 8],
  ['sysenterCs', 8],
  ['sysenterEsp', 8],
  ['sysenterEip', 8],
  ['pat', 8],
  ['rip', 8],
  ['activity', 4],
  ['interruptShadow', 4],
  ['nmiBlocked', 4],
];

/** 64-bit FNV-like hash of 32-bit words, in two halves that are mixed differently. */
class WordHash {
  private a = 0x811c9dc5 | 0;
  private b = 0x01234567;

  add(word: number): void {
    this.a = Math.imul(this.a ^ word, 0x01000193);
    this.b = Math.imul((this.b << 7) ^ (this.b >>> 25) ^ word, 0x85ebca6b | 0);
  }

  toString(): string {
    return (this.a >>> 0).toString(16).padStart(8, '0') + (this.b >>> 0).toString(16).padStart(8, '0');
  }
}

/** One text for all that a program can see of a processor: equal on every engine, Node version and browser. */
export function stateHash(processor: Processor): string {
  const hash = new WordHash();
  const { state, context } = processor;
  const words = new Int32Array(state.bytes.buffer, state.bytes.byteOffset, state.bytes.length >> 2);
  for (const [field, bytes] of visibleFields)
    for (let i = 0; i < bytes >> 2; i++) hash.add(words[(stateOffset[field] >> 2) + i]);
  hash.add(state.flags);
  const { cr0, cr3Low, cr3High, cr4, efer, pkru, pkrs } = context;
  for (const value of [cr0, cr3Low, cr3High, cr4, efer, pkru]) hash.add(value);
  // Only where it is in use, so that hashes of processors without it stay what they were.
  if (pkrs !== 0) hash.add(pkrs);
  return hash.toString();
}

/** The same for a range of memory. @param bytes length is a multiple of 4 and starts at one */
export function memoryHash(bytes: Uint8Array): string {
  const hash = new WordHash();
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  for (const word of words) hash.add(word);
  return hash.toString();
}
