import type { DecoderFeature } from '../../src/index.ts';
import { type OraclePair, oracleOptions } from './iced.ts';

const added: DecoderFeature[][] = [
  ['cyrix', 'cyrix-dmi'],
  ['cyrix-smint-0f7e'],
  ['umov'],
  ['xbts'],
  ['cmpxchg486a'],
  ['jmpe'],
  ['oldfpu'],
  ['loadall286'],
  ['loadall386'],
  ['movtr'],
  ['udbg'],
  ['cl1invmb'],
  ['pcommit'],
  ['altinst'],
];
const removed: DecoderFeature[] = ['lzcnt', 'tzcnt', 'wbnoinvd', 'pause', 'mpx'];

/** What both decoders can be set to: the default first, then the other vendor, then one feature after the other. */
export function featureSets(mode: 16 | 32 | 64): OraclePair[] {
  return [
    oracleOptions(mode),
    oracleOptions(mode, 'amd'),
    ...added.map((features) => oracleOptions(mode, 'intel', ['mpx', ...features])),
    ...removed.map((feature) => oracleOptions(mode, 'intel', feature === 'mpx' ? [] : ['mpx'], [feature])),
  ];
}
