import { expect, test } from 'vitest';
import { BareProcessor } from './bare-processor.ts';

// Whoever gives turns to processors must see the same whatever it asks of a run: one that waits has nothing more to do with its turn.
test.each([1, 2, 1000])('a processor that halts says so at the end of its run, too (%i)', (count) => {
  const cpu = new BareProcessor();
  cpu.ram.set([0x90, 0xf4, 0x90], 0x1000);
  cpu.rip = 0x1000;
  if (count === 1) expect(cpu.processor.run(1)).toBe('limit');
  expect(cpu.processor.run(count)).toBe('stopped');
  expect(cpu.processor.retired).toBe(2);
});
