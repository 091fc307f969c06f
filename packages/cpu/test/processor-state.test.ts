import { describe, expect, test } from 'vitest';
import { ProcessorStateError } from '../src/engine/processor-state.ts';
import { EventSource } from '../src/virtualization/events.ts';
import { BareProcessor } from './bare-processor.ts';

const options = { ramSize: 1 << 20, tlb: 'none' } as const;

/** Another processor that goes on from where this one is. */
function copyOf(cpu: BareProcessor, accel: 'jit' | 'interp' = 'interp'): BareProcessor {
  const copy = new BareProcessor({ ...options, accel });
  copy.ram.set(cpu.ram);
  copy.processor.restore(structuredClone(cpu.processor.save()));
  return copy;
}

describe('a processor that is saved between two instructions', () => {
  test('keeps the breakpoint that a load of SS has met for the instruction behind it', () => {
    const cpu = new BareProcessor({ ...options, accel: 'interp' });
    const { processor } = cpu;
    processor.context.set({ cr0: 0x10, cr4: 0, efer: 0 });
    // MOV SS, [3000h]; NOP; NOP. DR0 watches the word that is loaded.
    cpu.ram.set([0x8e, 0x16, 0x00, 0x30, 0x90, 0x90], 0x1000);
    processor.state.setPair('debug', 0x3000, 0, 0);
    processor.state.setPair('debug', 0x7_0001, 0, 7);
    cpu.rip = 0x1000;
    processor.stateChanged();
    processor.run(1);
    expect([cpu.rip, cpu.seen]).toEqual([0x1004n, undefined]);
    for (const one of [copyOf(cpu), cpu]) {
      one.processor.run(1);
      expect(one.rip).toBe(0x1005n);
      expect(one.seen?.vector).toBe(1);
      expect(one.processor.state.low('debug', 6) & 15).toBe(1);
    }
  });

  test('does not translate the page of its code before the other does', () => {
    const cpu = new BareProcessor({ ...options, accel: 'interp' });
    cpu.ram.fill(0x90, 0x1000, 0x1010);
    cpu.rip = 0x1000;
    cpu.processor.run(3);
    // A of the page's entry: the next fetch would set it.
    const entry = cpu.ram.length - 0x4000;
    cpu.ram[entry] &= ~0x20;
    for (const one of [copyOf(cpu), copyOf(cpu, 'jit'), cpu]) {
      one.processor.run(3);
      expect([one.rip, one.ram[entry] & 0x20]).toEqual([0x1006n, 0]);
    }
  });

  test('keeps events, shadows, flags in whatever form, and counts', () => {
    const cpu = new BareProcessor({ ...options, accel: 'interp' });
    const { processor } = cpu;
    // SUB EAX, EBX; STI
    cpu.ram.set([0x29, 0xd8, 0xfb, 0x90], 0x1000);
    cpu.setRegister(3, 1n);
    cpu.rip = 0x1000;
    processor.run(2);
    processor.events.pending = EventSource.nmi | EventSource.debugTrap;
    processor.events.debugBits = 0x4000;
    processor.events.inject({ vector: 33, type: 0, errorCode: -1, instructionLength: 2 });
    processor.delivery.stage = 1;
    const copy = copyOf(cpu).processor;
    expect(copy.save()).toEqual(processor.save());
    expect(copy.state.flags).toBe(processor.state.flags);
    expect(copy.state.flags & 0x291).toBe(0x291);
    expect([copy.retired, copy.state.get('interruptShadow')]).toEqual([2, 1]);
    expect(copy.events).toEqual(processor.events);
  });

  test('a state of another version is refused, and nothing has changed', () => {
    const { processor } = new BareProcessor({ ...options, accel: 'interp' });
    const state = processor.save();
    const { rip, ...fields } = state.fields;
    for (const wrong of [
      { ...state, version: 2 },
      { ...state, fields },
      { ...state, fields: { ...fields, rip: rip.slice(1) } },
      { ...state, pdptes: new Int32Array(7) },
    ])
      expect(() => processor.restore(wrong as typeof state)).toThrow(ProcessorStateError);
    expect(processor.save()).toEqual(state);
  });
});
