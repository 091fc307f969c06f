import { DecoderOptions, type DecoderOptionsInit, DecodeStatus, decode, Instruction } from '@nest86/decoder';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { explainInvalid } from '../src/decode/explain/index.ts';
import { hexBytes } from '../src/decode/hex.ts';

// Zydis refuses all of them too, where it decodes for the same processor and mode; it tells LOCK, REX and masks apart as we do.
const cases: [bytes: string, reason: string, init?: DecoderOptionsInit][] = [
  ['0f 04', 'no instruction has this opcode'],
  ['48', 'truncated: more bytes are needed'],
  ['48 81 c0 00 00', 'truncated: more bytes are needed'],
  ['66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90', 'longer than 15 bytes'],
  ['2e 2e 2e 2e 2e 48 c7 84 24 00 00 00 00 00 00 00 00', 'longer than 15 bytes'],
  ['f0 90', 'LOCK is not allowed with this instruction'],
  ['f0 48 8b 00', 'LOCK is not allowed with this instruction'],
  ['f0 48 01 d8', 'LOCK needs a memory destination, this one is a register'],
  ['66 c5 f8 58 c1', '66 may not stand before a VEX prefix'],
  ['48 c5 f8 58 c1', 'a REX prefix may not stand before a VEX prefix'],
  ['f3 62 f1 7c 48 58 c1', 'F3 may not stand before an EVEX prefix'],
  ['f0 c5 f8 58 c1', 'LOCK may not stand before a VEX prefix'],
  ['0f 0f c1 9e', 'only processors of AMD have it (--vendor amd)'],
  ['0f 0f c1 9e', '--disable 3dnow took it away', { vendor: 'amd', disable: ['3dnow'] }],
  ['06', 'it does not exist in 64-bit mode'],
  ['0f 01 f8', 'it exists only in 64-bit mode', { mode: 32 }],
  ['8d c0', 'it needs a memory operand, and ModRM C0 names a register'],
  ['0f 50 00', 'it needs a register operand, and ModRM 00 names memory'],
  ['fe f8', 'ModRM.reg is 7; the opcode allows 0, 1'],
  ['8e c8', 'ModRM.reg is 1; the opcode allows 0, 2, 3, 4, 5'],
  ['c5 f0 77 00', 'VEX.vvvv must be all ones: the instruction has no such operand'],
  ['62 f1 7c c8 58 c1', 'EVEX.aaa is 0, but an opmask register is needed here'],
  ['62 f1 7c c9 29 00', 'EVEX.z is set, but zeroing is not allowed here'],
  ['62 f1 7c 68 58 c1', "EVEX.L'L gives a vector length that does not exist here"],
  ['62 f2 7d 48 92 04 08', 'EVEX.aaa is 0, but an opmask register is needed here'],
];

test.each(cases)('%s: %s', (bytes, reason, init = {}) => {
  const parsed = hexBytes(bytes);
  expect(decode(parsed, 0, new DecoderOptions(init), new Instruction())).not.toBe(DecodeStatus.ok);
  expect(explainInvalid(parsed, init)).toBe(reason);
});

test('any bytes have a reason', () => {
  const instruction = new Instruction();
  const processors = [{}, { mode: 32 }, { mode: 16, vendor: 'amd' }] as const;
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 20 }),
      fc.constantFrom(...processors),
      (bytes, init) => {
        if (decode(bytes, 0, new DecoderOptions(init), instruction) === DecodeStatus.ok) return;
        expect(explainInvalid(bytes, init)).toMatch(/^[\w'" ]/);
      },
    ),
    { numRuns: 3000 },
  );
});
