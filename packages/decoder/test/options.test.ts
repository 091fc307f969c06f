import { describe, expect, test } from 'vitest';
import { DecoderOptions, type DecoderOptionsInit, DecodeStatus, decode, Instruction } from '../src/index.ts';
import { mnemonic, mnemonicName } from '../src/mnemonic.ts';

function name(hex: string, init: DecoderOptionsInit = {}): string {
  const instruction = new Instruction();
  const status = decode(
    Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex')),
    0,
    new DecoderOptions(init),
    instruction,
  );
  if (status !== DecodeStatus.ok) return status === DecodeStatus.invalid ? 'invalid' : 'truncated';
  return `${mnemonicName(mnemonic(instruction))} ${instruction.length}`;
}

describe('what a vendor or feature changes', () => {
  test.each<[string, string, DecoderOptionsInit, string]>([
    [
      '66 call in 64-bit code, Intel (SDM vol. 2, CALL): 32-bit displacement',
      '66 e8 11 22 33 44',
      {},
      'call 6',
    ],
    [
      '66 call in 64-bit code, AMD (APM vol. 3, CALL Near): 16-bit displacement',
      '66 e8 11 22 33 44',
      { vendor: 'amd' },
      'call 4',
    ],
    ['UD0 has ModRM on Intel', '0f ff c0', {}, 'ud0 3'],
    ['and none on AMD', '0f ff c0', { vendor: 'amd' }, 'ud0 2'],
    ['3DNow! is AMD’s', '0f 0f c1 9e', {}, 'invalid'],
    ['3DNow!', '0f 0f c1 9e', { vendor: 'amd' }, 'pfadd 4'],
    ['LZCNT', 'f3 0f bd c1', {}, 'lzcnt 4'],
    ['without LZCNT: BSR, F3 ignored', 'f3 0f bd c1', { disable: ['lzcnt'] }, 'bsr 4'],
    ['TZCNT', 'f3 0f bc c1', {}, 'tzcnt 4'],
    ['without TZCNT: BSF', 'f3 0f bc c1', { disable: ['tzcnt'] }, 'bsf 4'],
    ['MPX', 'f3 0f 1b 00', {}, 'bndmk 4'],
    ['without MPX: NOP', 'f3 0f 1b 00', { disable: ['mpx'] }, 'reservednop 4'],
    ['CET', 'f3 0f 1e fa', {}, 'endbr64 4'],
    ['without CET: NOP', 'f3 0f 1e fa', { disable: ['cet'] }, 'reservednop 4'],
    ['REX2', 'd5 10 50', {}, 'push 3'],
    ['without APX', 'd5 10 50', { disable: ['apx'] }, 'invalid'],
    ['AAD outside 64-bit mode', 'd5 10 50', { mode: 32 }, 'aad 2'],
    ['LOCK MOV CR0 is CR8 on AMD', 'f0 0f 20 c0', { vendor: 'amd' }, 'mov 4'],
    ['and invalid on Intel', 'f0 0f 20 c0', {}, 'invalid'],
  ])('%s', (_, hex, init, expected) => {
    expect(name(hex, init)).toBe(expected);
  });
});

describe('wrong options say what is allowed', () => {
  test('mode', () => {
    expect(() => new DecoderOptions({ mode: 8 as 16 })).toThrow(
      new RangeError('mode 8: 16, 32 or 64 is allowed'),
    );
  });
  test('vendor', () => {
    expect(() => new DecoderOptions({ vendor: 'via' as 'amd' })).toThrow(
      new RangeError('vendor "via": intel or amd is allowed'),
    );
  });
  test('feature', () => {
    expect(() => new DecoderOptions({ enable: ['apx2' as 'apx'] })).toThrow(
      /decoder feature "apx2": one of apx, mpx, .* is allowed/,
    );
  });
});
