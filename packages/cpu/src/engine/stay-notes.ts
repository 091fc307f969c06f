import { stateOffset } from '../state/layout.ts';
import type { Processor } from './processor.ts';

// Cells of the state, as words.
const eventWaitsCell: number = stateOffset.eventWaits >> 2;
const tscIsStagedCell: number = stateOffset.tscIsStaged >> 2;
const tscAtEndCell: number = stateOffset.tscAtEnd >> 2;

const tsc = new Int32Array(2);

/** Tells generated code, before a stay of up to so many instructions, what staged system instructions ask for: whether events wait, and the time. */
export function noteStay({ state, events, interrupts, interception, time }: Processor, left: number): void {
  const { words } = state;
  const isGuest = interception?.controls.isGuest === true;
  words[eventWaitsCell] = events.pending !== 0 || interrupts.isPending ? -1 : isGuest ? 1 : 0;
  if (words[tscIsStagedCell] === 0) return;
  // What the time stamp counter will be when they have retired: generated code counts back from it.
  const { tickShift = 0 } = time;
  time.tsc(tsc);
  const low = (tsc[0] >>> 0) + (left >>> tickShift);
  words[tscIsStagedCell] = 1 + tickShift;
  words[tscAtEndCell] = low;
  words[tscAtEndCell + 1] = tsc[1] + (low >= 2 ** 32 ? 1 : 0);
}
