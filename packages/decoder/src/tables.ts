import * as generated from './generated/decode-tables.ts';
import { unpack, unpackDeltas } from './unpack.ts';

// The generated text unpacked into typed arrays, once, when the module is loaded; the decision trees space by space, when one is first asked for.
// Loops stand in functions: one at the top of a module makes an engine compile the whole module for it (measured in a bundle: 10 ms).

/**
 * Decision trees: an axis, then a reference for each of its values: an offset into this array, or the complement of an encoding. The
 * packed form is explained in scripts/table/tree.ts.
 */
export const nodes: Int32Array = new Int32Array(generated.nodeCount);
/** Tree of each (space << 12 | map << 8 | opcode); no tree, or {@link unpackSpace} not called: -1, the complement of encoding 0. */
export const roots: Int32Array = new Int32Array(generated.spaces.length << 12).fill(-1);
const axisSizes = Uint8Array.from(generated.axisSizes.split(' '), Number);
let unpackedSpaces = 0;

/** Makes the trees of an encoding space ready. Answers false if they were. */
export function unpackSpace(space: number): boolean {
  if ((unpackedSpaces >> space) & 1) return false;
  unpackedSpaces |= 1 << space;
  const { keys, trees, start, nodes: packed } = generated.spaces[space];
  const treeOf = unpack(trees);
  unpackDeltas(keys).forEach((key, i) => {
    roots[key] = treeOf[i];
  });
  unpackNodes(unpack(packed), start);
  return true;
}

function unpackNodes(packed: Int32Array, start: number): void {
  let lastEncoding = 0;
  let at = start;
  for (let next = 0; next < packed.length; ) {
    const node = at;
    const axis = packed[next++];
    nodes[at++] = axis;
    const end = at + axisSizes[axis];
    while (at < end) {
      const code = packed[next++];
      if (code === 0) nodes[at] = nodes[at - 1];
      else if (code === 1) nodes[at] = ~0;
      else if ((code & 1) !== 0) nodes[at] = node - (code >> 1);
      else {
        const zigzag = (code - 2) >> 1;
        lastEncoding += (zigzag & 1) !== 0 ? -((zigzag + 1) >> 1) : zigzag >> 1;
        nodes[at] = ~lastEncoding;
      }
      at++;
    }
  }
}

unpackSpace(0);

/** {@link Leaf} bits by encoding. */
export const leaves: Int32Array = unpack(generated.leaves);
/** {@link Check} bits by encoding. */
export const checks: Int32Array = unpack(generated.checks);
export const mnemonicOf: Uint16Array = new Uint16Array(unpack(generated.mnemonicOf));

/** Runs of `count, spec, spec …`. */
export const operandLists: Uint16Array = new Uint16Array(unpack(generated.operandLists));
/** Start of an encoding's run. */
export const operandListOf: Uint16Array = new Uint16Array(unpack(generated.operandListOf));
export const operandSpecs: Int32Array = unpack(generated.operandSpecs);
/** Register of a spec whose place is `fixed`. */
export const operandFixed: Uint16Array = new Uint16Array(unpack(generated.operandFixed));
/** {@link operandLists} with the specs themselves in place of their rows: one load less where operands are read. */
export const operandWords: Int32Array = joinOperands(operandLists, operandSpecs);

function joinOperands(lists: Uint16Array, specs: Int32Array): Int32Array {
  const words = new Int32Array(lists.length);
  for (let i = 0; i < lists.length; ) {
    const end = i + lists[i];
    words[i] = lists[i];
    while (i++ < end) words[i] = specs[lists[i]];
  }
  return words;
}

export const memoryTypeSizes: Uint16Array = new Uint16Array(unpack(generated.memoryTypeSizes));
