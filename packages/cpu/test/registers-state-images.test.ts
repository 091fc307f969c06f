import { describe, expect, test } from 'vitest';
import { componentsInUserState } from '../src/system/extended-state.ts';
import { hasHost } from './harness/host-processor.ts';
import { absentPage, data, GP0, Machine, type MachineOptions, MF, NM, PF, UD } from './registers-machine.ts';
import { areaBytes, type Host, loads, runOnHost, type StateCase, saves } from './state-images/oracle.ts';

/** A seeded generator: mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/** Components that a host may have and the engine has not: AMX's and APX's. */
const notOurs = 0xe_0000;

/** Numbers that mean something to an x87 register. */
const significands = [0n, 1n << 63n, 3n << 62n, (1n << 64n) - 1n, 1n, 1n << 62n];
const exponents = [0, 1, 0x3fff, 0x7ffe, 0x7fff, 0x8000, 0xffff];

class Cases {
  private readonly next: () => number;
  constructor(seed: number) {
    this.next = randomFrom(seed);
  }

  below(count: number): number {
    return this.next() % count;
  }

  private pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)];
  }

  private register(view: DataView, at: number): void {
    view.setBigUint64(at, this.pick(significands), true);
    view.setUint16(at + 8, this.pick(exponents), true);
  }

  make(): StateCase {
    const area = Uint8Array.from({ length: areaBytes }, () => this.next());
    const view = new DataView(area.buffer);
    const load = this.below(loads.length);
    if (load < 4) {
      for (let i = 0; i < 8; i++) if (this.below(2) !== 0) this.register(view, 32 + 16 * i);
      // Rarely more than one bit too many.
      view.setUint32(
        24,
        (this.next() & 0xffff) | (this.below(8) === 0 ? 1 << (16 + this.below(16)) : 0),
        true,
      );
      if (this.below(3) === 0) view.setUint32(24, 0x1f80, true);
      if (this.below(3) === 0) view.setUint16(2, this.next() & 0x3f00, true);
      if (this.below(4) === 0) area.fill(0, 160, 512);
      this.header(view, area);
    } else {
      const narrow = load % 2 === 1;
      const start = narrow ? 14 : 28;
      for (let i = 0; i < 8; i++) if (this.below(2) !== 0) this.register(view, start + 10 * i);
    }
    return {
      load,
      save: this.below(saves.length),
      loadMask: this.mask(),
      saveMask: this.mask(),
      area,
      target: Uint8Array.from({ length: areaBytes }, () => this.next()),
    };
  }

  private mask(): number {
    return this.below(2) === 0 ? 7 : this.next() & componentsInUserState & ~0x200;
  }

  private header(view: DataView, area: Uint8Array): void {
    area.fill(0, 512, 576);
    const components = this.next() & 0xe7;
    view.setUint32(512, components, true);
    if (this.below(2) === 0) {
      view.setUint32(520, components | (this.next() & 0xe7), true);
      view.setUint32(524, 0x8000_0000, true);
    }
    if (this.below(6) === 0) area[512 + this.below(64)] ^= 1 << this.below(8);
    for (const word of [512, 520]) view.setUint32(word, view.getUint32(word, true) & ~notOurs, true);
  }
}

function machineLike(host: Host): Machine {
  const xcr0 = host.xcr0 & componentsInUserState;
  const machine = new Machine({
    vendor: host.vendor,
    capabilities: {
      xcr0,
      componentOffsets: host.offsets,
      alignedComponents: host.alignedComponents,
      mxcsr: host.mxcsrMask,
      dropsFpuSelectors: host.dropsSelectors,
      linearBits: host.linearBits,
    },
  });
  machine.state.setPair('xcr0', xcr0, 0);
  return machine;
}

/**
 * A processor may say that SSE state is in use though all of it is as at first (SDM vol. 1, 13.6: only the other way round is ruled out), and Xeons do so
 * after loads that did not initialize it: then XSTATE_BV has bit 1, and XSAVEC and XSAVEOPT save zeros and MXCSR.
 */
function withSseInUse(ours: Uint8Array, expected: Uint8Array, machine: Machine): Uint8Array {
  const isInUse = (expected[512] & 2) !== 0 && (ours[512] & 2) === 0;
  const registers = expected.subarray(160, 416);
  if (!isInUse || registers.some((byte) => byte !== 0)) return ours;
  const settled = ours.slice();
  settled[512] |= 2;
  settled.set(registers, 160);
  const control = new Uint32Array([machine.state.get('mxcsr'), machine.capabilities.mxcsr]);
  settled.set(new Uint8Array(control.buffer), 24);
  return settled;
}

describe.runIf(hasHost())('loads and saves of state do what the host processor does', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  test(`random images (SEED=${seed})`, () => {
    const generator = new Cases(seed);
    const cases = Array.from({ length: 600 }, () => generator.make());
    const { host, results } = runOnHost(cases);
    const wrong: string[] = [];
    for (const [i, one] of cases.entries()) {
      const machine = machineLike(host);
      const { ram } = machine;
      ram.set(one.area, 0x2_0000);
      ram.set(one.target, 0x3_0000);
      const [loadName, loadCode] = loads[one.load];
      const [saveName, saveCode, then] = saves[one.save];
      const title = `${i}: ${loadName} ${one.loadMask.toString(16)}, ${saveName} ${one.saveMask.toString(16)}`;
      machine.rbx = 0x2_0000n;
      machine.rax = BigInt(one.loadMask);
      const outcome = machine.execute(loadCode);
      const expected = results[i];
      if ((outcome !== 'done') !== (expected === undefined)) {
        wrong.push(`${title}: ${expected === undefined ? 'the host' : 'only ours'} faults`);
        continue;
      }
      if (expected === undefined) continue;
      machine.rbx = 0x3_0000n;
      machine.rax = BigInt(one.saveMask);
      machine.execute(saveCode);
      if (then !== undefined) machine.execute(then);
      const found = ram.subarray(0x3_0000, 0x3_0000 + areaBytes);
      const isXsave = saveName.startsWith('XSAVE');
      const ours = isXsave ? withSseInUse(found, expected, machine) : found;
      const at = ours.findIndex((byte, j) => byte !== expected[j]);
      if (at >= 0)
        wrong.push(`${title}: byte ${at} is ${ours[at].toString(16)}, host ${expected[at].toString(16)}`);
    }
    expect(wrong.slice(0, 20)).toEqual([]);
    // Both ways of ending were seen.
    expect(results.filter((result) => result === undefined).length).toBeGreaterThan(10);
    expect(results.filter((result) => result !== undefined).length).toBeGreaterThan(100);
  }, 60_000);
});

const fx = ['0fae03', '0fae0b'] as const;
const xsaves = ['0fae23', '0fae2b', '0fae33', '0fc723', '0fc72b', '0fc71b'] as const;

function at(address: number, options: MachineOptions = {}): Machine {
  const machine = new Machine(options);
  machine.rbx = BigInt(address);
  machine.rax = 7n;
  return machine;
}

describe('conditions', () => {
  test.each([...fx, 'dd33', 'dd23', 'd933', 'd923'])('%s: #NM with CR0.EM or CR0.TS', (code) => {
    for (const bit of [4, 8]) {
      const machine = at(data);
      machine.context.cr0 |= bit;
      expect(machine.execute(code)).toEqual(NM);
    }
  });

  test.each(xsaves)('%s: #UD without CR4.OSXSAVE, then #NM with CR0.TS, then alignment', (code) => {
    const machine = at(data + 32);
    machine.cr4 &= ~0x4_0000;
    machine.context.cr0 |= 8;
    expect(machine.execute(code)).toEqual(UD);
    machine.cr4 |= 0x4_0000;
    expect(machine.execute(code)).toEqual(NM);
    machine.context.cr0 &= ~8;
    expect(machine.execute(code)).toEqual(GP0);
    // EM does not matter.
    machine.context.cr0 |= 4;
    machine.rbx = BigInt(data);
    machine.view.setUint32(data + 524, 0x8000_0000, true);
    machine.view.setUint32(data + 24, 0x1f80, true);
    expect(machine.execute(code)).toBe('done');
  });

  test('XSAVES and XRSTORS need CPL 0; XRSTORS takes the compacted form only', () => {
    for (const code of ['0fc72b', '0fc71b']) expect(at(data, { cpl: 3 }).execute(code)).toEqual(GP0);
    expect(at(data).execute('0fc71b')).toEqual(GP0);
  });

  test('without XSAVEC the compacted form is #GP(0)', () => {
    const machine = at(data, { cpuid: { 'd.1': [1, 0, 0, 0] } });
    machine.view.setUint32(data + 524, 0x8000_0000, true);
    machine.view.setUint32(data + 24, 0x1f80, true);
    expect(machine.execute('0fae2b')).toEqual(GP0);
  });

  test.each(fx)('%s: 16 bytes of alignment, whatever AC says; page faults', (code) => {
    expect(at(data + 8).execute(code)).toEqual(GP0);
    expect(at(absentPage - 64, { cpl: 3 }).execute(code)).toEqual(PF(code === fx[0] ? 6 : 4));
  });

  test.each(xsaves.slice(0, 3))('%s: page faults of the part that is needed', (code) => {
    // The extended region alone lies on the absent page.
    const machine = at(absentPage - 576);
    machine.state.set('vector', 1, 4);
    machine.view.setUint32(absentPage - 64, 7, true);
    machine.view.setUint32(absentPage - 576 + 24, 0x1f80, true);
    machine.rax = 3n;
    expect(machine.execute(code)).toBe('done');
    machine.state.set('vector', 1, 4);
    machine.rax = 7n;
    machine.view.setUint32(absentPage - 64, 7, true);
    expect(machine.execute(code)).toEqual(PF(code === '0fae2b' ? 0 : 2));
  });

  test('FLDENV and FRSTOR: a pending exception is #MF first', () => {
    for (const code of ['dd23', 'd923']) {
      const machine = at(absentPage);
      machine.state.set('x87Control', 0x37e);
      machine.state.set('x87Status', 0x8081);
      expect(machine.execute(code)).toEqual(MF);
    }
    // FNSAVE and FNSTENV do not wait.
    for (const code of ['dd33', 'd933']) {
      const machine = at(data);
      machine.state.set('x87Control', 0x37e);
      machine.state.set('x87Status', 0x8081);
      expect(machine.execute(code)).toBe('done');
    }
  });

  test('without CR4.OSFXSR FXSAVE leaves XMM and MXCSR alone', () => {
    const machine = at(data);
    machine.cr4 &= ~0x200;
    machine.ram.fill(0xcc, data, data + 512);
    machine.execute('0fae03');
    expect(machine.view.getUint32(data + 24, true)).toBe(0xcccc_cccc);
    expect(machine.view.getUint32(data + 160, true)).toBe(0xcccc_cccc);
    expect(machine.view.getUint16(data, true)).toBe(0x37f);
  });
});

describe('outside 64-bit mode', () => {
  test('eight registers are saved and restored', () => {
    const machine = at(data, { mode: 'protected32' });
    for (let i = 0; i < 16; i++) {
      machine.state.set('vector', 0x100 + i, 16 * i);
      machine.state.set('vector', 0x200 + i, 16 * i + 4);
    }
    machine.ram.fill(0xcc, data, data + 1024);
    machine.ram.fill(0, data + 512, data + 576);
    expect(machine.execute('0fae23')).toBe('done');
    expect(machine.view.getUint32(data + 160 + 16 * 7, true)).toBe(0x107);
    expect(machine.view.getUint32(data + 160 + 16 * 8, true)).toBe(0xcccc_cccc);
    expect(machine.view.getUint32(data + 576 + 16 * 7, true)).toBe(0x207);
    expect(machine.view.getUint32(data + 576 + 16 * 8, true)).toBe(0xcccc_cccc);
    machine.view.setUint32(data + 512, 0, true);
    machine.execute('0fae2b');
    expect(machine.state.get('vector', 16 * 7)).toBe(0);
    expect(machine.state.get('vector', 16 * 8)).toBe(0x108);
    expect(machine.state.get('vector', 16 * 8 + 4)).toBe(0x208);
  });

  test.each([
    [
      'protected32',
      'd933',
      [0xffff_037f, 0xffff_3800, 0xffff_bfff, 0x1_2345, 0x0555_0033, 0x6_789a, 0xffff_002b],
    ],
    ['real', '6667d933', [0xffff_037f, 0xffff_3800, 0xffff_bfff, 0xffff_2675, 0x1555, 0xffff_7b4a, 0x6000]],
  ] as const)('FNSTENV in %s', (mode, code, words) => {
    const machine = at(data, { mode });
    const { state } = machine;
    state.set('x87Status', 0x3800);
    // R7 holds a denormal.
    state.set('x87Tags', 0x80);
    state.set('x87', 1, 28);
    state.set('x87Opcode', 0x555);
    state.setPair('x87InstructionPointer', 0x1_2345, 0);
    state.set('x87InstructionSelector', 0x33);
    state.setPair('x87DataPointer', 0x6_789a, 0);
    state.set('x87DataSelector', 0x2b);
    expect(machine.execute(code)).toBe('done');
    const seen = Array.from({ length: 7 }, (_, i) => machine.view.getUint32(data + 4 * i, true).toString(16));
    expect(seen).toEqual(words.map((word) => (word >>> 0).toString(16)));
  });

  test('real-address mode: 16-bit environments go there and back as linear addresses', () => {
    const machine = at(data, { mode: 'real' });
    machine.state.setPair('x87InstructionPointer', 0x1234, 0);
    machine.state.set('x87InstructionSelector', 0x2000);
    machine.state.setPair('x87DataPointer', 0xfff0, 0);
    machine.state.set('x87DataSelector', 0x3000);
    machine.state.set('x87Opcode', 0x7ff);
    machine.execute('67d933');
    const seen = Array.from({ length: 7 }, (_, i) => machine.view.getUint16(data + 2 * i, true).toString(16));
    expect(seen).toEqual(['37f', '0', 'ffff', '1234', '27ff', 'fff0', '3000']);
    machine.execute('67d923');
    expect(machine.state.low('x87InstructionPointer')).toBe(0x2_1234);
    expect(machine.state.low('x87DataPointer')).toBe(0x3_fff0);
    expect(machine.state.get('x87Opcode')).toBe(0x7ff);
  });
});

describe('PKRU is component 9', () => {
  const offset = data + 2688;

  test('XSAVE and XRSTOR', () => {
    const machine = at(data);
    machine.state.setPair('xcr0', 0x207, 0);
    machine.rax = 0x200n;
    machine.context.pkru = 0x5555_5554;
    machine.execute('0fae23');
    expect(machine.view.getUint32(offset, true)).toBe(0x5555_5554);
    expect(machine.view.getUint32(data + 512, true)).toBe(0x200);
    machine.context.pkru = 0;
    machine.execute('0fae2b');
    expect(machine.context.pkru).toBe(0x5555_5554);
    machine.view.setUint32(data + 512, 0, true);
    machine.execute('0fae2b');
    expect(machine.context.pkru).toBe(0);
    expect(machine.contextChanges).toBe(2);
  });
});

describe('XGETBV and XSETBV', () => {
  test('CR4.OSXSAVE, CPL, ECX', () => {
    const machine = new Machine();
    machine.rax = 7n;
    expect(machine.execute('0f01d1')).toBe('done');
    machine.rcx = 2n;
    for (const code of ['0f01d0', '0f01d1']) expect(machine.execute(code)).toEqual(GP0);
    machine.cr4 &= ~0x4_0000;
    for (const code of ['0f01d0', '0f01d1']) expect(machine.execute(code)).toEqual(UD);
    const user = new Machine({ cpl: 3 });
    user.rax = 7n;
    expect(user.execute('0f01d1')).toEqual(GP0);
    expect(user.execute('0f01d0')).toBe('done');
    expect([user.rax, user.rdx]).toEqual([7n, 0n]);
  });

  test.each([
    [1n, true],
    [3n, true],
    [7n, true],
    [0x207n, true],
    [0xe7n, true],
    [0n, false],
    [2n, false],
    [5n, false],
    [0x27n, false],
    [0xe3n, false],
    [0xfn, false],
    [1n << 32n, false],
  ])('XCR0 := %x', (value, isAllowed) => {
    const machine = new Machine();
    machine.rax = value & 0xffff_ffffn;
    machine.rdx = value >> 32n;
    expect(machine.execute('0f01d1')).toEqual(isAllowed ? 'done' : GP0);
    expect(machine.state.getBig('xcr0')).toBe(isAllowed ? value : 7n);
  });

  test('ECX 1: components in use, MXCSR counting as SSE', () => {
    const machine = new Machine();
    const inUse = (): bigint => {
      machine.rcx = 1n;
      machine.execute('0f01d0');
      return machine.rax;
    };
    expect(inUse()).toBe(0n);
    machine.state.set('mxcsr', 0x1fa0);
    expect(inUse()).toBe(2n);
    machine.state.set('vector', 1, 16 * 15 + 4);
    expect(inUse()).toBe(6n);
    machine.state.set('x87Tags', 1);
    expect(inUse()).toBe(7n);
    const without = new Machine({ cpuid: { 'd.1': [3, 0, 0, 0] } });
    without.rcx = 1n;
    expect(without.execute('0f01d0')).toEqual(GP0);
  });
});
