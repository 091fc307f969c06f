import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import { BareProcessor } from './bare-processor.ts';
import { hasHost } from './harness/host-processor.ts';
import { nativeProgram } from './harness/native-program.ts';

/*
 * Instructions of 16-bit and 32-bit code against the host processor in compatibility mode: every AL, some AH, CF and AF both ways.
 */

const statusFlags = 0x8d5;
const all = statusFlags;
const [cf, pf, af, zf, sf] = [1, 4, 0x10, 0x40, 0x80];

interface Subject {
  readonly name: string;
  readonly code: readonly number[];
  /** Flags that the manual defines. */
  readonly defined: number;
}

const bases = [1, 2, 7, 10, 16, 100, 128, 255];
const subjects: readonly Subject[] = [
  { name: 'daa', code: [0x27], defined: cf | pf | af | zf | sf },
  { name: 'das', code: [0x2f], defined: cf | pf | af | zf | sf },
  { name: 'aaa', code: [0x37], defined: cf | af },
  { name: 'aas', code: [0x3f], defined: cf | af },
  { name: 'salc', code: [0xd6], defined: all },
  ...bases.map((base) => ({ name: `aam ${base}`, code: [0xd4, base], defined: sf | zf | pf })),
  ...bases.map((base) => ({ name: `aad ${base}`, code: [0xd5, base], defined: sf | zf | pf })),
];

interface Outcome {
  readonly eax: number;
  readonly flags: number;
}

const inputs: readonly Outcome[] = [0, 1, 9, 0x7f, 0xa5, 0xff].flatMap((ah) =>
  Array.from({ length: 256 }, (_, al) => (0x1234_0000 | (ah << 8) | al) >>> 0).flatMap((eax) =>
    [0, cf, af, cf | af, all].map((flags) => ({ eax, flags })),
  ),
);

function onHost({ code }: Subject): Outcome[] {
  const input = Buffer.alloc(12 * inputs.length);
  for (const [i, { eax, flags }] of inputs.entries()) {
    input[12 * i] = code.length;
    input.set(code, 12 * i + 1);
    input.writeUInt32LE(eax, 12 * i + 4);
    input.writeUInt32LE(flags | 2, 12 * i + 8);
  }
  const { stdout, status, signal } = spawnSync(
    nativeProgram(new URL('decimal/decimal.c', import.meta.url), ['-no-pie']),
    { input, maxBuffer: 2 ** 26 },
  );
  if (status !== 0) throw new Error(`the oracle ended with ${status ?? signal}`);
  return inputs.map((_, i) => ({
    eax: stdout.readUInt32LE(12 * i + 4),
    flags: stdout.readUInt32LE(12 * i + 8) & statusFlags,
  }));
}

/** Code with 32-bit operands in compatibility mode. */
function compatibility(): BareProcessor {
  const bare = new BareProcessor({ accel: 'interp' });
  bare.processor.state.set('segmentAttributes', 0xc09b, Segment.cs);
  bare.processor.segmentsChanged();
  return bare;
}

const codeAddress = 0x1000;
/** UD2 */
const end = [0x0f, 0x0b];

describe('decimal instructions do what the host does in compatibility mode', () => {
  test.runIf(hasHost()).each(subjects.map((subject) => [subject.name, subject] as const))(
    '%s',
    (_, subject) => {
      const bare = compatibility();
      const { state } = bare.processor;
      bare.ram.set([...subject.code, ...end], codeAddress);
      const wrong: string[] = [];
      onHost(subject).forEach((host, i) => {
        const { eax, flags } = inputs[i];
        state.setPair('gpr', eax, 0);
        state.flags = flags;
        bare.rip = codeAddress;
        bare.processor.run(10);
        const ours = { eax: state.low('gpr') >>> 0, flags: state.flags & statusFlags };
        const isEqual = ours.eax === host.eax && ((ours.flags ^ host.flags) & subject.defined) === 0;
        if (bare.seen?.vector !== 6 || !isEqual)
          wrong.push(
            `${hex(eax)} ${hex(flags)}: ${hex(ours.eax)} ${hex(ours.flags)}, on the host ${hex(host.eax)} ${hex(host.flags)}`,
          );
      });
      expect(wrong.slice(0, 10)).toEqual([]);
    },
  );

  test('aam 0 raises #DE and changes nothing', () => {
    const bare = compatibility();
    bare.ram.set([0xd4, 0], codeAddress);
    bare.setRegister(0, 0x1234n);
    bare.rip = codeAddress;
    bare.processor.run(10);
    expect(bare.seen).toMatchObject({ vector: 0 });
    expect([bare.register(0), bare.rip]).toEqual([0x1234n, BigInt(codeAddress)]);
  });

  test.each([
    ['within', 5, 6],
    ['at the lower bound', -3, 6],
    ['at the upper bound', 9, 6],
    ['below', -4, 5],
    ['above', 10, 5],
  ] as const)('bound: %s (6 is the UD2 behind it)', (_, index, vector) => {
    const bare = compatibility();
    // bound eax, [ebx]
    bare.ram.set([0x62, 0x03, ...end], codeAddress);
    const view = new DataView(bare.ram.buffer, bare.ram.byteOffset);
    view.setInt32(0x2000, -3, true);
    view.setInt32(0x2004, 9, true);
    bare.setRegister(0, BigInt.asUintN(32, BigInt(index)));
    bare.setRegister(3, 0x2000n);
    bare.rip = codeAddress;
    bare.processor.run(10);
    expect(bare.seen?.vector).toBe(vector);
  });
});

function hex(value: number): string {
  return value.toString(16);
}
