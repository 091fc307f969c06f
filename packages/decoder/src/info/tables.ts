import * as generated from '../generated/info-tables.ts';
import { unpack } from '../unpack.ts';

// The generated text unpacked into typed arrays, once, when the module is loaded.

/** Rows of {@link flagColumns}: masks of flags read, written by result, cleared, set, undefined. */
export const flagMasks: Int32Array = unpack(generated.flagMasks);
export const flagColumns = 5;
export const flagsOf: Uint16Array = new Uint16Array(unpack(generated.flagsOf));

/** Rows of {@link attributeColumns}; the columns are `Column`. */
const attributes: Int32Array = unpack(generated.attributes);
const attributeColumns = 6;
const attributesOf: Uint16Array = new Uint16Array(unpack(generated.attributesOf));
export const Column = {
  traits: 0,
  kinds: 1,
  treatment: 2,
  count: 3,
  stackBytes: 4,
  exceptionClass: 5,
} as const;

/** Runs of `count, operation …`; and where an encoding's run starts. */
export const programs: Int32Array = unpack(generated.programs);
export const programOf: Uint16Array = new Uint16Array(unpack(generated.programOf));

/** By access code of an operand; see `operandAccess` in scripts/table/implicit.ts. */
export const operandAccess: Int32Array = unpack(generated.operandAccess);
/** Bytes of a memory type, 0 where they vary. */
export const memorySizes: Uint16Array = new Uint16Array(unpack(generated.memorySizes));
/** Pairs of kind and bits of an element, by memory type. */
export const memoryElements: Uint16Array = new Uint16Array(unpack(generated.memoryElements));

export const featureLists: Uint16Array = new Uint16Array(unpack(generated.featureLists));
export const featuresOf: Uint16Array = new Uint16Array(unpack(generated.featuresOf));

/** A column of an encoding's attribute row. */
export function attribute(encoding: number, column: number): number {
  return attributes[attributesOf[encoding] * attributeColumns + column];
}
