import { deltas, header, json } from './emit.ts';
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
  const sorted = [...roots].sort((a, b) => a[0] - b[0]);
  const packedSpaces = spaces.map((_, space) => {
    const start = tree.startSpace();
    const own = sorted.filter(([root]) => root >> 12 === space);
    const trees = own.map(([, candidates]) => tree.build(candidates));
    const keys = own.map(([root]) => root);
    return { keys: json(deltas(keys)), trees: json(trees), start, nodes: json(packNodes(tree.nodes, start)) };
  });

  return `${header}
/** Rows of the instruction table, row 0 ("none") included. */
export const encodingCount = ${records.length + 1};
/** By encoding space: root indices (space, map, opcode), as differences; the tree of each; tree nodes, packed by scripts/table/tree.ts, and where they start. */
export const spaces: readonly {
  readonly keys: string;
  readonly trees: string;
  readonly start: number;
  readonly nodes: string;
}[] = [
${packedSpaces
  .map(
    ({ keys, trees, start, nodes }) => `  {
    keys: '${keys}',
    trees: '${trees}',
    start: ${start},
    nodes: '${nodes}',
  },`,
  )
  .join('\n')}
];
export const nodeCount = ${tree.nodes.length};
export const axisSizes = '${axisSizes.join(' ')}';
/** By encoding: Leaf bits, Check bits, mnemonic. */
export const leaves = '${json(leaves)}';
export const checks = '${json(checks)}';
export const mnemonicOf = '${json(mnemonicOf)}';
export const operandLists = '${json(lists)}';
/** By encoding: where its list starts. */
export const operandListOf = '${json(listOf)}';
export const operandSpecs = '${json(specs)}';
export const operandFixed = '${json(fixedRegisters)}';
export const memoryTypeNames = '${types.names.join(' ')}';
export const memoryTypeSizes = '${json(types.names.map(memoryTypeSize))}';
export const optionNames = '${options.join(' ')}';
`;
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
