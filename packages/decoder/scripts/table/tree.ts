import { axes, type Box, options } from './opcode.ts';

/** A record as the tree sees it. */
export interface Candidate {
  readonly id: number;
  readonly box: Box;
  readonly where: string;
  /** {@link rankOf} */
  readonly rank: number;
}

const allAxes = [
  ...axes.map((axis) => axis as { name: string; values: number }),
  ...options.map((name) => ({ name, values: 2 })),
];

/** Number of values of each axis, by the number that nodes begin with. */
export const axisSizes: readonly number[] = allAxes.map(({ values }) => values);

/**
 * Nodes in the form that compresses best (measured: a fifth of plain references). A node is its axis, then for each value: 0 as before,
 * 1 nothing, even: encoding, as a zigzag difference to the last one named; odd: distance back to a node.
 *
 * @param start the first node to pack
 */
export function packNodes(nodes: readonly number[], start: number): number[] {
  const packed: number[] = [];
  let lastEncoding = 0;
  for (let at = start; at < nodes.length; ) {
    const size = axisSizes[nodes[at]];
    packed.push(nodes[at]);
    for (let value = 0; value < size; value++) {
      const reference = nodes[at + 1 + value];
      if (value > 0 && reference === nodes[at + value]) packed.push(0);
      else if (reference >= 0) packed.push(2 * (at - reference) + 1);
      else if (~reference === 0) packed.push(1);
      else {
        const difference = ~reference - lastEncoding;
        packed.push(2 + 2 * (difference >= 0 ? 2 * difference : -2 * difference - 1));
        lastEncoding = ~reference;
      }
    }
    at += 1 + size;
  }
  return packed;
}

/** A reference is an offset into the node array, or, when negative, the complement of an encoding. */
const leaf = (id: number): number => ~id;

/**
 * Decision trees over the axes, as one array in which equal subtrees are stored once. A node is its axis number followed by a
 * reference for each value of that axis.
 */
export class TreeBuilder {
  readonly nodes: number[] = [];
  private readonly known = new Map<string, number>();

  /** What follows shares no subtrees with what was built before. Answers where its nodes start. */
  startSpace(): number {
    this.known.clear();
    return this.nodes.length;
  }

  /** Reference of the tree that tells these candidates apart; nothing matching leads to encoding 0. */
  build(candidates: readonly Candidate[]): number {
    return this.split(candidates, {});
  }

  private split(candidates: readonly Candidate[], path: Box): number {
    if (candidates.length === 0) return leaf(0);
    const undecided = (candidate: Candidate) =>
      allAxes.some(
        ({ name, values }) =>
          name in candidate.box && !(name in path) && candidate.box[name] !== full(values),
      );
    const open = candidates.filter(undecided);
    if (open.length === 0) return leaf(mostSpecific(candidates).id);
    const axis = this.chooseAxis(candidates, path);
    const { name, values } = allAxes[axis];
    const node = [axis];
    for (let value = 0; value < values; value++) {
      const left = candidates.filter((candidate) => ((candidate.box[name] ?? full(values)) >> value) & 1);
      node.push(this.split(left, { ...path, [name]: 1 << value }));
    }
    if (node.slice(2).every((reference) => reference === node[1])) return node[1];
    const key = node.join();
    let reference = this.known.get(key);
    if (reference === undefined) {
      reference = this.nodes.length;
      this.nodes.push(...node);
      this.known.set(key, reference);
    }
    return reference;
  }

  /** The axis that most candidates constrain; among equals the first in the list. */
  private chooseAxis(candidates: readonly Candidate[], path: Box): number {
    let best = -1;
    let bestCount = 0;
    allAxes.forEach(({ name, values }, axis) => {
      if (name in path) return;
      const count = candidates.filter(({ box }) => name in box && box[name] !== full(values)).length;
      if (count > bestCount) {
        best = axis;
        bestCount = count;
      }
    });
    return best;
  }
}

function full(values: number): number {
  return 2 ** values - 1;
}

/**
 * Of several encodings whose conditions all hold, the one meant: an optional one before a standing one, reserved NOPs last, one with a
 * mandatory prefix before one without; then the one whose conditions imply those of all others.
 */
function mostSpecific(candidates: readonly Candidate[]): Candidate {
  const rank = Math.max(...candidates.map((candidate) => candidate.rank));
  const best = candidates.filter((candidate) => candidate.rank === rank);
  const implies = (a: Candidate, b: Candidate) =>
    allAxes.every(
      ({ name, values }) => ((a.box[name] ?? full(values)) & ~(b.box[name] ?? full(values))) === 0,
    );
  for (const candidate of best) {
    const twin = best.find(
      (other) => other.id !== candidate.id && implies(candidate, other) && implies(other, candidate),
    );
    if (twin !== undefined) break;
    if (best.every((other) => other === candidate || implies(candidate, other))) return candidate;
  }
  throw new Error(
    `ambiguous encodings:\n${best.map((c) => `  ${c.where} ${JSON.stringify(c.box)}`).join('\n')}`,
  );
}

/** See {@link mostSpecific}. Two optional encodings for the same bytes: the option later in the list wins. */
export function rankOf(box: Box, reservedNop: boolean, fallback = false): number {
  const option = options.reduce((found, name, i) => (box[name] === 2 ? i + 1 : found), 0);
  const prefix = box.mandatoryPrefix !== undefined && box.mandatoryPrefix !== full(4);
  return option * 8 + (fallback ? 0 : reservedNop ? 1 : prefix ? 3 : 2);
}
