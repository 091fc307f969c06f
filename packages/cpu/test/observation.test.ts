import { describe, expect, test } from 'vitest';
import { profileOf, profileText } from '../src/observation/profile.ts';
import { regionText } from '../src/observation/region-text.ts';
import { type BareOptions, BareProcessor } from './bare-processor.ts';

/** At 1000h: ADD RBX, RAX; SUB RAX, 1; JNZ 1000h; at 1009h: JMP to itself. */
const loop = [0x48, 0x01, 0xc3, 0x48, 0x83, 0xe8, 0x01, 0x75, 0xf7, 0xeb, 0xfe];

function start(options: BareOptions, turns = 10_000): BareProcessor {
  const bare = new BareProcessor({ ramSize: 1 << 20, ...options });
  bare.ram.set(loop, 0x1000);
  bare.setRegister(0, BigInt(turns));
  bare.rip = 0x1000;
  return bare;
}

describe('what an engine that observes has seen', () => {
  test.each(['jit', 'interp'] as const)('counts every run of a block (%s)', (accel) => {
    const { processor, engine } = start({ accel, heat: 100, observes: true });
    processor.run(3 * 10_000);
    const [first] = profileOf(engine);
    expect(first).toMatchObject({ linear: 0x1000n, offset: 0x1000, count: 3 });
    expect(first.interpreted + first.compiled).toBe(10_000);
    expect(first.compiled > 0).toBe(accel === 'jit');
    expect(first.share).toBeGreaterThan(0.99);
    expect(profileText(engine, 1)).toMatch(/ 1000 {2}add rbx, rax\n/);
  });

  test('and keeps counts of code that was forgotten', () => {
    const { processor, engine } = start({ heat: 100, observes: true });
    processor.run(3000);
    engine.code.flush();
    processor.run(3 * 10_000 - 3000);
    const [first] = profileOf(engine);
    expect(first.interpreted + first.compiled).toBe(10_000);
  });

  test('a region is shown beside its guest code', () => {
    const { processor, engine } = start({ heat: 100, observes: true });
    processor.run(3 * 10_000);
    const text = regionText(engine, 'hot')!;
    expect(text).toMatch(/^region of \d+ blocks?, \d+ instructions, \d+ bytes of WebAssembly/);
    expect(text).toMatch(/^1000 {2}4801c3 +add rbx, rax +local\.get/m);
    expect(text).toMatch(/^1003 {2}4883e801 +sub rax, 1 +\S/m);
    expect(text).toMatch(/^1007 {2}75f7 +jne/m);
    expect(regionText(engine, 0x1004n)).toBe(text);
    expect(regionText(engine, 0x5000n)).toBeUndefined();
  });

  test('nothing is kept, and the code is the same, if it does not observe', () => {
    const plain = start({ heat: 100 });
    plain.processor.run(3 * 10_000);
    const observing = start({ heat: 100, observes: true });
    observing.processor.run(3 * 10_000);
    expect(profileOf(plain.engine)).toEqual([]);
    expect(regionText(plain.engine, 'hot')).toBeUndefined();
    expect(observing.register(3)).toBe(plain.register(3));
    expect(observing.engine.statistics.regions).toBe(plain.engine.statistics.regions);
    expect(observing.engine.statistics.regionBytes).toBeGreaterThan(plain.engine.statistics.regionBytes);
  });
});

describe('single step', () => {
  test('executes one instruction after the other', () => {
    const bare = start({ heat: 1 });
    const seen: bigint[] = [];
    for (let i = 0; i < 5; i++) {
      expect(bare.processor.step()).toBe('limit');
      seen.push(bare.rip);
    }
    expect(seen).toEqual([0x1003n, 0x1007n, 0x1000n, 0x1003n, 0x1007n]);
    expect(bare.processor.retired).toBe(5);
  });

  test('stops before the handler of an exception', () => {
    const bare = new BareProcessor({ ramSize: 1 << 20, parts: { observer: { exception: () => false } } });
    // UD2, with an interrupt gate to 3000h for vector 6.
    bare.ram.set([0x0f, 0x0b], 0x1000);
    bare.ram.set([0x90, 0x90], 0x3000);
    const view = new DataView(bare.ram.buffer, bare.ram.byteOffset);
    view.setBigUint64(0x4000 + 16 * 6, 0x0000_8e00_0008_3000n, true);
    // GDT: a 64-bit code segment at 8.
    view.setBigUint64(0x5008, 0x00af_9b00_0000_ffffn, true);
    const { state } = bare.processor;
    state.setPair('tableBase', 0x5000, 0, 0);
    state.set('tableLimit', 0x17, 0);
    state.setPair('tableBase', 0x4000, 0, 1);
    state.set('tableLimit', 0xfff, 1);
    bare.setRegister(4, 0x8000n);
    bare.rip = 0x1000;
    bare.processor.stateChanged();
    expect(bare.processor.step()).toBe('limit');
    expect(bare.rip).toBe(0x3000n);
    expect(bare.processor.retired).toBe(0);
    expect(bare.processor.step()).toBe('limit');
    expect(bare.rip).toBe(0x3001n);
    expect(bare.processor.retired).toBe(1);
  });
});
