import type { CodeModeInit } from '../src/records/code-mode.ts';

/** How code of some size is executed where nothing is unusual: flat segments, 4-level paging, every unit there. */
export function plainMode(bits: 16 | 32 | 64): CodeModeInit {
  return {
    bits,
    stackAddressBits: bits,
    isFlat: bits !== 16,
    linearBits: 48,
    checksAlignment: false,
    codeLimit: 0xffffffff,
    codeBase: 0,
    hasX87: true,
    hasSse: true,
    hasAvx: true,
    intercepts: 0,
  };
}
