import { expect, test } from 'vitest';
import { BareProcessor } from './bare-processor.ts';

const device = 0x2000_0000;

/** Four instructions a round: ADD ECX, 1; the access; DEC EDX; JNZ back. */
function start(accel: 'jit' | 'interp', access: readonly number[], touched: () => void): BareProcessor {
  const cpu = new BareProcessor({ accel, ramSize: 1 << 20, heat: 50 });
  const handler = {
    read: () => {
      touched();
      return 5;
    },
    write: touched,
  };
  cpu.engine.physical.addRegion({ kind: 'mmio', start: device, size: 4096, handler });
  const body = [0x83, 0xc1, 0x01, ...access, 0xff, 0xca];
  cpu.ram.set([...body, 0x75, 256 - body.length - 2], 0x1000);
  cpu.rip = 0x1000;
  cpu.setRegister(1, 0n);
  cpu.setRegister(2, 1_000_000n);
  cpu.setRegister(7, BigInt(device));
  return cpu;
}

const store = [0x89, 0x07];
const load = [0x8b, 0x07];
// ADD [rdi], eax: reads and writes.
const both = [0x01, 0x07];

test.each([
  ['jit', store, 1],
  ['interp', store, 1],
  ['jit', load, 1],
  ['interp', both, 2],
  ['jit', both, 2],
] as const)('a device knows at which instruction it is asked (%s, %j)', (accel, access, times) => {
  const counts: number[] = [];
  const cpu = start(accel, access, () => counts.push(cpu.processor.retired));
  cpu.processor.run(4003);
  const expected = Array.from({ length: 1001 }, (_, round) => Array(times).fill(4 * round + 1)).flat();
  expect(counts).toEqual(expected);
});

test.each(['jit', 'interp'] as const)(
  'what a device stops ends right behind the instruction (%s)',
  (accel) => {
    let rounds = 0;
    const cpu = start(accel, store, () => {
      if (++rounds === 777) cpu.processor.stop();
    });
    expect(cpu.processor.run(1e6)).toBe('stopped');
    expect([cpu.processor.retired, cpu.rip, cpu.register(1)]).toEqual([776 * 4 + 2, 0x1005n, 777n]);
    expect(cpu.processor.run(2)).toBe('limit');
  },
);
