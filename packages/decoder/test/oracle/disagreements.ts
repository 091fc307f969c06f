import type { DecoderOptions } from '../../src/index.ts';

interface Disagreement {
  /** The manual's passage that decides. */
  readonly reason: string;
  matches(bytes: Uint8Array, options: DecoderOptions, what: string): boolean;
}

/** Where we differ from iced-x86 1.21 on purpose. */
const disagreements: readonly Disagreement[] = [];

export function listed(bytes: Uint8Array, options: DecoderOptions, what: string): boolean {
  return disagreements.some((disagreement) => disagreement.matches(bytes, options, what));
}
