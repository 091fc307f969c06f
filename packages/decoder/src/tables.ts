import * as generated from './generated/decode-tables.ts';
import { readVlq, readVlqDeltas } from './vlq.ts';

// The generated text unpacked into typed arrays, once, when the module is loaded. No number takes less than one character.
const unpack = (text: string): Int32Array => readVlq(text, new Int32Array(text.length)).slice();
const unpackDeltas = (text: string): Int32Array => readVlqDeltas(text, new Int32Array(text.length)).slice();

/**
 * Decision trees: an axis, then a reference for each of its values: an offset into this array, or the complement of an encoding. The
 * packed form is explained in scripts/table/tree.ts.
 */
export const nodes: Int32Array = unpackNodes(unpack(generated.nodes));

function unpackNodes(packed: Int32Array): Int32Array {
  const axisSizes = generated.axisSizes.split(' ').map(Number);
  const unpacked = new Int32Array(packed.length);
  let lastEncoding = 0;
  for (let at = 0; at < packed.length; ) {
    const axis = packed[at];
    unpacked[at] = axis;
    const end = at + axisSizes[axis];
    for (let i = at + 1; i <= end; i++) {
      const code = packed[i];
      if (code === 0) unpacked[i] = unpacked[i - 1];
      else if (code === 1) unpacked[i] = ~0;
      else if ((code & 1) !== 0) unpacked[i] = at - (code >> 1);
      else {
        const zigzag = (code - 2) >> 1;
        lastEncoding += (zigzag & 1) !== 0 ? -((zigzag + 1) >> 1) : zigzag >> 1;
        unpacked[i] = ~lastEncoding;
      }
    }
    at = end + 1;
  }
  return unpacked;
}

/** Tree of each (space << 12 | map << 8 | opcode); no tree: -1, the complement of encoding 0. */
export const roots: Int32Array = new Int32Array(4 << 12).fill(-1);
const rootKeys = unpackDeltas(generated.rootKeys);
const rootTrees = unpack(generated.rootTrees);
for (let i = 0; i < rootKeys.length; i++) roots[rootKeys[i]] = rootTrees[i];

/** {@link Leaf} bits by encoding. */
export const leaves: Int32Array = new Int32Array(generated.encodingCount);
/** {@link Check} bits by encoding. */
export const checks: Int32Array = new Int32Array(generated.encodingCount);
const leafRows = unpack(generated.leafRows);
const leafRowOf = unpack(generated.leafRowOf);
for (let encoding = 0, row = 0; encoding < leaves.length; encoding++) {
  if (leafRowOf[encoding] !== 0) row = leafRowOf[encoding] - 1;
  leaves[encoding] = leafRows[2 * row];
  checks[encoding] = leafRows[2 * row + 1];
}
export const mnemonicOf: Uint16Array = new Uint16Array(unpackDeltas(generated.mnemonicOf));

/** Runs of `count, spec, spec …`. */
export const operandLists: Uint16Array = new Uint16Array(unpack(generated.operandLists));
/** Start of an encoding's run. */
export const operandListOf: Uint16Array = new Uint16Array(unpackDeltas(generated.operandListOf));
export const operandSpecs: Int32Array = unpack(generated.operandSpecs);
/** Register of a spec whose place is `fixed`. */
export const operandFixed: Uint16Array = new Uint16Array(unpack(generated.operandFixed));
/** {@link operandLists} with the specs themselves in place of their rows: one load less where operands are read. */
export const operandWords: Int32Array = new Int32Array(operandLists.length);
for (let i = 0; i < operandLists.length; ) {
  const end = i + operandLists[i];
  operandWords[i] = operandLists[i];
  while (i++ < end) operandWords[i] = operandSpecs[operandLists[i]];
}
export const memoryTypeSizes: Uint16Array = new Uint16Array(unpack(generated.memoryTypeSizes));
