import { readFileSync } from 'node:fs';
import { type CpuModelData, resolveModel } from '@nest86/cpuid';
import { svmFeatureNames } from '@nest86/svm/extension';
import { describe, expect, test } from 'vitest';
import { boardRequest, findModel, Machine, readBootImage, stateHash } from '../src/index.ts';

// The guest of guests/svm: a hypervisor that enters two guests of its own. What it prints is what it prints in QEMU.

const folder = new URL('../../../guests/svm/', import.meta.url);
const image = readBootImage(readFileSync(new URL('svm.elf', folder)));
const expected = readFileSync(new URL('expected.txt', folder), 'utf8');
const limit = 10_000_000;

function modelWith(features: readonly string[], name = 'zen4') {
  return resolveModel(findModel(name) as CpuModelData, {
    ...boardRequest,
    changes: features.map((feature) => [feature, true] as const),
  }).model;
}

class Run {
  text = '';
  readonly machine: Machine;

  constructor(accel: 'jit' | 'interp', features: readonly string[]) {
    const write = (byte: number): void => {
      this.text += String.fromCharCode(byte);
    };
    const cpuid = modelWith(features);
    this.machine = new Machine({ memory: 32 << 20, serial: { write }, accel, cpuid });
    this.machine.start(image, { commandLine: '' });
  }

  get printed(): string {
    return this.text.replaceAll('\r', '');
  }

  get hash(): string {
    const { machine } = this;
    return machine.processors.map(({ processor }) => `${processor.retired} ${stateHash(processor)}`).join();
  }
}

describe.each([
  ['what QEMU has', ['svm', 'npt']],
  ['all that there is', svmFeatureNames],
])('%s', (_name, features) => {
  const compiled = new Run('jit', features);
  compiled.machine.run(limit);

  test('it prints what it prints in QEMU', () => {
    expect(compiled.printed).toBe(expected);
  });

  test('interpreted, the state is the same', () => {
    const interpreted = new Run('interp', features);
    interpreted.machine.run(limit);
    expect(interpreted.printed).toBe(expected);
    expect(interpreted.hash).toBe(compiled.hash);
  });

  test('from a snapshot before, in and behind its guest it comes to the same end', () => {
    const first = new Run('jit', features);
    const { svm, processor } = first.machine.processors[0];
    first.machine.run(Math.floor(compiled.machine.processors[0].processor.retired * 0.9));
    let inGuest = 0;
    for (let i = 0; i < 3; i++) {
      if (i > 0) first.machine.run(700);
      // The guest's loop is short beside what is cleared and printed.
      while (i === 1 && svm?.controls.isGuest === false && processor.retired < limit) first.machine.run(700);
      if (svm?.controls.isGuest === true) inGuest++;
      const second = new Run('interp', features);
      second.machine.run(1000);
      second.machine.restore(first.machine.save());
      second.text = first.text;
      second.machine.run(limit);
      expect(second.printed).toBe(expected);
      expect(second.hash).toBe(compiled.hash);
    }
    expect(inGuest).toBeGreaterThan(0);
  });
});

test('without SVM: CPUID does not have it, nobody can switch it on, its instructions are #UD', () => {
  const run = new Run('interp', []);
  run.machine.run(limit);
  expect(run.printed).toBe('no SVM\n');
  const { processor, svm } = run.machine.processors[0];
  expect(svm).toBeUndefined();
  expect(processor.capabilities.efer & 0x1000).toBe(0);
  const out = new Int32Array(4);
  processor.cpuid.read(0x8000_000a | 0, 0, out);
  expect([...out]).toEqual([0, 0, 0, 0]);
  expect(processor.msrs.read(0xc001_0114, out)).toBe(false);
});

test('SVM on a processor of Intel is refused', () => {
  expect(() => modelWith(['svm'], 'x86-64-v3')).toThrow(
    "+svm: x86-64-v3 is a processor of Intel, and only AMD's have it",
  );
});
