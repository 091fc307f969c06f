import { describe, expect, test } from 'vitest';
import { type AttFormatOptions, formatAtt, formatAttSpans } from '../src/format/att.ts';
import { formatIntel, formatIntelSpans } from '../src/format/intel.ts';
import { formatNasm, formatNasmSpans } from '../src/format/nasm.ts';
import type { FormatOptions, Span } from '../src/format/options.ts';
import { DecoderOptions, DecodeStatus, decode, Instruction } from '../src/index.ts';
import { featureSets } from './oracle/features.ts';
import { type OraclePair, oracleOptions, records } from './oracle/iced.ts';
import { randomStrings } from './oracle/random.ts';
import { type Mode, sampleDecoderOptions, samplesOf } from './oracle/samples.ts';
import { TextComparison } from './oracle/text-comparison.ts';

const modes = [64, 32, 16] as const;
const stride = 16;
/** Milliseconds; on an idle machine none of these tests takes four seconds. */
const patience = 60_000;
const address = 0x7ffff7001234n;

function decoded(hex: string, mode: Mode = 64, out: Instruction = new Instruction()): Instruction {
  decode(Uint8Array.from(Buffer.from(hex, 'hex')), 0, options[mode], out);
  return out;
}
const options = {
  64: new DecoderOptions(),
  32: new DecoderOptions({ mode: 32 }),
  16: new DecoderOptions({ mode: 16 }),
};

/** Samples of every row for a mode, by the oracle options that they need. */
function sampleBuffers(mode: Mode): Map<OraclePair, Uint8Array> {
  let buffers = knownBuffers.get(mode);
  if (buffers === undefined) knownBuffers.set(mode, (buffers = makeSampleBuffers(mode)));
  return buffers;
}
const knownBuffers = new Map<Mode, Map<OraclePair, Uint8Array>>();

function makeSampleBuffers(mode: Mode): Map<OraclePair, Uint8Array> {
  const groups = new Map<string, { pair: OraclePair; samples: Uint8Array[] }>();
  for (const record of records) {
    const named = (prefix: string) =>
      [...record.attributes]
        .filter((word) => word.startsWith(prefix))
        .map((word) => word.slice(prefix.length));
    for (const sample of samplesOf(record)) {
      if (sample.mode !== mode) continue;
      const { vendor } = sampleDecoderOptions(record, mode);
      const enable = ['mpx', ...named('option:')] as never[];
      const disable = named('unless:') as never[];
      const key = `${vendor} ${enable.join()} ${disable.join()}`;
      let group = groups.get(key);
      if (group === undefined)
        groups.set(key, (group = { pair: oracleOptions(mode, vendor, enable, disable), samples: [] }));
      group.samples.push(sample.bytes);
      // All immediates of what has pseudo-operations.
      if (
        sample.what === 'register' &&
        /^(V?P?CMP|VPCOM|V?PCLMUL)/.test(record.mnemonic) &&
        record.opcode.endsWith('ib')
      ) {
        for (let immediate = 0; immediate < 256; immediate++) {
          const bytes = sample.bytes.slice();
          bytes[bytes.length - 1] = immediate;
          group.samples.push(bytes);
        }
      }
    }
  }
  const buffers = new Map<OraclePair, Uint8Array>();
  for (const { pair, samples } of groups.values()) {
    const buffer = new Uint8Array(samples.length * stride);
    for (const [i, bytes] of samples.entries()) buffer.set(bytes, i * stride);
    buffers.set(pair, buffer);
  }
  return buffers;
}

describe('iced-x86 writes the same, samples of every encoding', { timeout: patience }, () => {
  test.each(modes)('%i-bit', (mode) => {
    const comparison = new TextComparison();
    for (const [pair, buffer] of sampleBuffers(mode))
      comparison.add(buffer, stride, pair, mode === 64 ? address : 0x1234n);
    expect(comparison.differences).toEqual([]);
    expect(comparison.compared).toBeGreaterThan(90_000);
  });
});

describe('iced-x86 writes the same, random bytes', { timeout: patience }, () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  test.each(modes)(`%i-bit (SEED=${seed})`, (mode) => {
    const comparison = new TextComparison();
    for (const [i, pair] of featureSets(mode).entries()) {
      randomStrings(mode, i === 0 ? 200_000 : 5_000, seed + i, (buffer, step) =>
        comparison.add(buffer, step, pair, 0n),
      );
    }
    expect(comparison.differences).toEqual([]);
  });
});

describe('iced-x86 writes the same with options', { timeout: patience }, () => {
  const sets: [string, FormatOptions][] = [
    ['uppercase', { uppercase: true }],
    ['suffixed numbers', { hexStyle: '1fh' }],
    ['suffixed numbers in upper case', { hexStyle: '1fh', uppercaseHex: true, plainDigits: false }],
    ['upper-case digits', { uppercaseHex: true }],
    ['plain digits', { plainDigits: true }],
    ['no plain digits', { plainDigits: false }],
    ['signed immediates', { signedImmediates: true }],
    ['no space', { spaceAfterComma: false }],
    ['space', { spaceAfterComma: true }],
    ['RIP', { ripRelative: true }],
    ['addresses', { ripRelative: false }],
    ['no pseudo-operations', { pseudoOperations: false }],
    ['memory sizes', { memorySizes: true }],
  ];
  test.each(sets.map(([name, set], i) => [name, set, i] as const))('%s', (_, set, i) => {
    const comparison = new TextComparison(set);
    // A few of the samples, others for each set.
    for (const [pair, buffer] of sampleBuffers(64))
      comparison.add(buffer, stride * 19, pair, address, stride * i);
    for (const [pair, buffer] of sampleBuffers(32)) comparison.add(buffer, stride * 83, pair, 0n, stride * i);
    expect(comparison.differences).toEqual([]);
    expect(comparison.compared).toBeGreaterThan(10_000);
  });
});

// Bytes, Intel, AT&T, NASM.
const texts: [string, string, string, string][] = [
  ['90', 'nop', 'nop', 'nop'],
  ['c3', 'ret', 'ret', 'ret'],
  ['4889e5', 'mov rbp, rsp', 'mov %rsp,%rbp', 'mov rbp, rsp'],
  ['c745f810000000', 'mov dword ptr [rbp-8], 0x10', 'movl $0x10,-0x8(%rbp)', 'mov dword [rbp-8], 0x10'],
  ['488b05100000000', 'mov rax, [0x1017]', 'mov 0x10(%rip),%rax', 'mov rax, [rel 0x1017]'],
  ['64488b042528000000', 'mov rax, fs:[0x28]', 'mov %fs:0x28,%rax', 'mov rax, [fs:0x28]'],
  ['e8fbffffff', 'call 0x1000', 'call 0x1000', 'call 0x1000'],
  ['74fe', 'je short 0x1000', 'je 0x1000', 'je short 0x1000'],
  ['f348ab', 'rep stosq [rdi]', 'rep stos %rax,(%rdi)', 'rep stosq'],
  ['f0480fb10f', 'lock cmpxchg [rdi], rcx', 'lock cmpxchg %rcx,(%rdi)', 'lock cmpxchg [rdi], rcx'],
  ['0fb6c0', 'movzx eax, al', 'movzbl %al,%eax', 'movzx eax, al'],
  ['4898', 'cdqe', 'cltq', 'cdqe'],
  [
    '48b8f0debc9a78563412',
    'mov rax, 0x123456789abcdef0',
    'movabs $0x123456789abcdef0,%rax',
    'mov rax, 0x123456789abcdef0',
  ],
  ['f30f5ec1', 'divss xmm0, xmm1', 'divss %xmm1,%xmm0', 'divss xmm0, xmm1'],
  ['0fc2c100', 'cmpeqps xmm0, xmm1', 'cmpeqps %xmm1,%xmm0', 'cmpeqps xmm0, xmm1'],
  ['d9c1', 'fld st, st(1)', 'fld %st(1)', 'fld st1'],
  ['62f17c485810', 'vaddps zmm2, zmm0, [rax]', 'vaddps (%rax),%zmm0,%zmm2', 'vaddps zmm2, zmm0, [rax]'],
  [
    '62f17cd958500a',
    'vaddps zmm2{k1}{z}, zmm0, [rax+0x28]{1to16}',
    'vaddps 0x28(%rax){1to16},%zmm0,%zmm2{%k1}{z}',
    'vaddps zmm2{k1}{z}, zmm0, [rax+0x28]{1to16}',
  ],
  [
    '62f17c3858d1',
    'vaddps zmm2{rd-sae}, zmm0, zmm1',
    'vaddps {rd-sae},%zmm1,%zmm0,%zmm2',
    'vaddps zmm2, zmm0, zmm1, {rd-sae}',
  ],
  [
    'ff2425785634f2',
    'jmp qword ptr [0xfffffffff2345678]',
    'jmpq *0xfffffffff2345678',
    'jmp qword [0xfffffffff2345678]',
  ],
];

test('known texts', () => {
  for (const [hex, ...expected] of texts) {
    const instruction = decoded(hex);
    expect([
      formatIntel(instruction, 0x1000),
      formatAtt(instruction, 0x1000),
      formatNasm(instruction, 0x1000),
    ]).toEqual(expected);
  }
});

// APX is newer than iced-x86; the words are those of LLVM 19 and XED, the style is that of the other texts.
const apxTexts: [string, string, string][] = [
  ['d51101c8', 'add r24d, ecx', 'add %ecx,%r24d'],
  ['62f47c0801c8', '{evex} add eax, ecx', '{evex} add %ecx,%eax'],
  ['62f47c0c01c8', '{nf} add eax, ecx', '{nf} add %ecx,%eax'],
  ['62f47418ffc0', 'inc ecx, eax', 'inc %eax,%ecx'],
  ['62f47c0cff00', '{nf} inc dword ptr [rax]', '{nf} incl (%rax)'],
  ['62f46c0239c8', 'ccmpb {dfv=of,sf,cf} eax, ecx', 'ccmpb {dfv=of,sf,cf} %ecx,%eax'],
  ['d500a1ffffffffffffffff', 'jmpabs 0xffffffffffffffff', 'jmpabs $0xffffffffffffffff'],
  ['62f43c18fff5', 'push2 r8, rbp', 'push2 %rbp,%r8'],
  ['62f47f184bc0', 'setzunp al', 'setzunp %al'],
];

test('APX', () => {
  for (const [hex, intel, att] of apxTexts) {
    const instruction = decoded(hex);
    expect([formatIntel(instruction), formatAtt(instruction)]).toEqual([intel, att]);
    expect(formatNasm(instruction)).toBe(intel.replace(' ptr', ''));
  }
});

// What `objdump -d` of binutils 2.40 prints, up to its remarks behind # and symbols.
const objdumpTexts: [string, string][] = [
  ['90', 'nop'],
  ['6690', 'xchg   %ax,%ax'],
  ['66662e0f1f840000000000', 'data16 cs nopw 0x0(%rax,%rax,1)'],
  ['e8fbffffff', 'call   0x1000'],
  ['f27402', 'bnd je 0x1005'],
  ['ff2510000000', 'jmp    *0x10(%rip)'],
  ['ff75f8', 'push   -0x8(%rbp)'],
  ['3effe0', 'notrack jmp *%rax'],
  ['f3c3', 'repz ret'],
  ['f348a5', 'rep movsq %ds:(%rsi),%es:(%rdi)'],
  ['f3a6', 'repz cmpsb %es:(%rdi),%ds:(%rsi)'],
  ['ec', 'in     (%dx),%al'],
  ['48d1e8', 'shr    %rax'],
  ['8b04a500100000', 'mov    0x1000(,%riz,4),%eax'],
  ['0f21c0', 'mov    %db0,%rax'],
  ['4869d2100e0000', 'imul   $0xe10,%rdx,%rdx'],
  ['dec1', 'faddp  %st,%st(1)'],
  ['c1f010', 'shl    $0x10,%eax'],
  ['cb', 'lret'],
  ['48cf', 'iretq'],
  ['024c25f5', 'add    -0xb(%rbp,%riz,1),%cl'],
  ['66488d3d10000000', 'data16 lea 0x10(%rip),%rdi'],
  ['6648e8fbffffff', 'data16 rex.W call 0x1002'],
];

test('objdump', () => {
  for (const [hex, expected] of objdumpTexts) {
    const instruction = decoded(hex);
    expect(formatAtt(instruction, 0x1000, { objdump: true })).toBe(expected);
  }
  const symbol = () => ({ name: 'main', offset: 4 });
  expect(formatAtt(decoded('e8fbffffff'), 0x1000, { objdump: true, symbol })).toBe('call   1000 <main+0x4>');
  expect(formatAtt(decoded('8b0500000000'), 0, { objdump: true, symbol })).toBe('mov    0x0(%rip),%eax');
});

test('what is no instruction is (bad)', () => {
  const instruction = decoded('0fff');
  instruction.status = DecodeStatus.invalid;
  for (const format of [formatIntel, formatAtt, formatNasm]) expect(format(instruction)).toBe('(bad)');
});

describe('address of the instruction', () => {
  const jump = decoded('ebfe');
  test('as number and as BigInt, up to 64 bits', () => {
    for (const at of [
      0n,
      0xffffffffn,
      0x100000000n,
      0x1fffffffffffffn,
      0xffffffff80000000n,
      0xffffffffffffffffn,
    ]) {
      expect(formatAtt(jump, at)).toBe(`jmp 0x${at.toString(16)}`);
      if (at < 2n ** 53n) expect(formatAtt(jump, Number(at))).toBe(`jmp 0x${at.toString(16)}`);
    }
    // A negative number is an address in the upper half.
    expect(formatAtt(jump, -0x80000000)).toBe('jmp 0xffffffff80000000');
    expect(formatAtt(jump, -1n)).toBe('jmp 0xffffffffffffffff');
  });
  test('carries into the upper half, and wraps', () => {
    expect(formatIntel(decoded('e900000000'), 0xfffffffc)).toBe('jmp 0x100000001');
    expect(formatIntel(decoded('e9f0ffffff'), 0x100000000)).toBe('jmp 0xfffffff5');
    expect(formatIntel(decoded('e900000000'), 0xffffffffffffffffn)).toBe('jmp 4');
    expect(formatIntel(decoded('488b0500000000'), 0xffffffffn)).toBe('mov rax, [0x100000006]');
    expect(formatIntel(decoded('67488b0500000000'), 0xffffffffn)).toBe('mov rax, [7]');
    expect(formatIntel(decoded('e900000000', 32), 0xffffffff)).toBe('jmp 4');
    expect(formatIntel(decoded('e90000', 16), 0xffff)).toBe('jmp 2');
  });
});

describe('symbols', () => {
  const symbol = (at: bigint) =>
    at === 0x2000n
      ? 'main'
      : at > 0x2000n && at < 0x2100n
        ? { name: 'main', offset: Number(at - 0x2000n) }
        : undefined;
  const named = (hex: string) => {
    const instruction = decoded(hex);
    return [
      formatIntel(instruction, 0x1000, { symbol }),
      formatAtt(instruction, 0x1000, { symbol }),
      formatNasm(instruction, 0x1000, { symbol }),
    ];
  };
  test('branches', () => {
    expect(named('e8fb0f0000')).toEqual(['call main', 'call main', 'call main']);
    expect(named('0f84fb0f0000')).toEqual(['je main+1', 'je main+0x1', 'je near main+1']);
    expect(named('e800000000')).toEqual(['call 0x1005', 'call 0x1005', 'call 0x1005']);
  });
  test('memory', () => {
    expect(named('488d05f90f0000')).toEqual([
      'lea rax, [main]',
      'lea main(%rip),%rax',
      'lea rax, [rel main]',
    ]);
    expect(named('488d0509100000')).toEqual([
      'lea rax, [main+0x10]',
      'lea main+0x10(%rip),%rax',
      'lea rax, [rel main+0x10]',
    ]);
    expect(named('488d0500000000')).toEqual([
      'lea rax, [0x1007]',
      'lea 0x0(%rip),%rax',
      'lea rax, [rel 0x1007]',
    ]);
    expect(named('8b042500200000')).toEqual(['mov eax, [main]', 'mov main,%eax', 'mov eax, [main]']);
    // Behind FS and GS stand other addresses.
    expect(named('648b042500200000')).toEqual([
      'mov eax, fs:[0x2000]',
      'mov %fs:0x2000,%eax',
      'mov eax, [fs:0x2000]',
    ]);
    const sum = decoded('488d0500000000');
    expect(formatNasm(sum, 0, { symbol, ripRelative: true })).toBe('lea rax, [rip]');
    expect(formatIntel(sum, 0x1ff9, { symbol, ripRelative: true })).toBe('lea rax, [main]');
    expect(named('8b8000200000')).toEqual([
      'mov eax, [rax+0x2000]',
      'mov 0x2000(%rax),%eax',
      'mov eax, [rax+0x2000]',
    ]);
  });
  test('the resolver may format instructions itself', () => {
    const nested: AttFormatOptions = {
      symbol: () => formatAtt(decoded('e800000000'), 0, { symbol: () => 'inner' }).slice(5),
    };
    expect(formatAtt(decoded('e800000000'), 0x1000, nested)).toBe('call inner');
  });
  test('in upper-case text they stay as they are', () => {
    expect(formatIntel(decoded('e8fb0f0000'), 0x1000, { symbol, uppercase: true })).toBe('CALL main');
  });
});

describe('spans', { timeout: patience }, () => {
  const join = (spans: Span[]) => spans.map(({ text }) => text).join('');
  test('kinds', () => {
    const spans = formatIntelSpans(decoded('f0814cd8f810000000'));
    expect(spans).toEqual([
      { kind: 'prefix', text: 'lock' },
      { kind: 'text', text: ' ' },
      { kind: 'mnemonic', text: 'or' },
      { kind: 'text', text: ' ' },
      { kind: 'keyword', text: 'dword ptr' },
      { kind: 'text', text: ' ' },
      { kind: 'punctuation', text: '[' },
      { kind: 'register', text: 'rax' },
      { kind: 'punctuation', text: '+' },
      { kind: 'register', text: 'rbx' },
      { kind: 'punctuation', text: '*' },
      { kind: 'number', text: '8' },
      { kind: 'punctuation', text: '-' },
      { kind: 'number', text: '8' },
      { kind: 'punctuation', text: '], ' },
      { kind: 'number', text: '0x10' },
    ]);
    expect(formatAttSpans(decoded('62f17cd95810')).filter(({ kind }) => kind === 'decorator')).toEqual([
      { kind: 'decorator', text: '{1to16}' },
      { kind: 'decorator', text: '{%k1}{z}' },
    ]);
    expect(formatNasmSpans(decoded('e800000000'), 0, { symbol: () => 'f' })).toContainEqual({
      kind: 'symbol',
      text: 'f',
    });
    expect(formatIntelSpans(new Instruction())).toEqual([{ kind: 'text', text: '(bad)' }]);
  });
  test('together they are the text', () => {
    const instruction = new Instruction();
    const sets: AttFormatOptions[] = [
      {},
      { uppercase: true, hexStyle: '1fh' },
      { objdump: true, symbol: (at) => (at & 1n ? 'odd' : undefined) },
    ];
    for (const mode of modes) {
      for (const buffer of sampleBuffers(mode).values()) {
        for (let offset = 0; offset < buffer.length; offset += stride * 17) {
          if (decode(buffer, offset, options[mode], instruction) !== DecodeStatus.ok) continue;
          for (const set of sets) {
            if (join(formatIntelSpans(instruction, offset, set)) !== formatIntel(instruction, offset, set))
              expect.unreachable();
            if (join(formatAttSpans(instruction, offset, set)) !== formatAtt(instruction, offset, set))
              expect.unreachable();
            if (join(formatNasmSpans(instruction, offset, set)) !== formatNasm(instruction, offset, set))
              expect.unreachable();
          }
        }
      }
    }
  });
});

describe('options', () => {
  test('memory sizes', () => {
    const always = { memorySizes: true };
    expect(formatIntel(decoded('8b00'), 0, always)).toBe('mov eax, dword ptr [rax]');
    expect(formatNasm(decoded('8b00'), 0, always)).toBe('mov eax, dword [rax]');
    expect(formatAtt(decoded('8b00'), 0, always)).toBe('mov (%rax),%eax');
    expect(formatIntel(decoded('0f1100'), 0, always)).toBe('movups xmmword ptr [rax], xmm0');
    // LEA's memory has no size.
    expect(formatIntel(decoded('488d00'), 0, always)).toBe('lea rax, [rax]');
  });
  test('a new object is a new style; the old one stays', () => {
    const first = { uppercase: true };
    const instruction = decoded('4889e5');
    expect(formatIntel(instruction, 0, first)).toBe('MOV RBP, RSP');
    expect(formatIntel(instruction, 0, { spaceAfterComma: false })).toBe('mov rbp,rsp');
    expect(formatIntel(instruction)).toBe('mov rbp, rsp');
    expect(formatIntel(instruction, 0, first)).toBe('MOV RBP, RSP');
  });
  test('wrong ones throw and say what is allowed', () => {
    expect(() => formatIntel(decoded('90'), 0, { hexStyle: '$1f' as never })).toThrow(
      'hexStyle "$1f": 0x1f or 1fh is allowed',
    );
  });
});
