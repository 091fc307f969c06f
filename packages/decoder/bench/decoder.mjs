/**
 * `pnpm bench:decoder [--json FILE] [--code FILE] [--rounds N]`: our built decoder, iced-x86 and capstone-wasm in one process over the same
 * 20 MiB of real code (the node binary's, unless --code names another file). The three alternate on every twentieth of it, so that a load
 * that comes and goes meets all of them; a rate is the median of the rounds.
 * The last line of output holds the ratios to iced-x86.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Capstone, Const, loadCapstone } from 'capstone-wasm';
import * as iced from 'iced-x86';
import { formatAtt } from '../dist/att.js';
import * as ours from '../dist/index.js';
import { formatIntel } from '../dist/intel.js';
import { formatNasm } from '../dist/nasm.js';

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    code: { type: 'string', default: process.execPath },
    rounds: { type: 'string', default: '5' },
  },
});
const mebibyte = 1 << 20;
const code = codeOf(readFileSync(values.code), 20 * mebibyte);
const formattedCode = code.subarray(0, 2 * mebibyte);

const options = new ours.DecoderOptions();
const instruction = new ours.Instruction();

// What operands can be, as constants: looking them up is not what is measured.
const { register, memory, relative } = ours.OperandKind;
const { Register, Memory, NearBranch64, Immediate8, Immediate32to64 } = iced.OpKind;

/** Sums what was read, so that nothing can be left out. */
let sum = 0;

function oursIdentity(bytes) {
  let count = 0;
  for (let offset = 0; offset < bytes.length; count++) {
    const status = ours.decode(bytes, offset, options, instruction);
    offset += status === 0 ? instruction.length : 1;
    sum += instruction.encoding;
  }
  return count;
}

function oursOperands(bytes) {
  let count = 0;
  for (let offset = 0; offset < bytes.length; count++) {
    if (ours.decode(bytes, offset, options, instruction) !== 0) {
      offset++;
      continue;
    }
    offset += instruction.length;
    sum += instruction.encoding;
    const operands = ours.operandCount(instruction);
    for (let i = 0; i < operands; i++) {
      switch (ours.operandKind(instruction, i)) {
        case register:
          sum += ours.operandRegister(instruction, i);
          break;
        case memory:
          sum +=
            ours.memoryBase(instruction, i) +
            ours.memoryIndex(instruction, i) +
            instruction.scale +
            instruction.displacement;
          break;
        case relative:
          sum += instruction.immediate;
          break;
        default:
          sum += ours.operandImmediate(instruction, i);
      }
    }
  }
  return count;
}

function icedDecode(bytes, each) {
  const decoder = new iced.Decoder(64, bytes, iced.DecoderOptions.None);
  const theirs = new iced.Instruction();
  let count = 0;
  while (decoder.canDecode) {
    decoder.decodeOut(theirs);
    sum += theirs.length + theirs.code;
    if (each !== undefined && theirs.code !== 0) each(theirs);
    count++;
  }
  theirs.free();
  decoder.free();
  return count;
}

function icedOperands(theirs) {
  const operands = theirs.opCount;
  for (let i = 0; i < operands; i++) {
    const kind = theirs.opKind(i);
    if (kind === Register) sum += theirs.opRegister(i);
    else if (kind === Memory) {
      sum +=
        theirs.memoryBase + theirs.memoryIndex + theirs.memoryIndexScale + Number(theirs.memoryDisplacement);
    } else if (kind >= Immediate8 && kind <= Immediate32to64) sum += Number(theirs.immediate(i));
    else if (kind <= NearBranch64) sum += Number(theirs.nearBranchTarget);
  }
}

function oursFormat(bytes, format) {
  let count = 0;
  for (let offset = 0; offset < bytes.length; count++) {
    if (ours.decode(bytes, offset, options, instruction) !== 0) {
      offset++;
      continue;
    }
    sum += format(instruction, offset).length;
    offset += instruction.length;
  }
  return count;
}

function icedFormat(bytes, syntax) {
  const formatter = new iced.Formatter(syntax);
  const count = icedDecode(bytes, (theirs) => {
    sum += formatter.format(theirs).length;
  });
  formatter.free();
  return count;
}

await loadCapstone();
const capstone = new Capstone(Const.CS_ARCH_X86, Const.CS_MODE_64);
/**
 * Capstone has no call that decodes without formatting, and answers an object per instruction; pages keep its heap small. It stops at
 * bytes that it does not know.
 */
function capstoneAll(bytes) {
  let count = 0;
  for (let offset = 0; offset < bytes.length; offset++) {
    let found = [];
    try {
      found = capstone.disasm(bytes.subarray(offset, offset + 4096));
    } catch {
      // Nothing at all could be decoded here.
    }
    for (const one of found) {
      sum += one.size + one.opStr.length;
      offset += one.size;
    }
    count += found.length;
  }
  return count;
}

const rows = [
  ['length, identity', code, oursIdentity, (bytes) => icedDecode(bytes), undefined],
  ['length, identity, operands', code, oursOperands, (bytes) => icedDecode(bytes, icedOperands), undefined],
  [
    'format Intel',
    formattedCode,
    (b) => oursFormat(b, formatIntel),
    (b) => icedFormat(b, iced.FormatterSyntax.Intel),
    capstoneAll,
  ],
  [
    'format AT&T',
    formattedCode,
    (b) => oursFormat(b, formatAtt),
    (b) => icedFormat(b, iced.FormatterSyntax.Gas),
    undefined,
  ],
  [
    'format NASM',
    formattedCode,
    (b) => oursFormat(b, formatNasm),
    (b) => icedFormat(b, iced.FormatterSyntax.Nasm),
    undefined,
  ],
].map(([name, bytes, ...runs]) => {
  const rates = runs.map(() => []);
  const pieces = Array.from({ length: 20 }, (_, i) =>
    bytes.slice(Math.floor((i * bytes.length) / 20), Math.floor(((i + 1) * bytes.length) / 20)),
  );
  // One more round than counted: the first compiles.
  for (let round = 0; round <= Number(values.rounds); round++) {
    const counts = runs.map(() => 0);
    const times = runs.map(() => 0);
    for (const piece of pieces) {
      for (const [i, run] of runs.entries()) {
        if (run === undefined) continue;
        // Processor time, so that what else the machine does cancels out.
        const start = process.cpuUsage();
        counts[i] += run(piece);
        const { user, system } = process.cpuUsage(start);
        times[i] += user + system;
      }
    }
    if (round === 0) continue;
    for (const [i, run] of runs.entries()) if (run !== undefined) rates[i].push(counts[i] / times[i]);
  }
  const [own, theirs, third] = rates.map(median);
  return { name, ours: own, iced: theirs, capstone: third, ratioVsIced: own / theirs };
});

const start = startUp(
  '../dist/index.js',
  'import { decode, DecoderOptions, Instruction } from M; decode(Uint8Array.of(0x90), 0, new DecoderOptions(), new Instruction());',
);
const icedStart = startUp(
  'iced-x86',
  'import { Decoder, Instruction } from M; new Decoder(64, Uint8Array.of(0x90), 0).decodeOut(new Instruction());',
);

console.log(
  `node ${process.versions.node}, V8 ${process.versions.v8}; ${code.length / mebibyte} MiB of ${values.code}; million instructions per second`,
);
for (const { name, ours: own, iced: theirs, capstone: third, ratioVsIced } of rows) {
  console.log(
    `${name.padEnd(28)} ours ${figure(own)}  iced ${figure(theirs)}  capstone ${figure(third)}  ratio ${ratioVsIced.toFixed(2)}`,
  );
}
console.log(`import and first decode: ours ${start.toFixed(1)} ms, iced ${icedStart.toFixed(1)} ms`);
console.log(
  `ratios to iced-x86: ${rows.map((row) => `${row.name} ${row.ratioVsIced.toFixed(2)}`).join('; ')}`,
);
if (values.json !== undefined) {
  writeFileSync(
    values.json,
    `${JSON.stringify({ node: process.versions.node, rows, startMilliseconds: { ours: start, iced: icedStart }, sum: Number.isFinite(sum) }, null, 2)}\n`,
  );
}

function figure(rate) {
  return (rate === undefined ? '–' : rate.toFixed(1)).padStart(6);
}

function median(numbers) {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1];
}

/** Milliseconds from import to the first decoded instruction, in new processes; the median of nine. */
function startUp(module, statement) {
  const url = module.startsWith('.') ? new URL(module, import.meta.url).href : import.meta.resolve(module);
  const body = statement.replace(
    /import (\{.*?\}) from M;/,
    `const start = performance.now(); const $1 = await import(${JSON.stringify(url)});`,
  );
  const times = Array.from({ length: 9 }, () =>
    Number(
      execFileSync(
        process.execPath,
        ['--input-type=module', '-e', `${body} console.log(performance.now() - start);`],
        { encoding: 'utf8' },
      ),
    ),
  );
  return median(times);
}

/** The first `size` bytes of executable segments of an ELF64 file, or of the file itself. */
function codeOf(file, size) {
  if (file.readUInt32BE(0) !== 0x7f454c46) return new Uint8Array(file.subarray(0, size));
  const parts = [];
  const table = Number(file.readBigUInt64LE(32));
  for (let i = 0; i < file.readUInt16LE(56); i++) {
    const header = table + i * file.readUInt16LE(54);
    if (file.readUInt32LE(header) !== 1 || (file.readUInt32LE(header + 4) & 1) === 0) continue;
    const offset = Number(file.readBigUInt64LE(header + 8));
    parts.push(file.subarray(offset, offset + Number(file.readBigUInt64LE(header + 32))));
  }
  const all = Buffer.concat(parts);
  // From the middle: the start of a big binary is often tables and stubs.
  const from = Math.max(0, (all.length - size) >> 1);
  return new Uint8Array(all.subarray(from, from + size));
}
