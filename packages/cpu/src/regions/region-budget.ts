/**
 * For each block, the instructions of the longest way from its start to where the budget is looked at again, or out of the region. That happens where a
 * loop begins (engine-decision F), which every way that comes by a block twice comes by too.
 *
 * @param counts instructions of each block
 * @param edges successors of each block
 * @param heads blocks that loops begin with
 */
export function longestWays(
  counts: readonly number[],
  edges: readonly (readonly number[])[],
  heads: ReadonlySet<number>,
): readonly number[] {
  const ways = new Array<number>(counts.length).fill(-1);
  const wayFrom = (block: number): number => {
    if (ways[block] >= 0) return ways[block];
    let longest = 0;
    for (const next of edges[block]) if (!heads.has(next)) longest = Math.max(longest, wayFrom(next));
    ways[block] = counts[block] + longest;
    return ways[block];
  };
  for (let block = 0; block < counts.length; block++) wayFrom(block);
  return ways;
}
