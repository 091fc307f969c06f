import { expect, test } from 'vitest';
import { longestWays } from '../src/regions/region-budget.ts';
import {
  contains,
  headOf,
  type RegionPart,
  type RegionShape,
  shapeRegion,
} from '../src/regions/region-shape.ts';

/** A small generator: the tests are the same in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % below;
  };
}

function randomEdges(next: (below: number) => number): number[][] {
  const count = 1 + next(12);
  return Array.from({ length: count }, () => Array.from({ length: next(3) }, () => next(count)));
}

/** What stands in the way of writing a shape as WebAssembly; empty if nothing does. */
function obstacles(
  edges: readonly (readonly number[])[],
  { parts, entries, isSentTo }: RegionShape,
): string[] {
  const found: string[] = [];
  const seen: number[] = [];
  const look = (list: readonly RegionPart[], heads: readonly number[]): void => {
    for (const [place, part] of list.entries()) {
      if (typeof part === 'number') seen.push(part);
      else {
        if (headOf(part.parts[0]) !== part.head) found.push(`loop of ${part.head} does not begin with it`);
        look(part.parts, [...heads, part.head]);
      }
      const inside = edges.map((_, block) => block).filter((block) => contains(part, block));
      for (const from of inside) {
        for (const to of edges[from]) {
          if (contains(part, to) || heads.includes(to)) continue;
          const target = list.findIndex((one) => contains(one, to));
          if (target >= 0 && target <= place) found.push(`${from} to ${to} leads backward`);
        }
      }
      if (typeof part === 'number') continue;
      // Whoever comes from outside comes to the head, or is sent on by it.
      const comers = [
        ...entries,
        ...edges.flatMap((targets, from) => (part.blocks.has(from) ? [] : targets)),
      ];
      for (const to of comers) {
        if (!part.blocks.has(to) || to === part.head) continue;
        if (!part.entries.includes(to) || !isSentTo[to])
          found.push(`loop of ${part.head} is entered at ${to}`);
      }
    }
  };
  look(parts, []);
  if (seen.sort((a, b) => a - b).join() !== edges.map((_, block) => block).join())
    found.push(`blocks ${seen}`);
  return found;
}

test('any graph can be written with blocks and loops', () => {
  const next = numbers(1);
  const failures: string[] = [];
  for (let i = 0; i < 4_000; i++) {
    const edges = randomEdges(next);
    const wanted = new Set(edges.map((_, block) => block).filter(() => next(4) === 0));
    const shape = shapeRegion(edges, wanted);
    for (const obstacle of obstacles(edges, shape)) failures.push(`${JSON.stringify(edges)}: ${obstacle}`);
    for (const block of [0, ...wanted])
      if (!shape.entries.includes(block)) failures.push(`${JSON.stringify(edges)}: ${block} is no entry`);
  }
  expect(failures.slice(0, 5)).toEqual([]);
});

test('loops within loops, and what may be entered', () => {
  // 0 → 1 → 2 ⟲ → 3 → 1, 3 → 4
  const edges = [[1], [2], [2, 3], [1, 4], []];
  const shape = shapeRegion(edges, new Set());
  expect(shape.parts.map(headOf)).toEqual([0, 1, 4]);
  expect([...shape.entries].sort()).toEqual([0, 1, 2]);
  expect([...shapeRegion(edges, new Set([3, 4])).entries].sort()).toEqual([0, 1, 2, 3, 4]);
  // 3 is within a loop.
  expect([...shapeRegion(edges, new Set(), new Set([3, 4])).entries].sort()).toEqual([0, 1, 2, 4]);
  const outer = shape.parts[1];
  expect(typeof outer === 'object' && outer.entries).toEqual([2]);
});

test('the longest way to where the budget is looked at again', () => {
  // 0 → 1 or 2 → 3 → 4 ⟲ → 5 → 6
  const edges = [[1, 2], [3], [3], [4], [4, 5], [6], []];
  expect(longestWays([1, 20, 300, 2, 5, 7, 11], edges, new Set([4]))).toEqual([303, 22, 302, 2, 23, 18, 11]);
});
