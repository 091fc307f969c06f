/**
 * `pnpm fuzz:decoder [--seconds N] [--seed N]`: grammar-based fuzzing. Strings are grown from real encodings: legacy prefixes in any number and
 * order, REX, REX2, VEX, XOP and EVEX with any payload, opcode bytes drawn from the table, then mutations (bits, cuts, splices). Every
 * answer is checked: no exception, length at most 15 and at most what is there, no read outside the bytes given (guards of different
 * content on both sides must not change the answer), a decoded instruction decodes again from exactly its bytes, its operands and
 * texts can be read. Ends with the seed and what was found; exit 1 if anything was.
 */
import { parseArgs } from 'node:util';
import { formatAtt } from '../src/format/att.ts';
import { formatIntel } from '../src/format/intel.ts';
import { formatNasm } from '../src/format/nasm.ts';
import {
  DecoderOptions,
  DecodeStatus,
  decode,
  Instruction,
  maximumLength,
  operandCount,
  operandImmediate,
  operandKind,
  operandRegister,
} from '../src/index.ts';
import { InstructionInfo, readInfo } from '../src/info/index.ts';
import { Random } from '../test/oracle/random.ts';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } },
});
const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
const seconds = Number(values.seconds);
if (!Number.isInteger(seed) || !(seconds > 0)) {
  console.error('usage: pnpm fuzz:decoder [--seconds NUMBER] [--seed INTEGER]');
  process.exit(2);
}

const random = new Random(seed);
const modes = [64, 32, 16] as const;
const configurations = modes.flatMap((mode) => [
  new DecoderOptions({ mode }),
  new DecoderOptions({ mode, vendor: 'amd' }),
  new DecoderOptions({ mode, enable: ['3dnow', 'cyrix', 'umov', 'loadall286', 'movtr', 'udbg'] }),
  new DecoderOptions({ mode, disable: ['apx', 'recent', 'mpx', 'cet', 'lzcnt', 'tzcnt'] }),
]);
const legacyPrefixes = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

const input = new Uint8Array(24);
const guardA = new Uint8Array(96).fill(0x00);
const guardB = new Uint8Array(96).fill(0xff);
const [one, two, again] = [new Instruction(), new Instruction(), new Instruction()];
const info = new InstructionInfo();
const seen = new Set<number>();
const findings: string[] = [];
let runs = 0;

/** Fills `input` and answers its length. */
function grow(): number {
  let at = 0;
  const put = (byte: number): void => {
    if (at < input.length) input[at++] = byte;
  };
  const prefixes = random.below(4) === 0 ? random.below(18) : random.below(3);
  for (let i = 0; i < prefixes; i++) put(legacyPrefixes[random.below(legacyPrefixes.length)]);
  switch (random.below(8)) {
    case 0:
      put(0x40 | random.below(16));
      break;
    case 1:
      put(0xd5);
      put(random.below(256));
      break;
    case 2:
      put(0xc4 + random.below(2));
      put(random.below(256));
      put(random.below(256));
      break;
    case 3:
    case 4:
      put(0x62);
      put((random.below(32) << 3) | random.below(8));
      put(random.below(256));
      put(random.below(256));
      break;
    case 5:
      put(0x8f);
      put((random.below(8) << 5) | (8 + random.below(3)));
      put(random.below(256));
      break;
  }
  if (random.below(2)) put(0x0f);
  if (random.below(6) === 0) put([0x38, 0x3a, 0x0f][random.below(3)]);
  while (at < input.length)
    put(
      random.below(4) === 0
        ? [0x00, 0xff, 0x80, 0x7f, 0x04, 0x05, 0x24, 0x25, 0xc0][random.below(9)]
        : random.below(256),
    );
  if (random.below(3) === 0) input[random.below(input.length)] ^= 1 << random.below(8);
  return random.below(4) === 0 ? random.below(input.length + 1) : input.length;
}

function check(length: number, options: DecoderOptions): string {
  guardA.set(input.subarray(0, length), 40);
  guardB.set(input.subarray(0, length), 40);
  const status = decode(guardA.subarray(40, 40 + length), 0, options, one);
  if (decode(guardB.subarray(40, 40 + length), 0, options, two) !== status)
    return 'status depends on bytes outside';
  if (
    one.encoding !== two.encoding ||
    one.length !== two.length ||
    one.displacement !== two.displacement ||
    one.immediate !== two.immediate
  ) {
    return 'answer depends on bytes outside';
  }
  guardA.fill(0x00, 40, 40 + length);
  guardB.fill(0xff, 40, 40 + length);
  if (one.length > maximumLength || one.length > length) return `length ${one.length} of ${length}`;
  if (status !== DecodeStatus.ok) return one.encoding === 0 ? '' : 'not ok, but an encoding';
  if (one.length === 0) return 'ok with length 0';
  if (
    decode(input.subarray(0, one.length), 0, options, again) !== DecodeStatus.ok ||
    again.encoding !== one.encoding
  )
    return 'not the same from its own bytes';
  if (
    one.length > 1 &&
    decode(input.subarray(0, one.length - 1), 0, options, again) !== DecodeStatus.truncated
  )
    return 'complete without its last byte';
  seen.add(one.encoding);
  for (let i = operandCount(one) - 1; i >= 0; i--) {
    if (operandKind(one, i) === 0) return `operand ${i} is nothing`;
    if (!Number.isInteger(operandRegister(one, i) + operandImmediate(one, i)))
      return `operand ${i} has no value`;
  }
  readInfo(one, info);
  for (const text of [formatIntel(one, 0x1000), formatAtt(one, 0x1000), formatNasm(one, 0x1000)]) {
    if (text === '' || text.includes('undefined') || text.includes('NaN')) return `text "${text}"`;
  }
  return '';
}

const end = Date.now() + seconds * 1000;
while (Date.now() < end && findings.length < 20) {
  for (let i = 0; i < 2000; i++) {
    const length = grow();
    const options = configurations[random.below(configurations.length)];
    runs++;
    let what: string;
    try {
      what = check(length, options);
    } catch (error) {
      what = `${error}`;
    }
    if (what !== '' && findings.length < 20) {
      findings.push(
        `${options.mode}-bit ${options.vendor} ${Buffer.from(input.subarray(0, length)).toString('hex')}: ${what}`,
      );
    }
  }
}
for (const finding of findings) console.log(finding);
console.log(
  `seed ${seed}: ${runs} strings in ${seconds} s, ${seen.size} encodings reached, ${findings.length} findings`,
);
process.exitCode = findings.length > 0 ? 1 : 0;
