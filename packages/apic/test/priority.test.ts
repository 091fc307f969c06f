import { describe, expect, test } from 'vitest';
import { processorPriority } from '../src/index.ts';
import { command, drain, enable, makeBoard, offsets, read, write } from './board.ts';

const self = 0x4_0000;

describe('priorities (SDM vol. 3, 12.8.3)', () => {
  test('PPR from TPR and the highest vector in service (table 12-2 ff.)', () => {
    const rows = [
      [0x00, -1, 0x00],
      [0x35, -1, 0x35],
      [0x35, 0x31, 0x35],
      [0x35, 0x41, 0x40],
      [0x4f, 0x31, 0x4f],
      [0x00, 0xff, 0xf0],
    ] as const;
    for (const [task, service, priority] of rows) expect(processorPriority(task, service)).toBe(priority);
  });

  test('one class interrupts only lower ones; the highest vector comes first', () => {
    const { apic } = makeBoard();
    enable(apic);
    for (const vector of [0x31, 0x3f, 0x41]) command(apic, self | vector);
    expect(apic.acknowledge()).toBe(0x41);
    expect([apic.isPending, read(apic, offsets.ppr)]).toEqual([false, 0x40]);
    write(apic, offsets.eoi, 0);
    expect(apic.acknowledge()).toBe(0x3f);
    // 31h is of the same class, 52h of a higher one.
    expect(apic.isPending).toBe(false);
    command(apic, self | 0x52);
    expect([apic.isPending, apic.acknowledge(), read(apic, offsets.ppr)]).toEqual([true, 0x52, 0x50]);
    expect(read(apic, offsets.isr + 0x20)).toBe(1 << 18);
    expect(read(apic, offsets.isr + 0x10)).toBe(0x8000_0000);
    write(apic, offsets.eoi, 0);
    expect([apic.isPending, read(apic, offsets.ppr)]).toEqual([false, 0x30]);
    write(apic, offsets.eoi, 0);
    expect(apic.acknowledge()).toBe(0x31);
  });

  test('task priority holds back its class and those below', () => {
    const { apic, news } = makeBoard();
    enable(apic);
    write(apic, offsets.tpr, 0x50);
    command(apic, self | 0x5f);
    expect([apic.isPending, news()]).toEqual([false, []]);
    // Taken all the same, the spurious vector comes, and nothing is in service.
    expect(apic.acknowledge()).toBe(0xff);
    expect(read(apic, offsets.irr + 0x20)).toBe(0x8000_0000);
    apic.taskPriority.write(4);
    expect([apic.isPending, news(), read(apic, offsets.tpr)]).toEqual([true, ['wake 0'], 0x40]);
    write(apic, offsets.tpr, 0xa5);
    expect([apic.isPending, apic.taskPriority.read()]).toEqual([false, 10]);
  });

  test('a vector waits once, and once more while it is in service', () => {
    const { apic } = makeBoard();
    enable(apic);
    command(apic, self | 0x31);
    command(apic, self | 0x31);
    expect(apic.acknowledge()).toBe(0x31);
    command(apic, self | 0x31);
    expect(apic.isPending).toBe(false);
    write(apic, offsets.eoi, 0);
    expect(drain(apic)).toEqual([0x31]);
  });

  test('an end without interrupt does nothing', () => {
    const { apic } = makeBoard();
    enable(apic);
    write(apic, offsets.eoi, 0);
    expect(read(apic, offsets.ppr)).toBe(0);
  });

  test('the processor is woken when something becomes pending, not before and not again', () => {
    const { apic, news } = makeBoard();
    enable(apic);
    command(apic, self | 0x31);
    command(apic, self | 0x41);
    expect(news()).toEqual(['wake 0']);
    apic.acknowledge();
    write(apic, offsets.eoi, 0);
    expect(news()).toEqual(['wake 0']);
  });
});
