import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import { BareProcessor } from './bare-processor.ts';

/*
 * General instructions where the stack, addresses or operands have 16 bits: the host processor runs no such code for us, so what is expected comes
 * from the manual (SDM vol. 1, 3.3.5, 6.2.3; vol. 2).
 */

const codeAddress = 0x1000;
/** UD2 */
const end = [0x0f, 0x0b];
const names = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'] as const;
type Registers = Partial<Record<(typeof names)[number], number>>;

interface Modes {
  /** Default size of code. */
  readonly code: 16 | 32;
  /** Width of the stack pointer. */
  readonly stack: 16 | 32;
}

function run(
  { code, stack }: Modes,
  bytes: readonly number[],
  before: Registers,
  memory: Readonly<Record<number, number>> = {},
): BareProcessor {
  const bare = new BareProcessor({ accel: 'interp' });
  const { state } = bare.processor;
  state.set('segmentAttributes', code === 32 ? 0xc09b : 0x809b, Segment.cs);
  state.set('segmentAttributes', stack === 32 ? 0xc093 : 0x8093, Segment.ss);
  bare.processor.segmentsChanged();
  bare.ram.set([...bytes, ...end], codeAddress);
  for (const [address, byte] of Object.entries(memory)) bare.ram[Number(address)] = byte;
  for (const [name, value] of Object.entries(before))
    bare.setRegister(names.indexOf(name as 'ax'), BigInt(value));
  bare.rip = codeAddress;
  bare.processor.run(10_000);
  expect(bare.seen?.vector).toBe(6);
  return bare;
}

function registers(bare: BareProcessor, ...wanted: (typeof names)[number][]): number[] {
  return wanted.map((name) => Number(bare.register(names.indexOf(name))));
}

function word(bare: BareProcessor, address: number): number {
  return bare.ram[address] | (bare.ram[address + 1] << 8);
}

const narrow: Modes = { code: 16, stack: 16 };

describe('a stack pointer of 16 bits', () => {
  test('PUSH wraps within 64 KiB and keeps the upper half of ESP', () => {
    const bare = run(narrow, [0x50], { ax: 0x1234, sp: 0xabcd_0000 });
    expect(word(bare, 0xfffe)).toBe(0x1234);
    expect(registers(bare, 'sp')).toEqual([0xabcd_fffe]);
  });

  test('POP wraps', () => {
    const bare = run(narrow, [0x5b], { sp: 0xabcd_fffe }, { 65534: 0x78, 65535: 0x56 });
    expect(registers(bare, 'bx', 'sp')).toEqual([0x5678, 0xabcd_0000]);
  });

  test('POP to memory addresses with SP already moved', () => {
    // pop word [esp]
    const bare = run(narrow, [0x67, 0x8f, 0x04, 0x24], { sp: 0x8000 }, { 32768: 0x21, 32769: 0x43 });
    expect([word(bare, 0x8002), ...registers(bare, 'sp')]).toEqual([0x4321, 0x8002]);
  });

  test('LEAVE takes SP from BP and keeps the upper half of ESP', () => {
    const bare = run(narrow, [0xc9], { bp: 0x7777_9000, sp: 0xabcd_0010 }, { 36864: 0x11, 36865: 0x22 });
    expect(registers(bare, 'bp', 'sp')).toEqual([0x7777_2211, 0xabcd_9002]);
  });

  test('CALL, through a register too, pushes IP; RET imm16 releases bytes', () => {
    // call bx; ud2 … at 1100h: ret 6
    const bare = run(narrow, [0xff, 0xd3], { bx: 0x1100, sp: 0x0002 }, { 4352: 0xc2, 4353: 6 });
    expect(word(bare, 0)).toBe(codeAddress + 2);
    expect(registers(bare, 'sp')).toEqual([8]);
    expect(Number(bare.rip)).toBe(codeAddress + 2);
  });

  test('32-bit operands use it, too', () => {
    // push eax
    const bare = run(narrow, [0x66, 0x50], { ax: 0x89ab_cdef, sp: 0x1_0002 });
    expect([word(bare, 0xfffe), word(bare, 0x1_0000)]).toEqual([0xcdef, 0x89ab]);
    expect(registers(bare, 'sp')).toEqual([0x1_fffe]);
  });
});

describe('counters and pointers of 16 bits', () => {
  test('LOOP counts CX and keeps the upper half of ECX', () => {
    // inc dx; loop -3
    const bare = run(narrow, [0x42, 0xe2, 0xfd], { cx: 0x5_0003, dx: 0 });
    expect(registers(bare, 'cx', 'dx')).toEqual([0x5_0000, 3]);
  });

  test('LOOP with 67 in 32-bit code', () => {
    const bare = run({ code: 32, stack: 32 }, [0x42, 0x67, 0xe2, 0xfc], { cx: 0x5_0002, dx: 0 });
    expect(registers(bare, 'cx', 'dx')).toEqual([0x5_0000, 2]);
  });

  test.each([
    ['JCXZ looks at CX', [0xe3], 0x5_0000, true],
    ['JECXZ at ECX', [0x67, 0xe3], 0x5_0000, false],
    ['JECXZ of 0', [0x67, 0xe3], 0, true],
  ] as const)('%s', (_, opcode, cx, jumps) => {
    // The branch goes over inc dx.
    const bare = run(narrow, [...opcode, 1, 0x42], { cx, dx: 0 });
    expect(registers(bare, 'dx')).toEqual([jumps ? 0 : 1]);
  });

  test('REP MOVSB wraps SI and DI within 64 KiB', () => {
    const bare = run(
      narrow,
      [0xf3, 0xa4],
      { cx: 0x9_0004, si: 0x3_fffe, di: 0x4_8ffe },
      { 65534: 1, 65535: 2, 0: 3, 1: 4 },
    );
    expect([...bare.ram.subarray(0x8ffe, 0x9002)]).toEqual([1, 2, 3, 4]);
    expect(registers(bare, 'cx', 'si', 'di')).toEqual([0x9_0000, 0x3_0002, 0x4_9002]);
  });

  test('REP STOSW over a page and the end of 64 KiB', () => {
    const bare = run(narrow, [0xf3, 0xab], { ax: 0x3c5a, cx: 3000, di: 0xf000 });
    expect([word(bare, 0xf000), word(bare, 0xfffe), word(bare, 0)]).toEqual([0x3c5a, 0x3c5a, 0x3c5a]);
    expect(registers(bare, 'cx', 'di')).toEqual([0, (0xf000 + 6000) & 0xffff]);
  });

  test('XLATB wraps BX + AL', () => {
    const bare = run(narrow, [0xd7], { ax: 0x1210, bx: 0x7_fff8 }, { 8: 0x99 });
    expect(registers(bare, 'ax')).toEqual([0x1299]);
  });

  test('a bit string below and above a 16-bit operand', () => {
    // bts word [bx], cx with bit -1
    const bare = run(narrow, [0x0f, 0xab, 0x0f], { bx: 0x9000, cx: 0xffff });
    expect(word(bare, 0x8ffe)).toBe(0x8000);
  });
});

describe('branches between pages', () => {
  test.each(['interp', 'jit'] as const)(
    'wrap at 4 GiB in 32-bit code, by offset and linear address (%s)',
    (accel) => {
      const bare = new BareProcessor({ accel, heat: 4 });
      const { processor, context } = bare;
      const { state } = processor;
      context.set({ cr0: 0x11, cr3: 0, cr4: 0, efer: 0 });
      state.set('segmentAttributes', 0xc09b, Segment.cs);
      state.setPair('segmentBase', 0x1000, 0, Segment.cs);
      processor.stateChanged();
      // Offset fffff100h, linear 100h: jmp 10h · offset 10h, linear 1010h: jmp fffff100h
      bare.ram.set([0xe9, 0x0b, 0x0f, 0, 0], 0x100);
      bare.ram.set([0xe9, 0xeb, 0xf0, 0xff, 0xff], 0x1010);
      bare.rip = 0xfffff100;
      for (let count = 1; count < 40; count++) {
        processor.run(count);
        expect(bare.rip).toBe(processor.retired % 2 === 0 ? 0xfffff100n : 0x10n);
      }
      expect(bare.seen).toBe(undefined);
    },
  );

  test('are linked across 2 GiB, as elsewhere', () => {
    const bare = new BareProcessor();
    const { ram, processor, engine } = bare;
    const view = new DataView(engine.memory.buffer, engine.physical.base);
    const level2 = ram.length - 0x6000 + 0x2000;
    // The 2 MiB on both sides are the first ones of RAM.
    view.setBigUint64(level2 + 0x1000 + 8 * 511, 0x87n, true);
    view.setBigUint64(level2 + 0x2000, 0x87n, true);
    // 7fffff00h: jmp 80001000h · 80001000h: jmp 7fffff00h
    ram.set([0xe9, 0xfb, 0x10, 0, 0], 0x1f_ff00);
    ram.set([0xe9, 0xfb, 0xee, 0xff, 0xff], 0x1000);
    bare.rip = 0x7fff_ff00;
    processor.run(1001);
    expect(bare.rip).toBe(0x8000_1000n);
    expect(processor.statistics.exits.link).toBeLessThan(10);
  });
});
