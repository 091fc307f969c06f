import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  boardRequest,
  type CpuModelData,
  findModel,
  Machine,
  type MachineOptions,
  readBootImage,
  resolveModel,
  stateHash,
} from '../src/index.ts';
import { contentOf, countOf, runTo } from './harness/interrupted.ts';

// guests/vmx: a small hypervisor that runs a guest in real mode under EPT and one in 64-bit mode, and prints each exit.

const guests = new URL('../../../guests/vmx/', import.meta.url);
const image = readBootImage(readFileSync(new URL('vmx.elf', guests)));
const expected = readFileSync(new URL('expected.txt', guests), 'utf8');
const max = findModel('max') as CpuModelData;

function start(options: Partial<MachineOptions> = {}, isOn = true): { machine: Machine; text: () => string } {
  let text = '';
  const { model } = resolveModel(max, { ...boardRequest, changes: [['vmx', isOn]] });
  const machine = new Machine({
    memory: 32 << 20,
    cpuid: model,
    testDevice: true,
    serial: { write: (byte) => void (text += String.fromCharCode(byte)) },
    ...options,
  });
  machine.start(image, { commandLine: '' });
  return { machine, text: () => text.replaceAll('\r', '') };
}

function isInGuest(machine: Machine): boolean {
  return machine.processors[0].vmx?.controls.isGuest === true;
}

describe('guests/vmx prints what it is to print', () => {
  const ends = (['interp', 'jit'] as const).map((accel) => {
    const { machine, text } = start({ accel });
    const end = runTo(machine);
    return { end, text: text(), hash: stateHash(machine.processors[0].processor), count: countOf(machine) };
  });

  test('interpreted', () => {
    expect(ends[0].text).toBe(expected);
    expect(ends[0].end).toEqual({ reason: 'exit', exitCode: 33 });
  });

  test('compiled, with an equal state at the end', () => {
    expect(ends[1]).toEqual(ends[0]);
  });

  test('in slices of a few instructions', () => {
    const { machine, text } = start();
    let end = machine.run(7);
    while (end.reason === 'limit') end = machine.run(isInGuest(machine) ? 1 : 997);
    expect(text()).toBe(expected);
    expect(stateHash(machine.processors[0].processor)).toBe(ends[0].hash);
  });
});

test('without the feature CPUID shows none and VMXON raises #UD', () => {
  const { machine, text } = start({}, false);
  expect(runTo(machine)).toEqual({ reason: 'exit', exitCode: 35 });
  expect(text()).toBe('vmx: the processor has none\n');
  expect(machine.processors[0].vmx).toBeUndefined();
  expect(machine.processors[0].msrs.read(0x480, new Int32Array(2))).toBe(false);
});

/** Counts at which a guest runs. */
function countsInside(): number[] {
  const { machine } = start();
  const inside: number[] = [];
  for (let end = machine.run(2000); end.reason === 'limit'; end = machine.run(isInGuest(machine) ? 5 : 50))
    if (isInGuest(machine)) inside.push(countOf(machine));
  return inside;
}

const inside = countsInside();

test('a run that goes on from a snapshot taken inside a guest is the run that was saved', () => {
  const whole = start().machine;
  runTo(whole);
  const end = contentOf(whole);
  expect(inside.length).toBeGreaterThan(5);
  for (let i = 0; i < 4; i++) {
    const { machine } = start();
    runTo(machine, inside[Math.floor((i * inside.length) / 4)]);
    expect(isInGuest(machine)).toBe(true);
    const later = start().machine;
    later.restore(machine.save());
    expect(isInGuest(later)).toBe(true);
    runTo(later);
    expect(contentOf(later)).toEqual(end);
  }
});

/** xorshift (Marsaglia, 2003). */
function randoms(seed: number): () => number {
  let value = Math.imul(seed, 0x9e37_79b1) | 1;
  return () => {
    value ^= value << 13;
    value ^= value >>> 17;
    value ^= value << 5;
    return value;
  };
}

test('whatever a VMCS holds, nothing throws and no run is endless', () => {
  const seed = Date.now() & 0xffff;
  const random = randoms(seed);
  for (let round = 0; round < 10; round++) {
    const { machine } = start({ accel: round % 2 === 0 ? 'jit' : 'interp' });
    const virtual = machine.processors[0];
    let end = runTo(machine, inside[(random() >>> 0) % inside.length]);
    // Of the current VMCS's fields a few become something else, and again now and then.
    for (let step = 0; step < 40 && end.reason === 'limit'; step++) {
      const page = virtual.vmx!.save().currentPage;
      const { physical } = machine;
      for (let i = 0; page >= 0 && i < 3; i++) {
        const offset = 0x40 + (((random() >>> 0) % 0x580) & ~3);
        const bits = (random() & 1) !== 0 ? random() : 1 << (random() & 31);
        physical.write(page, offset, 4, physical.read(page, offset, 4) ^ bits);
      }
      end = machine.run(500);
    }
    expect(
      ['limit', 'exit', 'problem', 'shutdown', 'reset', 'halted', 'triple-fault'],
      `seed ${seed}, round ${round}`,
    ).toContain(end.reason);
    if (end.reason === 'problem') throw new Error(`seed ${seed}, round ${round}: ${end.problem}`);
  }
});
