import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import type { Block } from '../src/engine/code-cache.ts';
import { recordSize } from '../src/records/layout.ts';
import { BareProcessor } from './bare-processor.ts';

/*
 * Guests that drive the engine to where its tables are full: code that is translated for ever, code modes without end. Whatever they do, the engine's
 * tables keep their size, and nothing but the guest's own state changes.
 */

const noPage = (): number => -1;

describe('a code cache that runs out of records', () => {
  test('while a call is linked writes nothing into the code that is translated next', () => {
    const cpu = new BareProcessor({ recordBytes: 65536, heat: 1_000_000 });
    const { code, physical } = cpu.engine;
    // call 2000h · 2000h: mov eax, 12345678h; jmp $
    cpu.ram.set([0xe8, 0xfb, 0x0f, 0, 0], 0x1000);
    cpu.ram.set([0xb8, 0x78, 0x56, 0x34, 0x12, 0xeb, 0xfe], 0x2000);
    cpu.setRegister(4, 0x9000n);
    cpu.rip = 0x1000;
    // Once without a link: no instruction is left to go on with.
    cpu.processor.run(1);
    const { mode } = code.known()[0];
    cpu.ram.set([0xeb, 0xfe], 0x3000);
    // As many others as there is room for.
    for (let last = 0; last <= physical.base - 70 * recordSize; )
      last = (code.translate(physical.base + 0x3000, 0, mode, noPage, 64, 4096) as Block).record;
    expect(code.flushes).toBe(0);
    cpu.rip = 0x1000;
    cpu.processor.run(100);
    expect(code.flushes).toBe(1);
    expect(cpu.register(0)).toBe(0x12345678n);
  });

  test('compiles what it finds in them, whatever they held before', () => {
    const cpu = new BareProcessor({ recordBytes: 65536, heat: 2 });
    const { base, bytes } = cpu.engine.physical;
    bytes.fill(0xff, base - 65536, base);
    // 100 × inc eax: more than a block; jmp 0
    for (let i = 0; i < 100; i++) cpu.ram.set([0xff, 0xc0], 0x1000 + 2 * i);
    cpu.ram.set([0xe9, 0x33, 0xff, 0xff, 0xff], 0x10c8);
    cpu.rip = 0x1000;
    cpu.processor.run(101 * 1000);
    expect(cpu.register(0)).toBe(100_000n);
    expect(cpu.engine.regions.compiled).toBeGreaterThan(0);
    expect(cpu.engine.regions.failures).toEqual([]);
  });
});

describe('code modes without end', () => {
  test('do not fill a page with blocks', () => {
    const cpu = new BareProcessor();
    const { code, modes, physical } = cpu.engine;
    cpu.ram.set([0xeb, 0xfe], 0x1000);
    cpu.rip = 0x1000;
    cpu.processor.run(1);
    const { mode } = code.known()[0];
    for (let codeBase = 0; codeBase < 20_000; codeBase++)
      code.translate(physical.base + 0x1000, 0, modes.of({ ...mode, codeBase }), noPage, 64, 4096);
    expect(code.flushes).toBe(2);
    physical.written(0x1000, 1);
    expect(code.invalidations).toBeLessThan(8192);
  });
});

describe('more forms of instructions than the table of handlers holds', () => {
  test('are executed all the same, and what was built for the earlier ones is given up', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const cpu = new BareProcessor({ heat: 5 });
    // inc eax; add ebx, eax; jmp 0
    cpu.ram.set([0xff, 0xc0, 0x01, 0xc3, 0xeb, 0xfa], 0x1000);
    cpu.ram.set([0xff, 0xc8, 0x29, 0xc3, 0xeb, 0xfa], 0x2000);
    cpu.rip = 0x1000;
    cpu.processor.run(3000);
    const handlers = cpu.engine.handlers as unknown as {
      nextRow: number;
      table: object;
      regionTable: object;
    };
    const tables = [new WeakRef(handlers.table), new WeakRef(handlers.regionTable)];
    handlers.nextRow = 8000;
    cpu.rip = 0x2000;
    cpu.processor.run(3000);
    expect(cpu.engine.code.flushes).toBe(1);
    expect(cpu.register(0)).toBe(0n);
    expect(cpu.engine.regions.compiled).toBe(2);
    expect(cpu.engine.handlers.liveRegions).toBe(1);
    // Weak references hold until the present task is over.
    await new Promise((resolve) => setTimeout(resolve));
    collect();
    expect(tables.map((table) => table.deref())).toEqual([undefined, undefined]);
  });
});
