import type { DecoderFeature } from '@nest86/decoder';
import { decoderFeatures } from '../features.ts';
import { isInstruction, type Suspect } from './suspect.ts';

export function isOtherVendors({ bytes, init }: Suspect): string | undefined {
  const other = init.vendor === 'intel' ? 'amd' : 'intel';
  if (!isInstruction(bytes, { ...init, vendor: other })) return undefined;
  return `only processors of ${other === 'amd' ? 'AMD' : 'Intel'} have it (--vendor ${other})`;
}

export function isOptional({ bytes, init }: Suspect): string | undefined {
  for (const feature of Object.keys(decoderFeatures) as DecoderFeature[]) {
    const enable = [...init.enable, feature];
    const disable = init.disable.filter((name) => name !== feature);
    if (!isInstruction(bytes, { ...init, enable, disable })) continue;
    return init.disable.includes(feature)
      ? `--disable ${feature} took it away`
      : `only some processors have it (--enable ${feature})`;
  }
  return undefined;
}

export function isOtherModes({ bytes, init }: Suspect): string | undefined {
  if (init.mode === 64)
    return isInstruction(bytes, { ...init, mode: 32 }) ? 'it does not exist in 64-bit mode' : undefined;
  return isInstruction(bytes, { ...init, mode: 64 }) ? 'it exists only in 64-bit mode' : undefined;
}
