import type { DecoderFeature } from '@nest86/decoder';

/** What --enable and --disable take. The type makes sure that none is missing when the decoder learns another. */
export const decoderFeatures: Readonly<Record<DecoderFeature, string>> = {
  apx: 'APX: REX2, extended EVEX',
  mpx: 'MPX; off: NOP',
  lzcnt: 'LZCNT; off: BSR',
  tzcnt: 'TZCNT; off: BSF',
  wbnoinvd: 'WBNOINVD; off: WBINVD',
  cet: 'CET; off: NOP',
  pause: 'PAUSE; off: NOP',
  recent: 'what came after 2024: UDB, RMPREAD',
  '3dnow': '3DNow! (on with --vendor amd)',
  cyrix: 'Cyrix and Geode',
  'cyrix-dmi': 'Cyrix DMINT, RDM',
  'cyrix-smint-0f7e': 'Cyrix SMINT as 0F 7E',
  umov: '386 and 486 UMOV',
  xbts: '386 A0 XBTS, IBTS',
  jmpe: 'Itanium JMPE',
  oldfpu: '287XL and 387SL',
  cmpxchg486a: '486 A CMPXCHG as 0F A6',
  loadall286: '286 LOADALL',
  loadall386: '386 LOADALL',
  movtr: '386 and 486 test registers',
  udbg: 'RDUDBG, WRUDBG',
  cl1invmb: 'CL1INVMB',
  pcommit: 'PCOMMIT',
  altinst: 'Centaur ALTINST',
};
