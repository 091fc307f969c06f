import type { Item, Program } from './program.ts';

/**
 * A program with as little as possible for which something still holds: items are taken out, many at first. Blocks stay, if empty, so that
 * branches mean the same.
 *
 * @param patience attempts at most
 */
export function minimize(program: Program, holds: (program: Program) => boolean, patience = 600): Program {
  let best = program;
  let attempts = 0;
  const attempt = (candidate: Program): boolean => {
    if (attempts++ >= patience || !holds(candidate)) return false;
    best = candidate;
    return true;
  };
  let size = Math.ceil(count(best) / 2);
  while (attempts < patience) {
    let removed = false;
    for (let at = 0; at < count(best); )
      if (attempt(without(best, at, size))) removed = true;
      else at += size;
    if (size === 1 && !removed) break;
    size = Math.max(1, size >> 1);
  }
  for (let budget = best.budget >> 1; budget > 0; budget >>= 1) if (!attempt({ ...best, budget })) break;
  return best;
}

function count({ blocks }: Program): number {
  return blocks.reduce((sum, items) => sum + items.length, 0);
}

function without(program: Program, first: number, size: number): Program {
  let at = 0;
  const blocks = program.blocks.map((items) => {
    const kept: Item[] = [];
    for (const item of items) {
      if (at < first || at >= first + size || item.isNeeded) kept.push(item);
      at++;
    }
    return kept;
  });
  return { ...program, blocks };
}
