import * as generated from './generated/decode-tables.ts';
import { readVlq, readVlqDeltas } from './vlq.ts';

/*
 * The generated text unpacked into typed arrays, once, when the module is loaded. `scratch` is as long as the longest text: no
 * number takes less than one character.
 */
const scratch = new Int32Array(generated.nodes.length);
const unpack = (text: string): Int32Array => readVlq(text, scratch).slice();
const unpackDeltas = (text: string): Int32Array => readVlqDeltas(text, scratch).slice();

/** Decision trees; see scripts/table/tree.ts. */
export const nodes: Int32Array = unpack(generated.nodes);

/** Tree of each (space << 12 | map << 8 | opcode); no tree: -1, the complement of encoding 0. */
export const roots: Int32Array = new Int32Array(4 << 12).fill(-1);
const rootKeys = unpackDeltas(generated.rootKeys);
const rootTrees = unpack(generated.rootTrees);
for (let i = 0; i < rootKeys.length; i++) roots[rootKeys[i]] = rootTrees[i];

/** {@link Leaf} bits by encoding. */
export const leaves: Int32Array = unpack(generated.leaves);
/** {@link Check} bits by encoding. */
export const checks: Int32Array = unpack(generated.checks);
export const mnemonicOf: Uint16Array = new Uint16Array(unpackDeltas(generated.mnemonicOf));

/** Runs of `count, spec, spec …`. */
export const operandLists: Uint16Array = new Uint16Array(unpack(generated.operandLists));
/** Start of an encoding's run. */
export const operandListOf: Uint16Array = new Uint16Array(unpackDeltas(generated.operandListOf));
export const operandSpecs: Int32Array = unpack(generated.operandSpecs);
/** Register of a spec whose place is `fixed`. */
export const operandFixed: Uint16Array = new Uint16Array(unpack(generated.operandFixed));
export const memoryTypeSizes: Uint16Array = new Uint16Array(unpack(generated.memoryTypeSizes));
