import { expect, test } from 'vitest';
import { readTable } from '../scripts/table/record.ts';
import { DecoderOptions, decode, Instruction } from '../src/index.ts';
import { encodingOf, encodings, reference } from '../src/reference.ts';
import { isaFolder } from './oracle/iced.ts';

const records = readTable(isaFolder);

test('the reference has every row of the table', () => {
  expect(encodings()).toBe(records.length);
  records.forEach((record, i) => {
    expect(reference(i + 1)).toEqual({
      encoding: i + 1,
      instruction: record.instruction,
      opcode: record.opcode,
      operands: record.operands
        .map(
          ({ place, isAddress, access, type }) =>
            `${place}${isAddress ? '@' : ''}:${access}${type === '' ? '' : `:${type}`}`,
        )
        .join(' '),
      flags: record.flags,
      features: record.features.join(' '),
      attributes: [...record.attributes].join(' '),
      implicit: record.implicit.join(' '),
    });
  });
});

test('an instruction and its opcode name one encoding', () => {
  records.forEach(({ instruction, opcode }, i) => {
    expect(encodingOf(`${instruction}|${opcode}`)).toBe(i + 1);
  });
  expect(encodingOf('ADD r/m32, r32|o32 02 /r')).toBe(0);
});

test('a decoded instruction leads to its row', () => {
  const instruction = new Instruction();
  decode(Uint8Array.of(0x01, 0xc8), 0, new DecoderOptions(), instruction);
  expect(reference(instruction.encoding)).toMatchObject({
    instruction: 'ADD r/m32, r32',
    opcode: 'o32 01 /r',
    flags: 'w:oszacp',
    features: '80386',
  });
});

test('numbers that are no encodings', () => {
  for (const number of [0, -1, 1.5, Number.NaN, encodings() + 1]) expect(reference(number)).toBeUndefined();
});
