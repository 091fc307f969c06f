import { optionNames } from './generated/decode-tables.ts';

/**
 * Instructions that a decoder may or may not know, by name. Off, their bytes mean what they meant before (TZCNT: BSF, MPX and
 * CET: NOP) or nothing.
 */
export type DecoderFeature =
  | 'apx'
  | 'mpx'
  | 'lzcnt'
  | 'tzcnt'
  | 'wbnoinvd'
  | 'cet'
  | 'pause'
  | 'recent'
  | '3dnow'
  | 'cyrix'
  | 'cyrix-dmi'
  | 'cyrix-smint-0f7e'
  | 'umov'
  | 'xbts'
  | 'jmpe'
  | 'oldfpu'
  | 'cmpxchg486a'
  | 'loadall286'
  | 'loadall386'
  | 'movtr'
  | 'udbg'
  | 'cl1invmb'
  | 'pcommit'
  | 'altinst';

export interface DecoderOptionsInit {
  /** Code size: 16 (also real and virtual-8086 mode), 32 or 64. Default 64. */
  mode?: 16 | 32 | 64;
  /** Whose decoder: decides near branches with 66 in 64-bit mode, UD0, LSS/LFS/LGS with REX.W, 3DNow! and more. Default `intel`. */
  vendor?: 'intel' | 'amd';
  /** Features to add to the vendor's current ones. */
  enable?: readonly DecoderFeature[];
  /** Features to take away. */
  disable?: readonly DecoderFeature[];
}

const names = optionNames.split(' ') as DecoderFeature[];
const standard: readonly DecoderFeature[] = [
  'apx',
  'mpx',
  'lzcnt',
  'tzcnt',
  'wbnoinvd',
  'cet',
  'pause',
  'recent',
];

/** What processor to decode for. Make one and reuse it: `decode` only reads it. */
export class DecoderOptions {
  readonly mode: 16 | 32 | 64;
  readonly vendor: 'intel' | 'amd';
  /** Bit per feature that is on. @internal */
  readonly features: number;
  /** Not 0 if 0F 0F, 0F 38 or 0F 3A may be instructions. @internal */
  readonly historicEscapes: number;
  /** 0 Intel, 1 AMD. @internal */
  readonly vendorAxis: number;

  /** @throws RangeError for a mode, vendor or feature that does not exist, naming those that do. */
  constructor({ mode = 64, vendor = 'intel', enable = [], disable = [] }: DecoderOptionsInit = {}) {
    if (mode !== 16 && mode !== 32 && mode !== 64)
      throw new RangeError(`mode ${mode}: 16, 32 or 64 is allowed`);
    if (vendor !== 'intel' && vendor !== 'amd')
      throw new RangeError(`vendor "${vendor}": intel or amd is allowed`);
    let features = bits(standard);
    if (vendor === 'amd') features |= bits(['3dnow']);
    this.mode = mode;
    this.vendor = vendor;
    this.features = (features | bits(enable)) & ~bits(disable);
    this.historicEscapes = this.features & bits(['cyrix', 'cyrix-dmi', 'udbg']);
    this.vendorAxis = vendor === 'amd' ? 1 : 0;
  }

  has(feature: DecoderFeature): boolean {
    return (this.features & bits([feature])) !== 0;
  }
}

/** Bit of APX in `features`. @internal */
export const apxFeature: number = bits(['apx']);

function bits(features: readonly DecoderFeature[]): number {
  let result = 0;
  for (const feature of features) {
    const bit = names.indexOf(feature);
    if (bit < 0) throw new RangeError(`decoder feature "${feature}": one of ${names.join(', ')} is allowed`);
    result |= 1 << bit;
  }
  return result;
}
