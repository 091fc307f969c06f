import { Flag } from '../../src/info/constants.ts';
import type { EncodingRecord } from './record.ts';

const flagBits = new Map<string, number>(
  Object.entries({
    o: Flag.overflow,
    s: Flag.sign,
    z: Flag.zero,
    a: Flag.auxiliaryCarry,
    c: Flag.carry,
    p: Flag.parity,
    d: Flag.direction,
    i: Flag.interrupt,
    A: Flag.alignmentCheck,
    u: Flag.userInterrupt,
    '0': Flag.c0,
    '1': Flag.c1,
    '2': Flag.c2,
    '3': Flag.c3,
  }),
);
const effects = ['r', 'w', '0', '1', 'u'];

/** Masks of flags read, written by result, cleared, set, undefined. */
export function flagMasks(record: EncodingRecord): number[] {
  const masks = [0, 0, 0, 0, 0];
  for (const word of record.flags.split(/\s+/)) {
    if (word === '') continue;
    const fail = (): never => {
      throw new Error(`${record.where}: flags "${word}" are not known`);
    };
    const effect = effects.indexOf(word[0]);
    if (effect < 0 || word[1] !== ':' || word.length < 3) fail();
    for (const letter of word.slice(2)) {
      const bit = flagBits.get(letter) ?? fail();
      if (masks.some((mask, i) => i > 0 && effect > 0 && (mask & bit) !== 0)) {
        throw new Error(`${record.where}: flag ${letter} has two effects in "${record.flags}"`);
      }
      masks[effect] |= bit;
    }
  }
  return masks;
}
