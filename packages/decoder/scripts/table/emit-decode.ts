import { deltas, header, vlq } from './emit.ts';
import { mnemonicNames } from './emit-mnemonics.ts';
import { checkBits, leafBits } from './leaf.ts';
import { options, place, replacingOptions } from './opcode.ts';
import { MemoryTypes, memoryTypeSize, operandSpecs, packSpec } from './operands.ts';
import type { EncodingRecord } from './record.ts';
import { axisSizes, type Candidate, packNodes, rankOf, TreeBuilder } from './tree.ts';

const spaces = ['legacy', 'vex', 'xop', 'evex'];

/** Tables that decode.ts and operands.ts read. Encoding 0 is "none". */
export function decodeTables(records: readonly EncodingRecord[]): string {
  const types = new MemoryTypes();
  const mnemonics = mnemonicNames(records);
  const leaves = [0];
  const checks = [0];
  const specs: number[] = [];
  const fixedRegisters: number[] = [];
  const lists: number[] = [0];
  const listOf = [0];
  const knownLists = new Map([['', 0]]);
  const roots = new Map<number, Candidate[]>();
  const mnemonicOf = [0];

  records.forEach((record, i) => {
    const id = i + 1;
    const placement = place(record);
    leaves.push(leafBits(record, placement, types));
    checks.push(checkBits(record, placement, types));
    mnemonicOf.push(mnemonics.indexOf(record.mnemonic));
    const list = operandSpecs(record, types).map((spec) =>
      specRow(specs, fixedRegisters, packSpec(spec), spec.fixed),
    );
    const key = list.join();
    let offset = knownLists.get(key);
    if (offset === undefined) {
      offset = lists.length;
      lists.push(list.length, ...list);
      knownLists.set(key, offset);
    }
    listOf.push(offset);
    for (const opcode of placement.opcodes) {
      const root = rootIndex(spaces.indexOf(placement.space), placement.map, opcode);
      const candidates = roots.get(root) ?? [];
      roots.set(root, candidates);
      const reservedNop = record.attributes.has('reserved-nop');
      const where = `${record.where} ${record.opcode}`;
      for (const box of placement.boxes) candidates.push({ id, box, where, rank: rankOf(box, reservedNop) });
      const { fallback } = placement;
      if (fallback !== undefined)
        candidates.push({ id, box: fallback, where, rank: rankOf(fallback, reservedNop, true) });
    }
  });

  const tree = new TreeBuilder();
  for (const [root, candidates] of roots) {
    if (root >> 8 === 1) roots.set(root, replaceByOptions(candidates));
  }
  const rootReferences: number[] = [];
  for (const [root, candidates] of [...roots].sort((a, b) => a[0] - b[0])) {
    rootReferences.push(root, tree.build(candidates));
  }
  const rows = byFrequency(leaves.map((leaf, i) => [leaf, checks[i]]));
  const rootKeys = rootReferences.filter((_, i) => i % 2 === 0);
  const rootTrees = rootReferences.filter((_, i) => i % 2 === 1);

  return `${header}
/** Rows of the instruction table, row 0 ("none") included. */
export const encodingCount = ${records.length + 1};
/** Root index (space, map, opcode), as differences; and the tree of each. */
export const rootKeys = '${vlq(deltas(rootKeys))}';
export const rootTrees = '${vlq(rootTrees)}';
/** Tree nodes, packed by scripts/table/tree.ts. */
export const nodes = '${vlq(packNodes(tree.nodes))}';
export const axisSizes = '${axisSizes.join(' ')}';
/** Different pairs of Leaf and Check bits; and the row of each encoding, 0 for the same as the one before, else row + 1. */
export const leafRows = '${vlq(rows.values.flat())}';
export const leafRowOf = '${vlq(rows.rowOf.map((row, i) => (row === rows.rowOf[i - 1] ? 0 : row + 1)))}';
export const mnemonicOf = '${vlq(deltas(mnemonicOf))}';
export const operandLists = '${vlq(lists)}';
export const operandListOf = '${vlq(deltas(listOf))}';
export const operandSpecs = '${vlq(specs)}';
export const operandFixed = '${vlq(fixedRegisters)}';
export const memoryTypeNames = '${types.names.join(' ')}';
export const memoryTypeSizes = '${vlq(types.names.map(memoryTypeSize))}';
export const optionNames = '${options.join(' ')}';
`;
}

/** The different values, the most frequent first, so that most row numbers take one character; and the row of each. */
function byFrequency(all: readonly number[][]): { values: number[][]; rowOf: number[] } {
  const counts = new Map<string, number>();
  for (const one of all) counts.set(one.join(), (counts.get(one.join()) ?? 0) + 1);
  const keys = [...counts.keys()].sort((a, b) => counts.get(b)! - counts.get(a)! || (a < b ? -1 : 1));
  const rows = new Map(keys.map((key, row) => [key, row]));
  return {
    values: keys.map((key) => key.split(',').map(Number)),
    rowOf: all.map((one) => rows.get(one.join())!),
  };
}

/** Where a replacing option has an encoding in the 0F map, all others of that opcode and mode are only there without the option. */
function replaceByOptions(candidates: readonly Candidate[]): Candidate[] {
  let result = [...candidates];
  for (const option of replacingOptions) {
    // JMPE replaces B8, but stands beside the others in group 6.
    const replacing = candidates.filter(
      ({ box }) => box[option] === 2 && (option !== 'jmpe' || box.reg === undefined),
    );
    const sizes = replacing.reduce((found, { box }) => found | box.size, 0);
    if (sizes === 0) continue;
    result = result.flatMap((candidate) => {
      const { box } = candidate;
      if (replacingOptions.some((name) => box[name] === 2)) return [candidate];
      return [
        { ...candidate, box: { ...box, size: box.size & sizes, [option]: 1 } },
        { ...candidate, box: { ...box, size: box.size & ~sizes } },
      ].filter((one) => one.box.size !== 0);
    });
  }
  return result;
}

/** Position in the decoder's root array: 16 maps per space, 256 opcodes per map. */
function rootIndex(space: number, map: number, opcode: number): number {
  return (space << 12) | (map << 8) | opcode;
}

function specRow(specs: number[], fixed: number[], packed: number, register: number): number {
  for (let row = 0; row < specs.length; row++) {
    if (specs[row] === packed && fixed[row] === register) return row;
  }
  fixed.push(register);
  return specs.push(packed) - 1;
}
