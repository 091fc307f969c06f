import { bodyToText } from '@nest86/wasm';
import type { Engine } from '../engine/engine.ts';
import { instructionTexts } from './guest-text.ts';
import type { RegionListing } from './observation.ts';

const leftWidth = 56;

/**
 * Guest code beside the WebAssembly that a region's function is made of; undefined if there is no such region, or the engine does not observe.
 * @param wanted linear address of a byte of its code, or its offset in RAM; or the region that has retired most
 */
export function regionText(engine: Engine, wanted: bigint | 'hot'): string | undefined {
  const listing = wanted === 'hot' ? hottest(engine) : at(engine, wanted);
  return listing === undefined ? undefined : listingText(engine, listing);
}

/** The latest that holds a byte; one that begins with its block before others. */
function at(engine: Engine, address: bigint): RegionListing | undefined {
  const { code } = engine;
  const { observation } = code;
  const holds = (listing: RegionListing, i: number): boolean => {
    const { block } = listing.blocks[i];
    const size = BigInt(listing.code[i].length);
    const starts = [observation?.linearOf(block), BigInt(block.page - code.base + block.start)];
    return starts.some((start) => start !== undefined && address >= start && address < start + size);
  };
  const listings = [...(observation?.listings ?? [])].reverse();
  return (
    listings.find((listing) => holds(listing, 0)) ??
    listings.find((listing) => listing.blocks.some((_, i) => holds(listing, i)))
  );
}

/** A block may be in several: the latest one counts. */
function hottest({ code, view }: Engine): RegionListing | undefined {
  let best: RegionListing | undefined;
  let most = -1;
  for (const listing of code.observation?.listings ?? []) {
    const retired = listing.blocks.reduce(
      (sum, { block }) =>
        sum + (block.counter === 0 ? 0 : Number(view.getBigUint64(block.counter, true))) * block.count,
      0,
    );
    if (retired < most) continue;
    most = retired;
    best = listing;
  }
  return best;
}

function listingText({ code: cache, view }: Engine, { blocks, code, body, marks }: RegionListing): string {
  const guest = new Map<number, string>();
  let instructions = 0;
  for (const [i, { block, steps }] of blocks.entries()) {
    const start = cache.observation?.linearOf(block) ?? BigInt(block.page - cache.base + block.start);
    const texts = instructionTexts(code[i], start, block.mode.bits);
    instructions += block.count;
    for (const [j, step] of steps.entries()) {
      const one = texts[j];
      const bytes = Array.from(one?.bytes ?? [], (byte) => byte.toString(16).padStart(2, '0')).join('');
      const text =
        one === undefined ? '(goes on)' : `${one.address.toString(16)}  ${bytes.padEnd(16)} ${one.text}`;
      guest.set(step.record, text);
    }
  }
  const begins = new Map<number, string>();
  for (let i = 0; i < marks.length; i += 2) begins.set(marks[i + 1], guest.get(marks[i]) ?? '');
  const runs = blocks.map(({ block }) =>
    block.counter === 0 ? 0 : Number(view.getBigUint64(block.counter, true)),
  );
  const lines = bodyToText(body).map(
    ({ offset, depth, text }) =>
      `${(begins.get(offset) ?? '').padEnd(leftWidth)}${'  '.repeat(depth)}${text}`,
  );
  return [
    `region of ${blocks.length} blocks, ${instructions} instructions, ${body.length} bytes of WebAssembly; runs of its blocks in regions: ${runs.join(' ')}`,
    ...lines.map((line) => line.trimEnd()),
    '',
  ].join('\n');
}
