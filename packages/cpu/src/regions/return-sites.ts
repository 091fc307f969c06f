import { Row, record } from '../records/layout.ts';
import { type BlockSteps, linksOf } from './region-steps.ts';

/** For each block of a region that ends in a return: the blocks that follow the calls it may come from, as far as the region holds both. */
export function returnSites(blocks: readonly BlockSteps[], view: DataView): number[][] {
  const sites: number[][] = blocks.map(() => []);
  const places = new Map(blocks.map(({ block }, i) => [block.record, i]));
  const behind = (link: number): number => {
    if (link === 0) return -1;
    const isEdge = view.getUint16(link + record.handler, true) === Row.page;
    return places.get(isEdge ? view.getInt32(link + record.target, true) : link) ?? -1;
  };
  const after = ({ block, steps, pageDelta }: BlockSteps): number => {
    const { next } = steps[steps.length - 1].fields;
    return blocks.findIndex(
      (other) =>
        other.block.page === block.page && other.block.start === next && other.pageDelta === pageDelta,
    );
  };
  for (const caller of blocks) {
    const call = caller.steps[caller.steps.length - 1];
    if (call.shape?.mnemonic !== 'CALL') continue;
    const site = after(caller);
    if (site < 0) continue;
    // Everything that the callee reaches without returning.
    const reached = new Set<number>();
    const waiting = [behind(linksOf(call).taken)];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (next < 0 || reached.has(next)) continue;
      reached.add(next);
      const { steps } = blocks[next];
      const last = steps[steps.length - 1];
      if (last.shape?.mnemonic === 'RET') sites[next].push(site);
      else if (last.shape?.mnemonic === 'CALL') waiting.push(after(blocks[next]));
      else waiting.push(behind(linksOf(last).taken), behind(linksOf(last).other));
    }
  }
  return sites;
}
