import { expect, test } from 'vitest';
import { BareProcessor } from './bare-processor.ts';

/*
 * A handler of #PF that cannot be fetched raises #PF again, for ever: with a stack of its own (IST) it never runs out of it. A processor does that until an
 * NMI comes; here the run must come back, or the guest would hold its host.
 */
test.each([['interp'], ['jit']] as const)('a fault whose handler faults, for ever (%s)', (accel) => {
  const cpu = new BareProcessor({ accel, parts: { observer: { exception: () => false } } });
  const { state } = cpu.processor;
  const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset);
  const [idt, gdt, tss] = [0x10000, 0x11000, 0x12000];
  // Gate of vector 14: interrupt gate, selector 8, IST 1, to FFFF8000_00011000h, which is not mapped.
  view.setBigUint64(idt + 14 * 16, 0x0001_8e01_0008_1000n, true);
  view.setBigUint64(idt + 14 * 16 + 8, 0xffff_8000n, true);
  view.setBigUint64(gdt + 8, 0x00af_9b00_0000_ffffn, true);
  view.setBigUint64(tss + 0x24, 0x9000n, true);
  state.setPair('tableBase', gdt, 0, 0);
  state.set('tableLimit', 0xffff, 0);
  state.setPair('tableBase', idt, 0, 1);
  state.set('tableLimit', 0xffff, 1);
  state.setPair('segmentBase', tss, 0, 7);
  state.set('segmentLimit', 0x67, 7);
  state.set('segmentAttributes', 0x8b, 7);
  state.set('segmentSelector', 8, 1);
  cpu.processor.stateChanged();
  // nop; then a load from an address that is not mapped
  cpu.ram.set([0x90, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0x80], 0x1000);
  cpu.rip = 0x1000;
  expect(cpu.processor.run(1000)).toBe('stopped');
  expect(cpu.processor.retired).toBe(1);
  expect(cpu.processor.problem).toBe('');
  expect(state.getBig('cr2')).toBe(0xffff_8000_0001_1000n);
  // It goes on where it was, as often as it is asked.
  expect(cpu.processor.run(1000)).toBe('stopped');
});
