import { describe, expect, test } from 'vitest';
import type { Block } from '../src/engine/code-cache.ts';
import { Engine } from '../src/engine/engine.ts';
import { Row, record, recordSize } from '../src/records/layout.ts';
import { RegionCollector } from '../src/regions/region-collector.ts';
import { BareProcessor } from './bare-processor.ts';
import { plainMode } from './plain-mode.ts';

const noPage = (): number => -1;

describe('code cache', () => {
  test('the block that was made last stays what it is when something else in its page is written', () => {
    const { code, modes, physical, view } = new Engine({ ramSize: 65536 });
    const mode = modes.of(plainMode(64));
    const page = physical.base;
    physical.bytes.set([0xeb, 0xfe], page);
    const kept = code.translate(page, 0, mode, noPage, 64, 4096) as Block;
    physical.written(page + 0x100, 1);
    expect(view.getUint16(kept.record + record.handler, true)).toBe(Row.block);
    expect(code.find(page, mode)?.isValid).toBe(true);
  });

  test('an edge takes the place of a block that was not kept; what is written there then does not harm it', () => {
    const { code, modes, physical, view } = new Engine({ ramSize: 65536 });
    const mode = modes.of(plainMode(64));
    const page = physical.base;
    // jmp $, twice.
    physical.bytes.set([0xeb, 0xfe], page);
    physical.bytes.set([0xeb, 0xfe], page + 0x100);
    const kept = code.translate(page, 0, mode, noPage, 64, 4096) as Block;
    const once = code.translate(page, 0x100, mode, noPage, 1, 4096) as Block;
    const edge = code.extraRecord(kept);
    expect(edge).toBe(once.record);
    view.setUint16(edge + record.handler, Row.page, true);
    physical.written(page + 0x100, 1);
    expect(view.getUint16(edge + record.handler, true)).toBe(Row.page);
    expect(code.isHeader(kept.record)).toBe(true);
  });

  test('the block that was made last stays good if it is kept and other bytes of its page are written', () => {
    const { code, modes, physical, view } = new Engine({ ramSize: 65536 });
    const mode = modes.of(plainMode(64));
    const page = physical.base;
    physical.bytes.set([0xeb, 0xfe], page);
    const kept = code.translate(page, 0, mode, noPage, 64, 4096) as Block;
    physical.written(page + 0x800, 1);
    // A stale one that is still found is sent on to itself, for ever.
    expect(code.find(page, mode)).toBe(kept);
    expect(view.getUint16(kept.record + record.handler, true)).toBe(Row.block);
    physical.written(page, 1);
    expect(code.find(page, mode)).toBeUndefined();
  });
});

test('what a block that was not kept left behind the record of a JMP is no end of the block before it', () => {
  const { code, modes, physical, view, handlers } = new Engine({ ramSize: 65536 });
  const mode = modes.of(plainMode(64));
  const page = physical.base;
  // nop, nop, jmp $; and four of nop.
  physical.bytes.set([0x90, 0x90, 0xeb, 0xfe], page);
  physical.bytes.fill(0x90, page + 0x100, page + 0x104);
  code.translate(page, 0x100, mode, noPage, 3, 4096);
  const kept = code.translate(page, 0, mode, noPage, 64, 4096) as Block;
  expect(view.getUint16(kept.record + 4 * recordSize + record.handler, true)).toBe(Row.end);
  const collector = new RegionCollector(view, handlers, { blocks: 8, instructions: 100 });
  expect(collector.read(kept, 0).steps.map(({ isEnd }) => isEnd)).toEqual([false, false, false]);
});

test('what leads to code that was written to leads to its new translation: nobody comes to the old one again and again', () => {
  const cpu = new BareProcessor({ accel: 'interp', ramSize: 1 << 20 });
  // NOP; JMP +0; ADD EAX, 1; DEC ECX; JNZ back.
  cpu.ram.set([0x90, 0xeb, 0x00, 0x83, 0xc0, 0x01, 0xff, 0xc9, 0x75, 0xf6], 0x1000);
  cpu.rip = 0x1000;
  cpu.setRegister(0, 0n);
  cpu.setRegister(1, 3000n);
  const { processor, engine } = cpu;
  processor.run(5 * 1000);
  engine.physical.writeBytes(0x1005, Uint8Array.of(2));
  processor.run(5 * 1000);
  engine.physical.writeBytes(0x1005, Uint8Array.of(3));
  processor.run(5 * 1000);
  expect(cpu.register(0)).toBe(6000n);
  expect(processor.statistics.exits.stale).toBeLessThanOrEqual(4);
  // What lies behind the record of JMP is no end of its block.
  const [first] = engine.code.known();
  const collector = new RegionCollector(engine.view, engine.handlers, { blocks: 8, instructions: 100 });
  expect(collector.read(first, 0).steps.map(({ isEnd }) => isEnd)).toEqual([false, false]);
});

test('a block that was not kept notices a second write to its page, when the first one made the page unwatched', () => {
  const cpu = new BareProcessor({ accel: 'interp', ramSize: 1 << 20 });
  cpu.ram.set(
    [
      ...[0x80, 0x34, 0x25, 0x14, 0x10, 0, 0, 1], // xor byte [1014h], 1: of INC ECX, beyond the budget
      ...[0x80, 0x34, 0x25, 0x11, 0x10, 0, 0, 8], // xor byte [1011h], 8: INC EAX becomes DEC EAX
      ...[0xff, 0xc0, 0x90], // inc eax; nop
      ...[0xff, 0xc1, 0xeb, 0xfe], // inc ecx; jmp $
    ],
    0x1000,
  );
  cpu.rip = 0x1000;
  cpu.setRegister(0, 100n);
  cpu.processor.run(4);
  expect(cpu.register(0)).toBe(99n);
});
