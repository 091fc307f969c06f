import { describe, expect, test } from 'vitest';
import { stateOffset } from '../src/state/layout.ts';
import { BareProcessor } from './bare-processor.ts';

/** What the host harness cannot show: state between a fault and the second attempt. */

const code = 0x4000;
const stateVector = (bare: BareProcessor, register: number): Uint8Array =>
  new Uint8Array(
    bare.engine.memory.buffer,
    bare.processor.state.address + stateOffset.vector + 64 * register,
    32,
  );

function machine(bytes: readonly number[]): BareProcessor {
  const bare = new BareProcessor({ accel: 'interp' });
  bare.ram.set(bytes, code);
  bare.rip = code;
  return bare;
}

/** Page table entry (2 MiB) of an address below 1 GiB. */
function pageEntry(bare: BareProcessor, address: number): DataView {
  const at = bare.engine.physical.base + bare.ram.length - 0x6000 + 0x2000 + 8 * (address >>> 21);
  return new DataView(bare.engine.memory.buffer, at, 8);
}

describe('vector instructions that fault in the middle go on where they stopped', () => {
  test('VPGATHERDD', () => {
    // vpgatherdd ymm1, [rax+ymm2*4], ymm3
    const bare = machine([0xc4, 0xe2, 0x65, 0x90, 0x0c, 0x90]);
    const near = 0x80_0000;
    const away = 0xa0_0000;
    bare.setRegister(0, BigInt(near));
    const ram = new DataView(bare.ram.buffer, bare.ram.byteOffset);
    const targets = [near, near + 8, near + 4, away, away + 4, near, away + 8, near + 12];
    stateVector(bare, 2).set(new Uint8Array(Int32Array.from(targets, (at) => (at - near) / 4).buffer));
    for (const at of targets) ram.setInt32(at, at + 1, true);
    stateVector(bare, 1).set(new Uint8Array(Int32Array.from({ length: 8 }, (_, i) => i).buffer));
    // All but element 2.
    const mask = Int32Array.from({ length: 8 }, (_, i) => (i === 2 ? 0x7fffffff : -1));
    stateVector(bare, 3).set(new Uint8Array(mask.buffer));
    const entry = pageEntry(bare, away);
    const mapped = entry.getUint32(0, true);
    entry.setUint32(0, 0, true);
    bare.processor.run(1);
    expect(bare.seen?.vector).toBe(14);
    expect(bare.processor.state.getBig('cr2')).toBe(BigInt(away));
    expect(bare.rip).toBe(BigInt(code));
    const elements = (register: number): number[] => [
      ...new Int32Array(stateVector(bare, register).slice().buffer),
    ];
    expect(elements(1)).toEqual([near + 1, near + 9, 2, 3, 4, 5, 6, 7]);
    expect(elements(3)).toEqual([0, 0, 0, -1, -1, -1, -1, -1]);
    entry.setUint32(0, mapped, true);
    // What was read before is not read again.
    ram.setInt32(near + 8, 0, true);
    bare.seen = undefined;
    expect(bare.processor.run(1)).toBe('limit');
    const expected = targets.map((at) => (at === near + 8 ? at + 1 : ram.getInt32(at, true)));
    expected[2] = 2;
    expect(elements(1)).toEqual(expected);
    expect(elements(3)).toEqual(new Array(8).fill(0));
  });

  test('VMASKMOVPS to memory writes nothing if an element cannot be written', () => {
    // vmaskmovps [rax], ymm1, ymm2
    const bare = machine([0xc4, 0xe2, 0x75, 0x2e, 0x10]);
    const start = 0xa0_0000 - 16;
    bare.setRegister(0, BigInt(start));
    stateVector(bare, 1).set(new Uint8Array(Int32Array.of(-1, 0, -1, 0, 0, 0, 0, -1).buffer));
    stateVector(bare, 2).fill(0x55);
    bare.ram.fill(0x11, start, start + 32);
    const entry = pageEntry(bare, start + 16);
    const mapped = entry.getUint32(0, true);
    entry.setUint32(0, 0, true);
    bare.processor.run(1);
    expect(bare.seen?.vector).toBe(14);
    expect(bare.processor.state.getBig('cr2')).toBe(BigInt(start + 28));
    expect([...bare.ram.subarray(start, start + 16)]).toEqual(new Array(16).fill(0x11));
    entry.setUint32(0, mapped, true);
    bare.seen = undefined;
    expect(bare.processor.run(1)).toBe('limit');
    const written = [...new Uint32Array(bare.ram.slice(start, start + 32).buffer)];
    const [yes, no] = [0x55555555, 0x11111111];
    expect(written).toEqual([yes, no, yes, no, no, no, no, yes]);
  });
});

test('VZEROUPPER leaves registers that 32-bit code cannot name', () => {
  const bare = machine([0xc5, 0xf8, 0x77]);
  const { state } = bare.processor;
  // CS.L = 0, CS.D = 1: compatibility mode.
  state.set('segmentAttributes', 0xc09b, 1);
  bare.processor.stateChanged();
  for (let register = 0; register < 16; register++) stateVector(bare, register).fill(0xff);
  expect(bare.processor.run(1)).toBe('limit');
  for (let register = 0; register < 16; register++) {
    const [low, high] = [stateVector(bare, register).slice(0, 16), stateVector(bare, register).slice(16)];
    expect([...low]).toEqual(new Array(16).fill(0xff));
    expect([...high]).toEqual(new Array(16).fill(register < 8 ? 0 : 0xff));
  }
});

test('an MMX instruction raises a pending x87 exception and changes nothing', () => {
  // paddb mm0, mm1
  const bare = machine([0x0f, 0xfc, 0xc1]);
  const { state } = bare.processor;
  state.set('x87Status', 0xb881);
  state.set('x87Control', 0x37e);
  bare.processor.run(1);
  expect(bare.seen?.vector).toBe(16);
  expect(state.get('x87Status')).toBe(0xb881);
  expect(state.get('x87Tags')).toBe(0);
});
