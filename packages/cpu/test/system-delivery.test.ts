import { describe, expect, test } from 'vitest';
import { Activity, Segment } from '../src/state/layout.ts';
import { combinedVector, DeliveryStage, EventType } from '../src/system/exceptions.ts';
import {
  interruptStack,
  otherTss,
  program,
  Selector,
  stack0,
  stack3,
  TransferMachine,
  tss,
} from './transfer-machine.ts';

const { cs, ss, ds, es, fs, gs, tr } = Segment;
/** Access bytes of gates: DPL 0 and DPL 3. */
const interruptGate = 0x8e;
const trapGate = 0x8f;
const openGate = 0xee;
const handler = 0x1_8000;
const free = Selector.free;

/** Exceptions that arise are caught here, each with a handler of its own, and told by where RIP is. */
function catchAll(machine: TransferMachine): TransferMachine {
  const code = (machine.context.efer & 0x400) !== 0 ? Selector.longCode : Selector.code;
  for (let vector = 0; vector < 32; vector++)
    machine.interruptGate(vector, code, 0x2_0000 + 16 * vector, interruptGate);
  return machine;
}

function caught(machine: TransferMachine): number {
  return Number(machine.rip - 0x2_0000n) / 16;
}

describe('real-address mode (SDM vol. 2, INT n, REAL-ADDRESS-MODE)', () => {
  test('pushes FLAGS, CS, IP; clears IF, TF, AC', () => {
    const machine = new TransferMachine().real();
    machine.halves(0x21 * 4, 0x1234, 0x5678);
    machine.state.flags = 0x4_0302;
    machine.segment(cs, 0x100, 0x1000, 0xffff, 0x93);
    expect(machine.run('cd21')).toBe('');
    expect(machine.rip).toBe(0x1234n);
    expect(machine.selector(cs)).toBe(0x5678);
    expect(machine.state.low('segmentBase', cs)).toBe(0x56780);
    expect(machine.register(4)).toBe(0x6ffan);
    expect(machine.read(0x6ffa, 3, 2)).toEqual([0x8002, 0x100, 0x302]);
    expect(machine.flags).toBe(2);
  });

  test('no error code is pushed', () => {
    const machine = new TransferMachine().real();
    machine.halves(13 * 4, 0x1234, 0);
    machine.raise(13, 0);
    expect(machine.register(4)).toBe(0x6ffan);
    expect(machine.read(0x6ffa, 3, 2)).toEqual([0x8000, 0, 2]);
  });

  test('a vector beyond the table becomes #GP, and without that a triple fault', () => {
    const machine = new TransferMachine().real();
    machine.state.set('tableLimit', 0x20 * 4 - 1, 1);
    machine.halves(13 * 4, 0x1234, 0);
    machine.run('cd20');
    expect(machine.rip).toBe(0x1234n);
    expect(machine.read(0x6ffa, 1, 2)).toEqual([0x8000]);
    machine.state.set('tableLimit', 3, 1);
    machine.run('cd20');
    expect(machine.isStopped).toBe(true);
    expect(machine.state.get('activity')).toBe(Activity.shutdown);
  });

  test('no room: #SS', () => {
    const machine = new TransferMachine().real();
    machine.halves(12 * 4, 0x1234, 0);
    machine.setRegister(4, 5);
    // The frame of #SS has no room either: #DF, then shutdown.
    machine.run('cd20');
    expect(machine.state.get('activity')).toBe(Activity.shutdown);
  });
});

describe('32-bit gates, same level', () => {
  test.each([
    ['interrupt gate clears IF', interruptGate, 2],
    ['trap gate leaves it', trapGate, 0x202],
  ])('%s', (_, access, after) => {
    const machine = new TransferMachine().protected();
    machine.interruptGate(0x80, Selector.code, handler, access);
    machine.state.flags = 0x4302 | 0x1_0000;
    expect(machine.run('cd80')).toBe('');
    expect(machine.rip).toBe(BigInt(handler));
    expect(machine.register(4)).toBe(BigInt(stack0 - 12));
    // RF is pushed as 0 by software interrupts (SDM vol. 3, 18.3.1.1).
    expect(machine.read(stack0 - 12, 3)).toEqual([program + 2, Selector.code, 0x4302]);
    expect(machine.flags).toBe(after);
  });

  test.each([
    [0, -1, 0x1_0002],
    [6, -1, 0x1_0002],
    [13, 0x123, 0x1_0002],
    [1, -1, 2],
    [8, 0, 2],
    [18, -1, 2],
  ])('exception %i: error code, RF of faults', (vector, errorCode, flags) => {
    const machine = catchAll(new TransferMachine().protected());
    machine.raise(vector, errorCode);
    const frame = [program, Selector.code, flags];
    if (errorCode >= 0) frame.unshift(errorCode);
    expect(machine.read(stack0 - 4 * frame.length, frame.length)).toEqual(frame);
    expect(machine.register(4)).toBe(BigInt(stack0 - 4 * frame.length));
  });

  test('16-bit gate: 16-bit frame, offset of 16 bits', () => {
    const machine = new TransferMachine().protected();
    machine.interruptGate(13, Selector.code, 0x1_8000, 0x86);
    machine.raise(13, 0x55);
    expect(machine.rip).toBe(0x8000n);
    expect(machine.read(stack0 - 8, 4, 2)).toEqual([0x55, program & 0xffff, Selector.code, 2]);
  });

  test('what interrupts say about themselves', () => {
    const machine = catchAll(new TransferMachine().protected());
    machine.state.set('interruptShadow', 1);
    machine.between(() => machine.delivery.nonMaskable(machine));
    expect(caught(machine)).toBe(2);
    expect(machine.state.get('nmiBlocked')).toBe(1);
    expect(machine.state.get('interruptShadow')).toBe(0);
    expect(machine.delivery.stage).toBe(DeliveryStage.none);
  });

  test('#DB clears DR7.GD and what DEBUGCTL records', () => {
    const machine = catchAll(new TransferMachine().protected());
    machine.state.setPair('debug', 0x2400, 0, 7);
    machine.state.setPair('debugControl', 0x43, 0);
    machine.raise(1);
    expect(machine.state.low('debug', 7)).toBe(0x400);
    expect(machine.state.low('debugControl')).toBe(0x40);
  });

  test('D6: an injected event leaves them, and returns behind the instruction of a software event', () => {
    const machine = catchAll(new TransferMachine().protected());
    machine.state.setPair('debug', 0x2400, 0, 7);
    const event = {
      vector: 1,
      type: EventType.privilegedSoftwareException,
      errorCode: -1,
      instructionLength: 1,
    };
    machine.between(() => machine.delivery.deliver(machine, event));
    expect(machine.state.low('debug', 7)).toBe(0x2400);
    expect(machine.read(stack0 - 12, 1)).toEqual([program + 1]);
  });
});

describe('exceptions that gates raise', () => {
  /** Runs an event; the exception that reached its handler, with its error code. */
  function outcome(
    arrange: (machine: TransferMachine) => void,
    event: 'int' | 'int3' | 'int1' | 'external' | 'fault',
    privilege = 0,
  ): string {
    const machine = catchAll(new TransferMachine().protected(privilege));
    arrange(machine);
    if (event === 'int') machine.run('cd80');
    else if (event === 'int3') machine.run('cc');
    else if (event === 'int1') machine.run('f1');
    else if (event === 'external') machine.between(() => machine.delivery.interrupt(machine, 0x80));
    else machine.raise(0);
    if (machine.rip === BigInt(handler)) return 'delivered';
    const [error, rip] = machine.read(Number(machine.register(4)), 2);
    expect(rip).toBe(program);
    return `${caught(machine)}(${error.toString(16)})`;
  }
  const gate =
    (target: number, access: number, offset = handler) =>
    (machine: TransferMachine): void => {
      for (const vector of [0, 1, 3, 0x80]) machine.interruptGate(vector, target, offset, access);
    };

  test.each([
    ['no gate', gate(8, 0x8c), 'int', '13(402)'],
    ['no gate for an external interrupt', gate(8, 0x8c), 'external', '13(403)'],
    ['a code segment as gate', gate(8, 0x9e), 'int', '13(402)'],
    ['not present', gate(8, 0x0e), 'int', '11(402)'],
    ['not present, external', gate(8, 0x0e), 'external', '11(403)'],
    ['null selector', gate(0, 0x8e), 'int', '13(0)'],
    ['null selector, external', gate(0, 0x8e), 'external', '13(1)'],
    ['selector beyond the table', gate(0x808, 0x8e), 'int', '13(808)'],
    ['data segment', gate(Selector.data, 0x8e), 'int', '13(10)'],
    ['data segment, external', gate(Selector.data, 0x8e), 'external', '13(11)'],
    ['outer code', gate(Selector.userCode, 0x8e), 'int', '13(18)'],
    ['RPL does not matter', gate(Selector.code | 3, 0x8e), 'int', 'delivered'],
    ['conforming code', gate(Selector.conforming, 0x8e), 'int', 'delivered'],
    ['INT3 beyond its segment', gate(Selector.code16, 0x8e, 0x1_0000), 'int3', '13(0)'],
    ['INT1 beyond its segment', gate(Selector.code16, 0x8e, 0x1_0000), 'int1', '13(1)'],
  ] as const)('%s', (_, arrange, event, expected) => {
    expect(outcome(arrange, event)).toBe(expected);
  });

  test('beyond the IDT', () => {
    for (const [event, expected] of [
      ['int', '13(402)'],
      ['external', '13(403)'],
    ] as const)
      expect(outcome((m) => m.state.set('tableLimit', 0x80 * 8 + 6, 1), event)).toBe(expected);
  });

  test('DPL of a gate concerns INT n, INT3 and INTO alone', () => {
    const inner = (machine: TransferMachine): void => {
      gate(Selector.code, interruptGate)(machine);
      machine.interruptGate(13, Selector.code, 0x2_0000 + 16 * 13, interruptGate);
    };
    expect(outcome(inner, 'int', 3)).toBe('13(402)');
    expect(outcome(inner, 'int3', 3)).toBe('13(1a)');
    expect(outcome(inner, 'int1', 3)).toBe('delivered');
    expect(outcome(inner, 'external', 3)).toBe('delivered');
    expect(outcome(inner, 'fault', 3)).toBe('delivered');
    expect(outcome(gate(Selector.code, openGate), 'int', 3)).toBe('delivered');
  });

  test.each([
    ['TSS too small', (m: TransferMachine) => m.state.set('segmentLimit', 8, tr), '10(70)'],
    ['null SS', (m: TransferMachine) => m.words(tss + 8, 0), '10(0)'],
    ['SS beyond the table', (m: TransferMachine) => m.words(tss + 8, 0x800), '10(800)'],
    ['RPL of SS', (m: TransferMachine) => m.words(tss + 8, Selector.data | 1), '10(10)'],
    ['DPL of SS', (m: TransferMachine) => m.words(tss + 8, Selector.data1 & ~3), '10(58)'],
    ['SS is code', (m: TransferMachine) => m.words(tss + 8, Selector.code), '10(8)'],
    [
      'SS not present',
      (m: TransferMachine) => {
        m.describe(free, { limit: 0xfffff, attributes: 0xc012 });
        m.words(tss + 8, free);
      },
      '12(80)',
    ],
    [
      'SS without room',
      (m: TransferMachine) => {
        m.describe(free, { limit: 0xfff, attributes: 0x4092 });
        m.words(tss + 4, 0x1002, free);
      },
      '12(80)',
    ],
  ])('the inner stack: %s', (_, arrange, expected) => {
    const machine = catchAll(new TransferMachine().protected(3));
    machine.interruptGate(0x80, Selector.code, handler, openGate);
    arrange(machine);
    // Handlers of what arises: conforming code, which needs no stack.
    for (const vector of [10, 12])
      machine.interruptGate(vector, Selector.conforming, 0x2_0000 + 16 * vector, interruptGate);
    machine.run('cd80');
    const [error] = machine.read(Number(machine.register(4)), 1);
    expect(`${caught(machine)}(${error.toString(16)})`).toBe(expected);
    expect(machine.cpl).toBe(3);
  });
});

describe('to an inner level', () => {
  test('32-bit gate', () => {
    const machine = catchAll(new TransferMachine().protected(3));
    machine.raise(13, 0x18);
    expect(machine.cpl).toBe(0);
    expect(machine.selector(cs)).toBe(Selector.code);
    expect(machine.selector(ss)).toBe(Selector.data);
    expect(machine.attributes(ss)).toBe(0xc093);
    const at = stack0 - 0x100 - 24;
    expect(machine.register(4)).toBe(BigInt(at));
    expect(machine.read(at, 6)).toEqual([
      0x18,
      program,
      Selector.userCode,
      0x1_0002,
      stack3,
      Selector.userData,
    ]);
    // Data segments stay.
    expect(machine.selector(ds)).toBe(Selector.userData);
  });

  test('level 1, 16-bit gate', () => {
    const machine = new TransferMachine().protected(3);
    machine.interruptGate(0x80, Selector.code1, 0x8000, 0xe6);
    machine.run('cd80');
    expect(machine.cpl).toBe(1);
    expect(machine.selector(cs)).toBe(Selector.code1);
    expect(machine.register(4)).toBe(0xa000n - 10n);
    expect(machine.read(0xa000 - 10, 5, 2)).toEqual([
      (program + 2) & 0xffff,
      Selector.userCode,
      2,
      stack3 & 0xffff,
      Selector.userData,
    ]);
  });

  test('16-bit TSS', () => {
    const machine = new TransferMachine().protected(3);
    machine.segment(tr, Selector.tss, tss, 0x2b, 0x83);
    machine.halves(tss, 0, 0x8f00, Selector.data);
    machine.interruptGate(0x80, Selector.code, handler, openGate);
    machine.run('cd80');
    expect(machine.register(4)).toBe(0x8f00n - 20n);
  });

  test('a 16-bit stack keeps the upper half of ESP', () => {
    const machine = new TransferMachine().protected(3);
    machine.setRegister(4, 0x5555_b000);
    machine.words(tss + 4, 0x800, Selector.data16);
    machine.interruptGate(0x80, Selector.code, handler, openGate);
    machine.run('cd80');
    expect(machine.register(4)).toBe(0x5555_07ecn);
    expect(machine.read(0x1000 + 0x7ec, 1)).toEqual([program + 2]);
  });
});

describe('from virtual-8086 mode (SDM vol. 3, 20.2 and 20.3)', () => {
  function frame(machine: TransferMachine, count: number): number[] {
    return machine.read(Number(machine.register(4)), count);
  }

  test('to level 0, with the data segments', () => {
    const machine = catchAll(new TransferMachine().virtual8086());
    machine.segment(gs, 0x777, 0x7770, 0xffff, 0xf3);
    machine.raise(13, 0);
    expect(machine.cpl).toBe(0);
    expect(machine.flags & 0x2_0000).toBe(0);
    expect(frame(machine, 10)).toEqual([0, 0x40, 0x100, 0x3_3002, 0x700, 0x100, 0x100, 0x100, 0x100, 0x777]);
    for (const segment of [ds, es, fs, gs]) {
      expect(machine.selector(segment)).toBe(0);
      expect(machine.state.get('segmentRights', segment)).toBe(0);
    }
  });

  test('handlers of other levels: #GP(selector)', () => {
    for (const target of [Selector.code1, Selector.conforming]) {
      const machine = catchAll(new TransferMachine().virtual8086());
      machine.interruptGate(0x80, target, handler, openGate);
      machine.run('cd80');
      expect(caught(machine)).toBe(13);
      expect(frame(machine, 1)).toEqual([target & ~3]);
    }
  });

  /** INT 80h by IOPL, CR4.VME and the bit of the redirection map. */
  function interrupt(ioPrivilege: number, vme: boolean, isDenied: boolean): TransferMachine {
    const machine = catchAll(new TransferMachine().virtual8086(ioPrivilege));
    machine.interruptGate(0x80, Selector.code, handler, openGate);
    machine.context.set({ cr4: vme ? 1 : 0 });
    machine.halves(tss + 0x66, 0x100);
    if (isDenied) machine.view.setUint8(tss + 0xe0 + 0x10, 1);
    machine.halves(0x80 * 4, 0x4321, 0x200);
    machine.state.flags = machine.flags | 0x8_0000;
    machine.run('cd80');
    return machine;
  }

  test('method 1 and 4: IOPL 3, through the IDT', () => {
    for (const machine of [interrupt(3, false, false), interrupt(3, true, true)]) {
      expect(machine.rip).toBe(BigInt(handler));
      expect(frame(machine, 3)).toEqual([0x42, 0x100, 0xa_3002]);
    }
  });

  test('methods 2 and 3: IOPL below 3, #GP(0)', () => {
    for (const machine of [interrupt(0, false, false), interrupt(2, true, true)]) {
      expect(caught(machine)).toBe(13);
      expect(frame(machine, 2)).toEqual([0, 0x40]);
    }
  });

  test('method 5: IOPL 3, the program itself', () => {
    const machine = interrupt(3, true, false);
    expect(machine.rip).toBe(0x4321n);
    expect(machine.selector(cs)).toBe(0x200);
    expect(machine.state.low('segmentBase', cs)).toBe(0x2000);
    expect(machine.read(0x1000 + 0x6fa, 3, 2)).toEqual([0x42, 0x100, 0x3002]);
    expect(machine.cpl).toBe(3);
  });

  test('method 6: IOPL below 3, with VIF for IF', () => {
    const machine = interrupt(1, true, false);
    expect(machine.rip).toBe(0x4321n);
    expect(machine.read(0x1000 + 0x6fa, 3, 2)).toEqual([0x42, 0x100, 0x3202]);
    expect(machine.flags & 0x8_0000).toBe(0);
  });

  test('INT3 goes through the IDT whatever IOPL', () => {
    const machine = catchAll(new TransferMachine().virtual8086(0));
    machine.interruptGate(3, Selector.code, handler, openGate);
    machine.context.set({ cr4: 1 });
    machine.run('cc');
    expect(machine.rip).toBe(BigInt(handler));
  });
});

describe('64-bit mode (SDM vol. 3, 6.14)', () => {
  test('same level: aligned stack, SS:RSP, SS stays', () => {
    const machine = catchAll(new TransferMachine().long());
    machine.setRegister(4, stack0 - 3);
    machine.raise(13, 0x10);
    const at = stack0 - 16 - 48;
    expect(machine.register(4)).toBe(BigInt(at));
    expect(machine.readLongs(at, 6)).toEqual(
      [0x10, program, Selector.longCode, 0x1_0002, stack0 - 3, Selector.data].map(BigInt),
    );
    expect(machine.selector(ss)).toBe(Selector.data);
  });

  test('inner level: null SS', () => {
    const machine = catchAll(new TransferMachine().long(3));
    machine.words(tss + 4, 0x8ff8);
    machine.raise(0);
    expect(machine.cpl).toBe(0);
    expect(machine.selector(ss)).toBe(0);
    expect(machine.register(4)).toBe(0x8ff0n - 40n);
    expect(machine.readLongs(0x8ff0 - 40, 5)).toEqual(
      [program, Selector.longUserCode, 0x1_0002, stack3, Selector.userData].map(BigInt),
    );
  });

  test('from compatibility mode', () => {
    const machine = catchAll(new TransferMachine().compatibility(3));
    machine.setRegister(4, 0x1234_5678_0000_b000n);
    machine.raise(0);
    expect(machine.rip).toBe(0x2_0000n);
    expect(machine.readLongs(Number(machine.register(4)) + 24, 1)).toEqual([0xb000n]);
    expect(machine.attributes(cs) & 0x2000).toBe(0x2000);
  });

  test.each([0, 3] as const)('interrupt stack table, from level %i', (privilege) => {
    const machine = catchAll(new TransferMachine().long(privilege));
    machine.interruptGate(8, Selector.longCode, handler, interruptGate, 7);
    machine.raise(8, 0);
    expect(machine.register(4)).toBe(BigInt(interruptStack + 0x600 - 48));
    expect(machine.selector(ss)).toBe(privilege === 0 ? Selector.data : 0);
  });

  test('handler above 4 GiB', () => {
    const machine = new TransferMachine().long();
    machine.interruptGate(0x20, Selector.longCode, 0x8000_1234 | 0, interruptGate, 0, 0xffff_ffff | 0);
    machine.between(() => machine.delivery.interrupt(machine, 0x20));
    expect(machine.rip).toBe(0xffff_ffff_8000_1234n);
  });

  test.each([
    ['a 32-bit code segment', (m: TransferMachine) => m.interruptGate(0x20, Selector.code, 0, 0x8e), 13, 9],
    ['L and D', (m: TransferMachine) => m.describe(free, { attributes: 0xe09a }), 13, 0x81],
    ['a 16-bit gate', (m: TransferMachine) => m.interruptGate(0x20, 0x28, 0, 0x86), 13, 0x103],
    ['a task gate', (m: TransferMachine) => m.interruptGate(0x20, 0x28, 0, 0x85), 13, 0x103],
    ['offset not canonical', (m: TransferMachine) => m.interruptGate(0x20, 0x28, 0, 0x8e, 0, 0x8000), 13, 1],
    ['stack not canonical', (m: TransferMachine) => m.setRegister(4, 0x8000_0000_0020n), 12, 1],
    ['beyond the TSS', (m: TransferMachine) => m.state.set('segmentLimit', 0x2a, tr), 10, 0x71],
    ['beyond the IDT', (m: TransferMachine) => m.state.set('tableLimit', 0x20e, 1), 13, 0x103],
  ])('%s', (name, arrange, vector, error) => {
    const machine = catchAll(new TransferMachine().long());
    machine.interruptGate(0x20, free, handler, interruptGate, name === 'beyond the TSS' ? 1 : 0);
    if (name !== 'L and D') machine.describe(free, { attributes: 0xa09a });
    // The handlers find a good stack.
    for (const handled of [10, 12, 13])
      machine.interruptGate(handled, Selector.longCode, 0x2_0000 + 16 * handled, interruptGate, 2);
    if (name === 'beyond the TSS') machine.interruptGate(10, Selector.longCode, 0x2_00a0, interruptGate);
    arrange(machine);
    machine.between(() => machine.delivery.interrupt(machine, 0x20));
    expect(caught(machine)).toBe(vector);
    expect(machine.readLongs(Number(machine.register(4)), 2)).toEqual([BigInt(error), BigInt(program)]);
  });

  test('nothing is written before everything was checked', () => {
    const machine = catchAll(new TransferMachine().long(3));
    machine.words(tss + 4, 0x9010);
    machine.map(0x8000, 0);
    machine.longs(0x9000, -1, -1);
    machine.interruptGate(14, Selector.longCode, 0x2_0000 + 16 * 14, interruptGate, 1);
    machine.between(() => machine.delivery.interrupt(machine, 0x0));
    expect(caught(machine)).toBe(14);
    // The third push is the first that misses: RFLAGS at 8FF8h.
    expect(machine.state.getBig('cr2')).toBe(0x8ff8n);
    expect(machine.readLongs(0x9000, 2)).toEqual([-1n, -1n].map((value) => BigInt.asUintN(64, value)));
    expect(machine.readLongs(Number(machine.register(4)), 1)).toEqual([2n]);
  });
});

describe('faults that meet (SDM vol. 3, tables 6-4 and 6-5)', () => {
  const contributory = [0, 10, 11, 12, 13];
  const page = [14];
  const benign = [1, 3, 4, 5, 6, 7, 16, 17, 18, 19];

  test('every pair', () => {
    for (const second of [...benign, ...contributory, ...page]) {
      const isSerious = !benign.includes(second);
      for (const first of benign) expect(combinedVector(first, second)).toBe(second);
      for (const first of contributory)
        expect(combinedVector(first, second)).toBe(contributory.includes(second) ? 8 : second);
      expect(combinedVector(14, second)).toBe(isSerious ? 8 : second);
      expect(combinedVector(8, second)).toBe(isSerious ? -1 : second);
      expect(combinedVector(-1, second)).toBe(second);
    }
  });

  test('#GP while #GP is delivered: #DF(0) at the same instruction', () => {
    const machine = catchAll(new TransferMachine().long());
    machine.interruptGate(13, Selector.data, 0, interruptGate);
    machine.raise(13, 0x1234);
    expect(caught(machine)).toBe(8);
    expect(machine.readLongs(Number(machine.register(4)), 2)).toEqual([0n, BigInt(program)]);
  });

  test('a page fault while a page fault is delivered sets CR2 anew', () => {
    const machine = catchAll(new TransferMachine().long());
    machine.interruptGate(14, Selector.longCode, 0, interruptGate, 1);
    machine.map(interruptStack - 8, 0);
    machine.state.setBig('cr2', 5n);
    machine.raise(14, 2);
    expect(caught(machine)).toBe(8);
    expect(machine.state.getBig('cr2')).toBe(BigInt(interruptStack - 8));
  });

  test('S2-17: no handler of #DF: shutdown', () => {
    const machine = new TransferMachine().long();
    machine.raise(6);
    expect(machine.state.get('activity')).toBe(Activity.shutdown);
    expect(machine.isStopped).toBe(true);
    expect(machine.delivery.stage).toBe(DeliveryStage.none);
    expect(machine.rip).toBe(BigInt(program));
  });

  test('interrupts are benign whatever their vector', () => {
    const machine = catchAll(new TransferMachine().protected());
    machine.interruptGate(13, Selector.code, 0x2_00d0, interruptGate);
    machine.interruptGate(14, 0, 0, interruptGate);
    machine.between(() => machine.delivery.interrupt(machine, 14));
    expect(caught(machine)).toBe(13);
    expect(machine.read(Number(machine.register(4)), 1)).toEqual([1]);
    const software = catchAll(new TransferMachine().protected());
    software.interruptGate(14, 0, 0, interruptGate);
    software.run('cd0e');
    expect(caught(software)).toBe(13);
    expect(software.read(Number(software.register(4)), 2)).toEqual([0, program]);
  });

  test('D3: an access that leaves the processor tells which event was being delivered', () => {
    const machine = catchAll(new TransferMachine().long());
    const exit = new Error('second stage');
    const read = machine.memory.read;
    machine.memory.read = () => {
      throw exit;
    };
    expect(() => machine.raise(13, 0x55)).toThrow(exit);
    expect(machine.delivery).toMatchObject({
      vector: 13,
      type: EventType.hardwareException,
      errorCode: 0x55,
      instructionLength: 0,
      stage: DeliveryStage.gate,
    });
    machine.memory.read = read;
    machine.raise(13, 0x55);
    expect(machine.delivery.stage).toBe(DeliveryStage.none);
  });
});

describe('task gates', () => {
  function withTask(machine: TransferMachine, vector: number, trap = 0): TransferMachine {
    machine.describe(free, { base: otherTss, limit: 0x67, attributes: 0x89 });
    machine.interruptGate(vector, free, 0, 0x85);
    machine.words(otherTss + 0x20, handler, 2, 1, 2, 3, 4, stack3, 6, 7, 8);
    machine.words(otherTss + 0x48, 0x10, 0x08, 0x10, 0x10, 0x10, 0x10, 0, trap);
    return machine;
  }

  test('the error code goes onto the new stack, NT is set, the old task is left busy', () => {
    const machine = withTask(catchAll(new TransferMachine().protected()), 10);
    machine.raise(10, 0x1234);
    expect(machine.rip).toBe(BigInt(handler));
    expect(machine.selector(tr)).toBe(free);
    expect(machine.register(4)).toBe(BigInt(stack3 - 4));
    expect(machine.read(stack3 - 4, 1)).toEqual([0x1234]);
    expect(machine.flags & 0x4000).toBe(0x4000);
    expect(machine.read(otherTss, 1, 2)).toEqual([Selector.tss]);
    expect(machine.read(tss + 0x20, 2)).toEqual([program, 0x1_0002]);
    expect(machine.accessByte(Selector.tss)).toBe(0x8b);
    expect(machine.accessByte(free)).toBe(0x8b);
  });

  test.each([
    ['busy', (m: TransferMachine) => m.describe(free, { limit: 0x67, attributes: 0x8b }), 13, 0x81],
    ['not present', (m: TransferMachine) => m.describe(free, { limit: 0x67, attributes: 0x09 }), 11, 0x81],
    ['too small', (m: TransferMachine) => m.describe(free, { limit: 0x66, attributes: 0x89 }), 10, 0x81],
    ['from the LDT', (m: TransferMachine) => m.interruptGate(6, free | 4, 0, 0x85), 13, 0x85],
  ])('%s', (_, arrange, vector, error) => {
    const machine = withTask(catchAll(new TransferMachine().protected()), 6);
    arrange(machine);
    machine.raise(6);
    expect(caught(machine)).toBe(vector);
    expect(machine.read(Number(machine.register(4)), 2)).toEqual([error, program]);
  });

  test('T: #DB in the new task, with DR6.BT', () => {
    const machine = withTask(catchAll(new TransferMachine().protected()), 6, 1);
    machine.raise(6);
    expect(caught(machine)).toBe(1);
    expect(machine.state.low('debug', 6) & 0x8000).toBe(0x8000);
    expect(machine.read(stack3 - 12, 1)).toEqual([handler]);
  });
});

test('INTO', () => {
  const machine = catchAll(new TransferMachine().protected());
  machine.run('ce');
  expect(machine.rip).toBe(BigInt(program + 1));
  machine.state.flags = 0x802;
  machine.run('ce');
  expect(caught(machine)).toBe(4);
  expect(machine.read(stack0 - 12, 1)).toEqual([program + 2]);
});
