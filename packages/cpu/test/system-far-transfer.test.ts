import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import {
  otherTss,
  program,
  Selector,
  stack0,
  stack1,
  stack3,
  TransferMachine,
  tss,
} from './transfer-machine.ts';

const { es, cs, ss, ds, fs, gs, tr } = Segment;
const target = 0x1_8000;
const { free } = Selector;
/** A second descriptor for tests. */
const second = 0x90;

/** Far JMP or CALL with the pointer in the instruction, for 32-bit code. */
function direct(opcode: 'ea' | '9a', selector: number, offset = target): string {
  const bytes = Buffer.alloc(7);
  bytes[0] = Number.parseInt(opcode, 16);
  bytes.writeUInt32LE(offset >>> 0, 1);
  bytes.writeUInt16LE(selector, 5);
  return bytes.toString('hex');
}

const jump = (selector: number, offset?: number): string => direct('ea', selector, offset);
const call = (selector: number, offset?: number): string => direct('9a', selector, offset);

describe('real-address and virtual-8086 mode', () => {
  test('JMP loads CS:IP', () => {
    const machine = new TransferMachine().real();
    machine.segment(cs, 8, 0, 0x3ffff, 0x409b);
    expect(machine.run('ea341200007856')).toBe('');
    expect(machine.rip).toBe(0x1234n);
    expect(machine.selector(cs)).toBe(0x5678);
    expect(machine.state.low('segmentBase', cs)).toBe(0x56780);
    // A 16-bit segment again, with the limit that it had (SDM vol. 3, 9.9.2).
    expect(machine.attributes(cs)).toBe(0x93);
    expect(machine.state.get('segmentLimit', cs)).toBe(0x3ffff);
  });

  test('CALL and RETF with both operand sizes', () => {
    for (const [code, back, bytes] of [
      ['9a34120002', 'cb', 2],
      ['669a341200000002', '66cb', 4],
    ] as const)
      for (const machine of [new TransferMachine().real(), new TransferMachine().virtual8086()]) {
        const start = machine.rip;
        const base = machine.state.low('segmentBase', ss);
        const from = machine.selector(cs);
        const pointer = machine.register(4);
        expect(machine.run(code)).toBe('');
        expect(machine.rip).toBe(0x1234n);
        expect(machine.state.low('segmentBase', cs)).toBe(0x2000);
        expect(machine.read(base + Number(machine.register(4)), 2, bytes)).toEqual([
          Number(start) + code.length / 2,
          from,
        ]);
        expect(machine.run(back)).toBe('');
        expect(machine.rip).toBe(start + BigInt(code.length / 2));
        expect(machine.selector(cs)).toBe(from);
        expect(machine.register(4)).toBe(pointer);
      }
  });

  test('offsets beyond the limit, stacks without room', () => {
    const machine = new TransferMachine().virtual8086();
    expect(machine.run('66ea0000010000ff')).toBe('13(0)');
    expect(machine.run('669a0000010000ff')).toBe('13(0)');
    machine.setRegister(4, 3);
    expect(machine.run('9a34120002')).toBe('12(0)');
    machine.setRegister(4, 0xffff);
    expect(machine.run('cb')).toBe('12(0)');
    machine.words(0x1000 + 0x100, 0x1_0000, 0);
    machine.setRegister(4, 0x100);
    expect(machine.run('66cb')).toBe('13(0)');
  });

  test('the stack pointer wraps at 16 bits', () => {
    const machine = new TransferMachine().real();
    machine.setRegister(4, 0x7777_0002);
    expect(machine.run('9a34120002')).toBe('');
    expect(machine.register(4)).toBe(0x7777_fffen);
    expect(machine.run('ca0600')).toBe('');
    expect(machine.register(4)).toBe(0x7777_0008n);
  });
});

describe('code segments in protected mode (SDM vol. 2, JMP and CALL)', () => {
  test.each([
    ['null', 0, 0, 0, 0, '13(0)'],
    ['beyond the table', 0, 0x800, 0, 0, '13(800)'],
    ['data', 0, free, 0xc092, 0, '13(80)'],
    ['same level', 0, free, 0xc09a, 0, ''],
    ['RPL above CPL', 0, free | 3, 0xc09a, 0, '13(80)'],
    ['RPL below CPL', 3, free, 0xc0fa, 0, ''],
    ['inner', 3, free | 3, 0xc09a, 0, '13(80)'],
    ['outer', 0, free, 0xc0fa, 0, '13(80)'],
    ['conforming, inner', 3, free | 3, 0xc09e, 0, ''],
    ['conforming, outer', 0, free, 0xc0fe, 0, '13(80)'],
    ['conforming, RPL does not matter', 0, free | 3, 0xc09e, 0, ''],
    ['not present', 0, free, 0xc01a, 0, '11(80)'],
    ['beyond the limit', 0, free, 0x409a, target - 1, '13(0)'],
    ['at the limit', 0, free, 0x409a, target, ''],
    ['interrupt gate', 0, free, 0x8e, 0, '13(80)'],
    ['LDT', 0, free, 0x82, 0, '13(80)'],
  ])('%s', (_, privilege, selector, attributes, limit, fault) => {
    for (const code of [jump(selector), call(selector)]) {
      const machine = new TransferMachine().protected(privilege);
      machine.describe(free, { limit: limit === 0 ? 0xfffff : limit, attributes });
      const pointer = machine.register(4);
      expect(machine.run(code)).toBe(fault);
      if (fault !== '') continue;
      expect(machine.rip).toBe(BigInt(target));
      expect(machine.cpl).toBe(privilege);
      expect(machine.selector(cs)).toBe((selector & ~3) | privilege);
      expect(machine.accessByte(free) & 1).toBe(1);
      if (code.startsWith('ea')) continue;
      expect(machine.register(4)).toBe(pointer - 8n);
      expect(machine.read(Number(pointer) - 8, 2)).toEqual([
        program + 7,
        privilege === 0 ? Selector.code : Selector.userCode,
      ]);
    }
  });

  test('CALL without room: #SS(0)', () => {
    const machine = new TransferMachine().protected();
    machine.segment(ss, Selector.data, 0, 0x8fff, 0x4093);
    machine.setRegister(4, 0x9001);
    expect(machine.run(call(Selector.code))).toBe('12(0)');
  });

  test('pointers in memory, of 16 and 32 bits', () => {
    const machine = new TransferMachine().protected();
    machine.setRegister(0, program);
    machine.words(program, target, Selector.code);
    expect(machine.run('ff28')).toBe('');
    expect(machine.rip).toBe(BigInt(target));
    machine.halves(program, 0x8001, Selector.code);
    expect(machine.run('66ff18')).toBe('');
    expect(machine.rip).toBe(0x8001n);
    expect(machine.read(stack0 - 4, 2, 2)).toEqual([(target + 3) & 0xffff, Selector.code]);
  });

  test('long mode: to compatibility mode and back', () => {
    const machine = new TransferMachine().long();
    machine.setRegister(0, program);
    machine.longs(program, 0xffff_8000_0000_0000n | BigInt(target), Selector.code);
    // A 32-bit code segment takes 32 bits of the offset.
    expect(machine.run('48ff28')).toBe('');
    expect(machine.rip).toBe(BigInt(target));
    expect(machine.run(jump(Selector.longCode))).toBe('');
    expect(machine.attributes(cs) & 0x2000).toBe(0x2000);
    expect(machine.run('48ff18')).toBe('');
    expect(machine.readLongs(stack0 - 16, 2)).toEqual([BigInt(target + 3), BigInt(Selector.longCode)]);
    machine.describe(free, { limit: 0xfffff, attributes: 0xe09a });
    expect(machine.run(jump(free))).toBe('13(80)');
  });

  test('64-bit offsets must be canonical', () => {
    const machine = new TransferMachine().long();
    machine.setRegister(0, program);
    machine.longs(program, 0x8000_0000_0000n, Selector.longCode);
    expect(machine.run('48ff28')).toBe('13(0)');
    machine.longs(program, 0x7fff_ffff_ffffn, Selector.longCode);
    expect(machine.run('48ff28')).toBe('');
    expect(machine.rip).toBe(0x7fff_ffff_ffffn);
  });
});

describe('call gates (SDM vol. 3, 5.8)', () => {
  test.each([
    ['same level', 0, 0x8c, Selector.code, '', ''],
    ['16 bits', 0, 0x84, Selector.code, '', ''],
    ['DPL below CPL', 3, 0x8c, Selector.code, '13(80)', '13(80)'],
    ['inner code', 3, 0xec, Selector.code, '13(8)', ''],
    ['inner conforming code', 3, 0xec, Selector.conforming, '', ''],
    ['outer code', 0, 0x8c, Selector.userCode, '13(18)', '13(18)'],
    ['not present', 0, 0x0c, Selector.code, '11(80)', '11(80)'],
    ['null target', 0, 0x8c, 0, '13(0)', '13(0)'],
    ['target beyond the table', 0, 0x8c, 0x800, '13(800)', '13(800)'],
    ['target is data', 0, 0x8c, Selector.data, '13(10)', '13(10)'],
  ])('%s', (_, privilege, access, code, byJump, byCall) => {
    for (const [instruction, fault] of [
      [jump(free | privilege, 0xdead_beef), byJump],
      [call(free | privilege, 0xdead_beef), byCall],
    ]) {
      const machine = new TransferMachine().protected(privilege);
      machine.callGate(free, code, target, access);
      expect(machine.run(instruction)).toBe(fault);
      if (fault !== '') continue;
      expect(machine.rip).toBe(BigInt((access & 8) !== 0 ? target : target & 0xffff));
    }
  });

  test('RPL above DPL; target not present; target beyond its limit', () => {
    const machine = new TransferMachine().protected();
    machine.callGate(free, Selector.code, target, 0x8c);
    expect(machine.run(call(free | 1))).toBe('13(80)');
    machine.callGate(free, second, target, 0x8c);
    machine.describe(second, { limit: 0xfffff, attributes: 0xc01a });
    expect(machine.run(call(free))).toBe('11(90)');
    machine.describe(second, { limit: 0xff, attributes: 0x409a });
    expect(machine.run(call(free))).toBe('13(0)');
    expect(machine.run(jump(free))).toBe('13(0)');
  });

  test('to a more privileged level: parameters are copied', () => {
    const machine = new TransferMachine().protected(3);
    machine.callGate(free, Selector.code, target, 0xec, 3);
    machine.words(stack3, 11, 22, 33);
    expect(machine.run(call(free))).toBe('');
    expect(machine.cpl).toBe(0);
    expect(machine.selector(ss)).toBe(Selector.data);
    const at = stack0 - 0x100 - 28;
    expect(machine.register(4)).toBe(BigInt(at));
    expect(machine.read(at, 7)).toEqual([
      program + 7,
      Selector.userCode,
      11,
      22,
      33,
      stack3,
      Selector.userData,
    ]);
    expect(machine.accessByte(Selector.data)).toBe(0x93);
    expect(machine.accessByte(Selector.code)).toBe(0x9b);
    // RET 12 releases them on both stacks, and takes the inner segments away.
    machine.segment(gs, Selector.data, 0, -1, 0xc093);
    expect(machine.run('ca0c00')).toBe('');
    expect(machine.cpl).toBe(3);
    expect(machine.rip).toBe(BigInt(program + 7));
    expect(machine.register(4)).toBe(BigInt(stack3 + 12));
    expect(machine.selector(ss)).toBe(Selector.userData);
    expect(machine.selector(gs)).toBe(0);
    expect(machine.selector(ds)).toBe(Selector.userData);
  });

  test('a 16-bit gate copies words', () => {
    const machine = new TransferMachine().protected(3);
    machine.callGate(free, Selector.code1, 0x8000, 0xe4, 2);
    machine.halves(stack3, 11, 22);
    expect(machine.run(call(free))).toBe('');
    expect(machine.cpl).toBe(1);
    expect(machine.read(stack1 - 12, 6, 2)).toEqual([
      (program + 7) & 0xffff,
      Selector.userCode,
      11,
      22,
      stack3 & 0xffff,
      Selector.userData,
    ]);
    expect(machine.run('66ca0400')).toBe('');
    expect(machine.register(4)).toBe(BigInt((stack3 & 0xffff) + 4));
  });

  test.each([
    ['TSS too small', (m: TransferMachine) => m.state.set('segmentLimit', 8, tr), '10(70)'],
    ['null SS', (m: TransferMachine) => m.words(tss + 8, 0), '10(0)'],
    ['RPL of SS', (m: TransferMachine) => m.words(tss + 8, Selector.data | 3), '10(10)'],
    ['SS not present', (m: TransferMachine) => m.describe(Selector.data, { attributes: 0xc012 }), '12(10)'],
    [
      'no room',
      (m: TransferMachine) => {
        m.describe(Selector.data, { limit: 0xfff, attributes: 0x4092 });
        m.words(tss + 4, 24);
      },
      '12(10)',
    ],
  ])('the inner stack: %s', (_, arrange, fault) => {
    const machine = new TransferMachine().protected(3);
    machine.callGate(free, Selector.code, target, 0xec, 3);
    arrange(machine);
    expect(machine.run(call(free))).toBe(fault);
  });

  describe('long mode', () => {
    function gate(machine: TransferMachine, code: number, access = 0xec, upper = 0): TransferMachine {
      return machine.callGate(free, code, target, access, 5, upper);
    }

    test('64-bit gates: no parameters, null SS', () => {
      const machine = gate(new TransferMachine().compatibility(3), Selector.longCode, 0xec, 0x7fff);
      expect(machine.run(call(free))).toBe('');
      expect(machine.rip).toBe(0x7fff_0001_8000n);
      expect(machine.cpl).toBe(0);
      expect(machine.selector(ss)).toBe(0);
      const at = stack0 - 0x100 - 32;
      expect(machine.register(4)).toBe(BigInt(at));
      expect(machine.readLongs(at, 4)).toEqual(
        [program + 7, Selector.userCode, stack3, Selector.userData].map(BigInt),
      );
      expect(machine.run('48cb')).toBe('');
      expect(machine.cpl).toBe(3);
      expect(machine.selector(cs)).toBe(Selector.userCode);
      expect(machine.register(4)).toBe(BigInt(stack3));
    });

    test('same level: 8-byte items', () => {
      const machine = gate(new TransferMachine().compatibility(), Selector.longCode);
      expect(machine.run(call(free))).toBe('');
      expect(machine.readLongs(stack0 - 16, 2)).toEqual([BigInt(program + 7), BigInt(Selector.code)]);
      expect(machine.register(4)).toBe(BigInt(stack0 - 16));
    });

    test.each([
      ['32-bit code', Selector.code, 0xec, 0, '13(8)'],
      ['a 16-bit gate', Selector.longCode, 0xe4, 0, '13(80)'],
      ['a task gate', Selector.longCode, 0xe5, 0, '13(80)'],
      ['a TSS', Selector.longCode, 0xe9, 0, '13(80)'],
      ['not canonical', Selector.longCode, 0xec, 0x8000, '13(0)'],
    ])('%s', (_, code, access, upper, fault) => {
      const machine = gate(new TransferMachine().compatibility(), code, access, upper);
      expect(machine.run(call(free))).toBe(fault);
      expect(machine.run(jump(free))).toBe(fault);
    });

    test('a type in the upper half', () => {
      const machine = gate(new TransferMachine().compatibility(), Selector.longCode);
      machine.words(0x1000 + free + 12, 0x100);
      expect(machine.run(call(free))).toBe('13(80)');
    });
  });
});

describe('RETF in protected mode (SDM vol. 2, RET)', () => {
  const back = 0x1_9000;

  test.each([
    ['same level', 0, Selector.code, ''],
    ['null', 0, 0, '13(0)'],
    ['beyond the table', 0, 0x800, '13(800)'],
    ['data', 0, Selector.data, '13(10)'],
    ['to an inner level', 3, Selector.code, '13(8)'],
    ['RPL and DPL differ', 0, Selector.userCode & ~3, '13(18)'],
    ['conforming, outer RPL', 0, Selector.conforming | 3, ''],
    ['conforming, DPL above RPL', 0, free, '13(80)'],
    ['not present', 0, second, '11(90)'],
    ['beyond the limit', 0, 0xa0, '13(0)'],
  ])('%s', (_, privilege, selector, fault) => {
    const machine = new TransferMachine().protected(privilege);
    machine.describe(free, { limit: 0xfffff, attributes: 0xc0be });
    machine.describe(second, { limit: 0xfffff, attributes: 0xc01a });
    machine.describe(0xa0, { limit: 0xff, attributes: 0x409a });
    const pointer = Number(machine.register(4));
    machine.words(pointer, back, selector | (0x7777 << 16), stack3, Selector.userData);
    expect(machine.run('cb')).toBe(fault);
    if (fault !== '') return;
    expect(machine.rip).toBe(BigInt(back));
    expect(machine.selector(cs)).toBe(selector);
    expect(machine.cpl).toBe(selector & 3);
    expect(machine.register(4)).toBe(BigInt((selector & 3) === 0 ? pointer + 8 : stack3));
  });

  test.each([
    ['null', 0, '13(0)'],
    ['beyond the table', 0x803, '13(800)'],
    ['RPL', Selector.userData & ~3, '13(20)'],
    ['DPL', Selector.data | 3, '13(10)'],
    ['code', Selector.userCode, '13(18)'],
    ['not present', free | 3, '12(80)'],
  ])('the outer stack: %s', (_, selector, fault) => {
    const machine = new TransferMachine().protected();
    machine.describe(free, { limit: 0xfffff, attributes: 0xc072 });
    machine.words(stack0, back, Selector.userCode, stack3, selector);
    expect(machine.run('cb')).toBe(fault);
  });

  test('null SS for 64-bit code of levels 1 and 2, not of level 3', () => {
    const machine = new TransferMachine().long();
    machine.describe(free, { limit: 0xfffff, attributes: 0xa0ba });
    machine.longs(stack0, back, free | 1, stack1, 1);
    expect(machine.run('48cb')).toBe('');
    expect(machine.cpl).toBe(1);
    expect(machine.attributes(ss)).toBe(0x1_0020);
    const other = new TransferMachine().long();
    other.longs(stack0, back, Selector.longUserCode, stack3, 3);
    expect(other.run('48cb')).toBe('13(0)');
  });

  test('segments of inner levels go, conforming code and null ones stay', () => {
    const machine = new TransferMachine().protected();
    machine.segment(es, Selector.conforming, 0, -1, 0xc09f);
    machine.segment(fs, 3, 0x1234, 0, 0x1_0000);
    machine.segment(gs, Selector.userData, 0, -1, 0xc0f3);
    machine.words(stack0, back, Selector.userCode, stack3, Selector.userData);
    expect(machine.run('cb')).toBe('');
    expect([ds, es, fs, gs].map((segment) => machine.selector(segment))).toEqual([
      0,
      Selector.conforming,
      0,
      Selector.userData,
    ]);
    expect(machine.state.get('segmentRights', ds)).toBe(0);
    // A base that an MSR gave to a null segment stays.
    expect(machine.state.low('segmentBase', fs)).toBe(0x1234);
  });

  test('a return to a 16-bit stack leaves the upper half of ESP', () => {
    const machine = new TransferMachine().protected();
    machine.setRegister(4, stack0 + 0x10_0000 - 0x10_0000);
    machine.describe(free, { limit: 0xffff, attributes: 0x00f2 });
    machine.setRegister(4, 0x1_9000);
    machine.words(0x1_9000, back, Selector.userCode, 0x4444_1234, free | 3);
    expect(machine.run('cb')).toBe('');
    expect(machine.register(4)).toBe(0x1_1234n);
  });

  test('stack beyond its limit', () => {
    const machine = new TransferMachine().protected();
    machine.segment(ss, Selector.data, 0, stack0 + 11, 0x4093);
    machine.words(stack0, back, Selector.userCode, stack3, Selector.userData);
    expect(machine.run('cb')).toBe('12(0)');
  });
});

test('a task gate and a TSS: privilege is that of the gate', () => {
  const machine = new TransferMachine().protected(3);
  machine.describe(free, { base: otherTss, limit: 0x67, attributes: 0x89 });
  expect(machine.run(jump(free | 3))).toBe('13(80)');
  machine.callGate(second, free, 0, 0xe5);
  machine.words(otherTss + 0x20, target, 2);
  machine.words(otherTss + 0x48, 0, Selector.code, Selector.data, 0, 0, 0);
  expect(machine.run(jump(second | 3))).toBe('');
  expect(machine.cpl).toBe(0);
  expect(machine.rip).toBe(BigInt(target));
});
