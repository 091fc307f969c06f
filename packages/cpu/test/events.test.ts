import { describe, expect, test } from 'vitest';
import { Activity, Segment } from '../src/state/layout.ts';
import { capabilitiesOf } from '../src/system/capabilities.ts';
import { EventSource, eventOrder } from '../src/virtualization/events.ts';
import { BareProcessor } from './bare-processor.ts';

/** NOP; JMP back. */
const loop = [0x90, 0xeb, 0xfd];

function start(parts: object = {}): BareProcessor {
  const cpu = new BareProcessor({ accel: 'interp', ramSize: 1 << 20, parts });
  cpu.ram.set(loop, 0x1000);
  cpu.rip = 0x1000;
  cpu.setRegister(4, 0x9000n);
  return cpu;
}

describe('events between instructions, without a virtualization extension', () => {
  test('SMI: to the handler at SMBASE + 8000h; a second one waits for RSM', () => {
    const cpuid = { read: (_leaf: number, _subleaf: number, out: Int32Array) => void out.fill(0) };
    const cpu = start({ capabilities: { ...capabilitiesOf(cpuid), cr4: -1, efer: -1 } });
    const { state, events } = cpu.processor;
    state.setPair('smbase', 0x30000, 0);
    // NOP; RSM
    cpu.ram.set([0x90, 0x0f, 0xaa], 0x38000);
    cpu.processor.run(1);
    events.pending |= EventSource.smi;
    cpu.processor.run(1);
    expect(state.get('inSmm')).toBe(1);
    expect(cpu.rip).toBe(0x8001n);
    events.pending |= EventSource.smi;
    cpu.processor.run(1);
    expect(state.get('inSmm')).toBe(0);
    expect(cpu.rip).toBe(0x1001n);
    expect(events.pending).toBe(EventSource.smi);
    cpu.processor.run(1);
    expect(cpu.rip).toBe(0x8001n);
  });

  test('INIT is what the owner makes of it', () => {
    let count = 0;
    const cpu = start({
      initialize: () => {
        count++;
        cpu.rip = 0x2000;
        cpu.processor.state.set('activity', Activity.waitForSipi);
      },
    });
    cpu.processor.run(1);
    cpu.processor.events.pending |= EventSource.init;
    expect(cpu.processor.run(5)).toBe('stopped');
    expect([count, cpu.rip, cpu.processor.retired]).toEqual([1, 0x2000n, 1]);
  });

  test('a start-up IPI starts a processor that waits for it, and is lost otherwise', () => {
    const cpu = start();
    const { processor } = cpu;
    processor.events.startVector = 8;
    processor.events.pending |= EventSource.startup;
    processor.run(1);
    expect(cpu.rip).toBe(0x1001n);
    expect(processor.events.pending).toBe(0);
    processor.context.set({ cr0: 0x10, cr4: 0, efer: 0 });
    processor.state.set('activity', Activity.waitForSipi);
    processor.stateChanged();
    // NMIs do not reach it.
    processor.nmiPending = true;
    expect(processor.run(1)).toBe('stopped');
    processor.nmiPending = false;
    cpu.ram.set(loop, 0x8000);
    processor.events.pending |= EventSource.startup;
    processor.run(1);
    expect(processor.state.get('segmentSelector', Segment.cs)).toBe(0x800);
    expect(cpu.rip).toBe(1n);
  });

  test.each([
    ['STI', [0xfb]],
    ['MOV SS', [0x8e, 0xd0]],
  ])('an NMI waits for the instruction behind %s', (_, code) => {
    const cpu = start();
    const { processor } = cpu;
    processor.context.set({ cr0: 0x10, cr4: 0, efer: 0 });
    processor.stateChanged();
    processor.state.set('tableLimit', 0x3ff, 1);
    // Vector 2: 0000:2000.
    cpu.ram.set([0, 0x20, 0, 0], 8);
    cpu.ram.set([0x90, 0x90], 0x2000);
    cpu.ram.set([...code, 0x90, 0x90], 0x1000);
    processor.run(1);
    processor.nmiPending = true;
    processor.run(1);
    expect(cpu.rip).toBe(BigInt(0x1001 + code.length));
    processor.run(1);
    expect(cpu.rip).toBe(0x2001n);
  });

  test.each([
    ['running', Activity.running],
    ['waiting for one', Activity.waitForSipi],
  ])('INIT and a start-up IPI at once start a processor that was %s', (_, activity) => {
    const cpu = start({
      initialize: () => {
        processor.context.set({ cr0: 0x10, cr4: 0, efer: 0 });
        processor.state.set('activity', Activity.waitForSipi);
        processor.stateChanged();
      },
    });
    const { processor } = cpu;
    cpu.ram.set(loop, 0x8000);
    processor.state.set('activity', activity);
    processor.events.startVector = 8;
    processor.events.pending |= EventSource.init | EventSource.startup;
    processor.run(1);
    expect([processor.state.get('activity'), processor.events.pending]).toEqual([Activity.running, 0]);
    expect([processor.state.get('segmentSelector', Segment.cs), cpu.rip]).toEqual([0x800, 1n]);
  });
});

test('both orders have every source once', () => {
  for (const order of Object.values(eventOrder))
    expect([...order].sort((a, b) => a - b)).toEqual(Object.values(EventSource).sort((a, b) => a - b));
});
