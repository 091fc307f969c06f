import { expect, test } from 'vitest';
import { readAttributes } from '../scripts/table/attributes.ts';
import { flagMasks } from '../scripts/table/flags.ts';
import { implicitUse } from '../scripts/table/implicit.ts';
import { MemoryTypes } from '../scripts/table/operands.ts';
import { parseLine } from '../scripts/table/record.ts';

/** A row of the table with these words in its last columns. */
function row({
  flags = '-',
  attributes = '',
  implicit = '',
}: {
  flags?: string;
  attributes?: string;
  implicit?: string;
}) {
  return parseLine(
    `ADD r/m32, r32 | o32 01 /r | rm:rw:u32 reg:r | ${flags} | 80386 | ${attributes} | ${implicit}`,
    'some.isa:7',
  );
}

test.each([
  'locks',
  'flow:jmp',
  'cc:c',
  'sp*8',
  'sp+imm',
  'fpu-push3',
  'option:later',
  'N',
  'constructor',
  'cc:toString',
])('attribute %s is refused with its place', (word) => {
  expect(() => readAttributes(row({ attributes: `lock ${word}` }))).toThrow(
    `some.isa:7: attribute "${word}" is not known`,
  );
});

test.each(['x:c', 'w', 'w:', 'w:x', 'wc'])('flags %s are refused', (flags) => {
  expect(() => flagMasks(row({ flags }))).toThrow(`some.isa:7: flags "${flags}" are not known`);
});

test('a flag has one effect', () => {
  expect(() => flagMasks(row({ flags: 'w:oc 0:c' }))).toThrow('some.isa:7: flag c has two effects');
  expect(flagMasks(row({ flags: 'r:c w:c' }))).toEqual([16, 16, 0, 0, 0]);
});

test.each([
  'push:8',
  'pop:2x3',
  'push=1x2',
  'enter:3',
  'r:EAY',
  'r:EAX-CX',
  'r:EDX-EAX',
  'x:EAX',
  'r@32:EAX',
  'r:[GS:EAX]',
  'r:[ES:EAX].u7x',
  'string:mov',
  'count:2F',
  'low:64',
  'zero',
  'constructor:EAX',
])('implicit %s is refused with its place', (word) => {
  expect(() => implicitUse(row({ implicit: `r:EAX ${word}` }), new MemoryTypes())).toThrow(
    `some.isa:7: implicit "${word}" is not known`,
  );
});
