/*
 * The order of a region's blocks, and its loops. WebAssembly has no jumps, only branches out of blocks and to the heads of loops. So the blocks are put
 * into an order in which every edge leads forward, but for edges to the head of a loop around them: the strongly connected components of the graph are
 * loops; without the edges to its head, what is inside a loop is ordered likewise. Where a loop is entered elsewhere than at its head, by a way from
 * outside or by the gate, its head sends the comer on: a number in a local, tested at each turn, but only in loops that have such entries.
 */

/** A block, or a loop of blocks; blocks by number. */
export type RegionPart = number | RegionLoop;

export interface RegionLoop {
  readonly head: number;
  /** In order; the first is the head. */
  readonly parts: readonly RegionPart[];
  readonly blocks: ReadonlySet<number>;
  /** Blocks besides the head that are entered from outside. */
  readonly entries: readonly number[];
}

export interface RegionShape {
  readonly parts: readonly RegionPart[];
  /** Blocks at which the gate may enter. */
  readonly entries: readonly number[];
  /** Blocks that the gate or the head of a loop around them sends to. */
  readonly isSentTo: readonly boolean[];
}

/** The first block of a part. */
export function headOf(part: RegionPart): number {
  return typeof part === 'number' ? part : part.head;
}

export function contains(part: RegionPart, block: number): boolean {
  return typeof part === 'number' ? part === block : part.blocks.has(block);
}

/**
 * @param edges successors of each block
 * @param wanted blocks that the gate should be able to enter wherever they are; block 0 is one in any case
 * @param welcome the same, but not within a loop: there an entry costs each turn, and the loop's head is soon reached
 */
export function shapeRegion(
  edges: readonly (readonly number[])[],
  wanted: ReadonlySet<number>,
  welcome: ReadonlySet<number> = new Set(),
): RegionShape {
  const all = edges.map((_, block) => block);
  const parts = componentsOf(all, edges, -1);
  const entries = new Set<number>([0, ...wanted]);
  for (const part of parts) if (typeof part === 'number' && welcome.has(part)) entries.add(part);
  addHeads(parts, entries);
  const isSentTo = edges.map((_, block) => entries.has(block));
  const finish = (part: RegionPart): RegionPart => {
    if (typeof part === 'number') return part;
    const isEntered = new Set<number>();
    for (const block of part.blocks) if (entries.has(block)) isEntered.add(block);
    for (let from = 0; from < edges.length; from++) {
      if (part.blocks.has(from)) continue;
      for (const target of edges[from]) if (part.blocks.has(target)) isEntered.add(target);
    }
    isEntered.delete(part.head);
    for (const block of isEntered) isSentTo[block] = true;
    return { ...part, parts: part.parts.map(finish), entries: [...isEntered] };
  };
  return { parts: parts.map(finish), entries: [...entries], isSentTo };
}

/** Heads of loops: whoever leaves a loop in its middle soon comes by there. */
function addHeads(parts: readonly RegionPart[], entries: Set<number>): void {
  for (const part of parts) {
    if (typeof part === 'number') continue;
    entries.add(part.head);
    addHeads(part.parts, entries);
  }
}

/** Strongly connected components (Tarjan) in an order in which edges lead forward. @param head block whose incoming edges do not count */
function componentsOf(
  blocks: readonly number[],
  edges: readonly (readonly number[])[],
  head: number,
): RegionPart[] {
  if (blocks.length === 1) {
    // Many loops are of one block.
    const [only] = blocks;
    return [only !== head && edges[only].includes(only) ? loopOf(only, blocks, edges) : only];
  }
  // By block: 0 outside, else 1 and more.
  const index = new Int32Array(edges.length);
  const low = new Int32Array(edges.length);
  const waiting = -1;
  for (const block of blocks) index[block] = waiting;
  let found = 0;
  const stack: number[] = [];
  const isOnStack = new Uint8Array(edges.length);
  const parts: RegionPart[] = [];
  const visit = (block: number): void => {
    const own = ++found;
    index[block] = own;
    low[block] = own;
    stack.push(block);
    isOnStack[block] = 1;
    for (const target of edges[block]) {
      if (target === head || index[target] === 0) continue;
      if (index[target] === waiting) visit(target);
      if (isOnStack[target] !== 0) low[block] = Math.min(low[block], low[target]);
    }
    if (low[block] !== own) return;
    const members: number[] = [];
    for (let member = -1; member !== block; ) {
      member = stack.pop()!;
      isOnStack[member] = 0;
      members.push(member);
    }
    // The block that was found first leads the loop: it is the one that is entered from outside.
    const isLoop = members.length > 1 || (block !== head && edges[block].includes(block));
    parts.push(isLoop ? loopOf(block, members, edges) : block);
  };
  if (index[head] === waiting) visit(head);
  for (const block of blocks) if (index[block] === waiting) visit(block);
  return parts.reverse();
}

function loopOf(head: number, members: readonly number[], edges: readonly (readonly number[])[]): RegionLoop {
  return { head, parts: componentsOf(members, edges, head), blocks: new Set(members), entries: [] };
}
