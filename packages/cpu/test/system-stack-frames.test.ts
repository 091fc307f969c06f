import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import { Selector, stack0, TransferMachine } from './transfer-machine.ts';

const { ss } = Segment;
const rbp = 5;

describe('PUSHA and POPA', () => {
  test('32 bits', () => {
    const machine = new TransferMachine().protected();
    for (let i = 0; i < 8; i++) if (i !== 4) machine.setRegister(i, 0x1111_0000 + i);
    expect(machine.run('60')).toBe('');
    const image = [7, 6, 5, -1, 3, 2, 1, 0].map((i) => (i < 0 ? stack0 : 0x1111_0000 + i));
    expect(machine.read(stack0 - 32, 8)).toEqual(image);
    machine.words(stack0 - 32 + 12, 0x5555);
    for (let i = 0; i < 8; i++) if (i !== 4) machine.setRegister(i, 0);
    expect(machine.run('61')).toBe('');
    expect(machine.register(0)).toBe(0x1111_0000n);
    expect(machine.register(7)).toBe(0x1111_0007n);
    expect(machine.register(4)).toBe(BigInt(stack0));
  });

  test('16 bits leave the upper halves', () => {
    const machine = new TransferMachine().protected();
    machine.setRegister(0, 0x1111_2222);
    expect(machine.run('6660')).toBe('');
    expect(machine.register(4)).toBe(BigInt(stack0 - 16));
    machine.setRegister(0, 0x3333_4444);
    expect(machine.run('6661')).toBe('');
    expect(machine.register(0)).toBe(0x3333_2222n);
  });

  test('all or nothing', () => {
    const machine = new TransferMachine().protected();
    machine.segment(ss, Selector.data, 0, 0xffff_ffff | 0, 0x4097);
    machine.segment(ss, Selector.data, 0, stack0 - 20, 0x4097);
    machine.words(stack0 - 4, 0x7777);
    expect(machine.run('60')).toBe('12(0)');
    expect(machine.read(stack0 - 4, 1)).toEqual([0x7777]);
    machine.segment(ss, Selector.data, 0, stack0 + 30, 0x4093);
    expect(machine.run('61')).toBe('12(0)');
  });
});

describe('ENTER', () => {
  /** Frame pointers of the callers stand below 9BB8h, as bytes that count up; so the host was asked. */
  function machine(start: TransferMachine): TransferMachine {
    for (let i = 0x9b54; i < 0x9bb8; i++) start.view.setUint8(i, i);
    start.setRegister(4, 0x9800);
    start.setRegister(rbp, 0x9bb8);
    return start;
  }

  // ENTER 16, level: what an EPYC makes of RSP, RBP and the words below, in 64-bit and in 32-bit code.
  test.each([
    ['c8100000', 64, -24, -8, [0, 0x9bb8]],
    ['c8100001', 64, -32, -8, [0, 0x9bb8, 0, 0x97f8]],
    ['c8100003', 64, -48, -8, [0, 0x9bb8, 0xb7b6b5b4, 0xb3b2b1b0, 0xafaeadac, 0xabaaa9a8, 0, 0x97f8]],
    ['66c8100000', 64, -18, -2, [0x9bb8_0000]],
    ['66c8100003', 64, -24, -2, [0x9bb8_b7b6, 0xb5b4_97fe]],
    ['c8100000', 32, -20, -4, [0x9bb8]],
    ['c8100003', 32, -32, -4, [0x9bb8, 0xb7b6b5b4, 0xb3b2b1b0, 0x97fc]],
    ['66c8100003', 32, -24, -2, [0x9bb8_b7b6, 0xb5b4_97fe]],
  ])('%s in %i-bit code', (code, bits, pointer, frame, words) => {
    const subject = machine(bits === 64 ? new TransferMachine().long() : new TransferMachine().protected());
    expect(subject.run(code)).toBe('');
    expect(subject.register(4)).toBe(BigInt(0x9800 + pointer));
    expect(subject.register(rbp)).toBe(BigInt(0x9800 + frame));
    expect(subject.read(0x9800 - 4 * words.length, words.length).reverse()).toEqual(words);
  });

  test('with a 16-bit operand only BP changes, as on the host', () => {
    const subject = machine(new TransferMachine().long());
    subject.setRegister(rbp, 0x1_0000);
    expect(subject.run('66c8100000')).toBe('');
    expect(subject.register(rbp)).toBe(0x1_97fen);
  });

  test('levels count modulo 32', () => {
    const subject = machine(new TransferMachine().protected());
    expect(subject.run('c8000021')).toBe('');
    expect(subject.register(4)).toBe(0x9800n - 8n);
  });

  test('the place where ESP comes to rest must be writable', () => {
    const subject = machine(new TransferMachine().long());
    subject.map(0x8000, 0);
    expect(subject.run('c8000900')).toBe('14(2)');
    expect(subject.register(4)).toBe(0x9800n);
    expect(subject.run('c8f00700')).toBe('');
  });
});
