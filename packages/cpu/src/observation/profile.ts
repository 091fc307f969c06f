import type { Engine } from '../engine/engine.ts';
import { instructionTexts } from './guest-text.ts';
import type { BlockCount } from './observation.ts';

/** A line of a profile. */
export interface ProfileLine extends BlockCount {
  /** Instructions that its runs retired; a run that was left in the middle counts whole. */
  readonly instructions: number;
  /** Part of all instructions of the profile, 0 to 1. */
  readonly share: number;
}

/** Blocks of guest code by the instructions they retired, most first; empty if the engine does not observe. */
export function profileOf(engine: Engine): ProfileLine[] {
  const { code } = engine;
  const lines = (code.observation?.counts() ?? []).map((one) => ({
    ...one,
    instructions: (one.interpreted + one.compiled) * one.count,
  }));
  const all = lines.reduce((sum, { instructions }) => sum + instructions, 0);
  return lines
    .map((line) => ({ ...line, share: line.instructions / all }))
    .sort((a, b) => b.instructions - a.instructions || a.offset - b.offset);
}

/** A profile as a table. @param most lines */
export function profileText(engine: Engine, most: number): string {
  const lines = profileOf(engine);
  const all = lines.reduce((sum, { instructions }) => sum + instructions, 0);
  const compiled = lines.reduce((sum, { compiled: runs, count }) => sum + runs * count, 0);
  const rows = lines
    .slice(0, most)
    .map(({ linear, offset, count, share, interpreted, compiled: runs, regions, code, bits }) => {
      const address = linear === undefined ? `RAM+${offset.toString(16)}` : linear.toString(16);
      const [first] = instructionTexts(code, linear ?? BigInt(offset), bits);
      return [
        `${(100 * share).toFixed(2)} %`.padStart(8),
        String(interpreted + runs).padStart(12),
        String(interpreted).padStart(11),
        String(count).padStart(6),
        String(regions).padStart(8),
        address.padStart(17),
        ` ${first?.text ?? ''}`,
      ].join(' ');
    });
  const head = '   share         runs interpreted length  regions           address  first instruction';
  const summary = `${lines.length} blocks, ${((100 * compiled) / Math.max(1, all)).toFixed(1)} % of their instructions in regions`;
  return `${[head, ...rows, summary].join('\n')}\n`;
}
