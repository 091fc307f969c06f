import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { DecoderOptions, DecodeStatus, decode, Instruction } from '../src/index.ts';
import { mnemonic, mnemonicName } from '../src/mnemonic.ts';

/** APX, AVX10.2 and newer, which iced-x86 lacks: what Intel XED says. The file's head tells how it was made. */
test('Intel XED says the same of what iced-x86 lacks', () => {
  const lines = readFileSync(new URL('vectors/xed-new.txt', import.meta.url), 'utf8').split('\n');
  const instruction = new Instruction();
  const enable = ['3dnow'] as const;
  const options = {
    16: new DecoderOptions({ mode: 16, enable }),
    32: new DecoderOptions({ mode: 32, enable }),
    64: new DecoderOptions({ mode: 64, enable }),
  };
  const wrong: string[] = [];
  let compared = 0;
  for (const line of lines) {
    if (line === '' || line.startsWith('#')) continue;
    const [input, length, name] = line.split(' | ');
    const [mode, hex] = input.split(' ');
    const status = decode(Uint8Array.from(Buffer.from(hex, 'hex')), 0, options[mode as '64'], instruction);
    const answer =
      status === DecodeStatus.ok ? `${instruction.length} ${mnemonicName(mnemonic(instruction))}` : '0 -';
    if (answer !== `${length} ${name}`) wrong.push(`${line}: ${answer}`);
    compared++;
  }
  expect(wrong.slice(0, 10)).toEqual([]);
  expect(compared).toBeGreaterThan(30_000);
});
