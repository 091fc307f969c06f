import { describe, expect, test } from 'vitest';
import { memoryHash, stateHash } from '../src/engine/state-hash.ts';
import { BareProcessor } from './bare-processor.ts';

const both = [['interp'], ['jit']] as const;

function pair(accel: 'interp' | 'jit'): [BareProcessor, BareProcessor] {
  const first = new BareProcessor({ accel, heat: 20, processors: 2 });
  const second = new BareProcessor({ beside: first });
  return [first, second];
}

/** Adds 1 to RAX and, locked, to what RSI points to; for ever. */
const counting = [0x48, 0xff, 0xc0, 0xf0, 0x48, 0xff, 0x06, 0xeb, 0xf8];

describe('two processors of one engine', () => {
  test('count together, alike however code is executed', () => {
    const hashes = new Set<string>();
    for (const accel of ['interp', 'jit'] as const) {
      const processors = pair(accel);
      processors[0].ram.set(counting, 0x1000);
      for (const cpu of processors) {
        cpu.rip = 0x1000;
        cpu.setRegister(6, 0x5000n);
      }
      for (let turn = 0; turn < 400; turn++)
        for (const [i, cpu] of processors.entries()) cpu.processor.run(97 + 31 * i);
      const [first, second] = processors;
      const view = new DataView(first.ram.buffer, first.ram.byteOffset);
      // The second runs more, and a slice may end between the two additions.
      const sum = first.register(0) + second.register(0);
      expect(sum - view.getBigUint64(0x5000, true)).toBeLessThanOrEqual(2n);
      expect(second.register(0)).toBeGreaterThan(first.register(0));
      expect(first.engine.regions.compiled > 0).toBe(accel === 'jit');
      hashes.add([...processors.map((cpu) => stateHash(cpu.processor)), memoryHash(first.ram)].join());
    }
    expect(hashes.size).toBe(1);
  });

  test.each(both)('one sees at once what the other wrote into its code (%s)', (accel) => {
    const [first, second] = pair(accel);
    // inc rax; jmp -5
    first.ram.set([0x48, 0xff, 0xc0, 0xeb, 0xfb], 0x1000);
    // mov byte [1002h], c8h: dec eax … instead of inc
    second.ram.set([0xc6, 0x04, 0x25, 0x02, 0x10, 0, 0, 0xc8, 0xeb, 0xfe], 0x2000);
    first.rip = 0x1000;
    second.rip = 0x2000;
    first.processor.run(2000);
    expect(first.register(0)).toBe(1000n);
    second.processor.run(1);
    first.processor.run(2000);
    expect(first.register(0)).toBe(0n);
  });

  test.each(both)(
    'code that was written to twice while the other did not run, and comes back to (%s)',
    (accel) => {
      const [first, second] = pair(accel);
      // add ebx, 1; jmp rax
      first.ram.set([0x83, 0xc3, 1, 0xff, 0xe0], 0x1000);
      for (const cpu of [first, second]) {
        cpu.rip = 0x1000;
        cpu.setRegister(0, 0x1000n);
        cpu.setRegister(3, 0n);
        cpu.processor.run(200);
      }
      for (const added of [2, 3]) {
        first.engine.physical.writeBytes(0x1002, Uint8Array.of(added));
        first.processor.run(200);
      }
      // What it knows leads to the second translation, which is stale as well: it must not be sent back and forth.
      first.engine.physical.writeBytes(0x1002, Uint8Array.of(4));
      second.processor.run(200);
      expect([first.register(3), second.register(3)]).toEqual([600n, 500n]);
      expect(second.processor.statistics.exits.stale).toBeLessThanOrEqual(2);
    },
  );

  test.each(both)('the same code at two linear addresses (%s)', (accel) => {
    const [first, second] = pair(accel);
    // lea rax, [rip+0]; jmp -9
    first.ram.set([0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xeb, 0xf7], 0x1000);
    // The second's tables: 2 MiB at 8000000000h are the first 2 MiB.
    const tables = 0x20_0000;
    const view = new DataView(first.ram.buffer, first.ram.byteOffset);
    view.setBigUint64(tables + 8, BigInt(tables + 0x1000) | 7n, true);
    view.setBigUint64(tables + 0x1000, BigInt(tables + 0x2000) | 7n, true);
    view.setBigUint64(tables + 0x2000, 0x87n, true);
    second.context.set({ ...contextInit, cr3: tables });
    second.processor.stateChanged();
    first.rip = 0x1000;
    second.processor.state.setBig('rip', 0x80_0000_1000n);
    for (let turn = 0; turn < 50; turn++) {
      first.processor.run(100);
      second.processor.run(100);
      expect(first.register(0)).toBe(0x1007n);
      expect(second.register(0)).toBe(0x80_0000_1007n);
    }
  });

  test('an index beyond what the engine was made for', () => {
    const first = new BareProcessor();
    expect(() => new BareProcessor({ beside: first })).toThrow(RangeError);
  });
});

const contextInit = { cr0: 0x80050033 | 0, cr4: 0x40620, efer: 0x500 | 0x800 };
