import { describe, expect, test } from 'vitest';
import { memoryHash, stateHash } from '../src/engine/state-hash.ts';
import { deriveSegmentAccess } from '../src/state/segment-cache.ts';
import { BareProcessor } from './bare-processor.ts';

/*
 * Deliveries and IRETQ through the fast TLB (system/usual-transfers.ts) end as the general way does, which other tests know well: the same
 * random machines by both, with tables, stacks and frames that are often right and sometimes wrong in one thing.
 */

const code = 0x7000;
const handler = 0x11000;
const idt = 0x20000;
const gdt = 0x21000;
const task = 0x22000;
const stack = 0x30000;
const innerStack = 0x32000;

/** xorshift32 */
class Random {
  constructor(private state: number) {}

  next(below: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % below;
  }

  /** Most often the first. */
  one<T>(usual: T, ...rare: readonly T[]): T {
    return this.next(12) === 0 ? rare[this.next(rare.length)] : usual;
  }
}

const descriptors = {
  kernelCode: 0x00af9b000000ffffn,
  kernelData: 0x00cf93000000ffffn,
  userCode: 0x00affb000000ffffn,
  userData: 0x00cff3000000ffffn,
} as const;

/** Not accessed, conforming, not present, of 32 bits, of another level, of another kind, with another limit. */
function spoil(random: Random, descriptor: bigint): bigint {
  const bit = (n: number): bigint => descriptor ^ (1n << BigInt(n));
  return random.one(
    descriptor,
    bit(40),
    bit(42),
    bit(47),
    bit(53),
    bit(54),
    bit(45),
    bit(43),
    bit(44),
    bit(41),
    bit(4),
  );
}

class Machine {
  readonly cpu: BareProcessor = new BareProcessor({
    accel: 'interp',
    parts: { observer: { exception: () => this.isOver() } },
  });
  private readonly words = this.cpu.processor.state.words.slice();
  readonly ram: Uint8Array = this.cpu.ram.slice();
  /** Frames that were found in the fast TLB. */
  usual = 0;
  private exceptions = 0;

  /** A handler that cannot be fetched from faults for ever. */
  private isOver(): boolean {
    if (++this.exceptions < 8) return false;
    this.cpu.processor.stop();
    return true;
  }

  constructor(isGeneral: boolean) {
    const { memory, engine } = this.cpu.processor;
    // IRETQ by its service; generated code's has a test of its own.
    const has = engine.handlers.has.bind(engine.handlers);
    engine.handlers.has = (name) => name !== 'IRETQ' && has(name);
    const place = memory.wordsAt.bind(memory);
    memory.wordsAt = (low, high, bytes, isWrite, system) => {
      const at = isGeneral ? -1 : place(low, high, bytes, isWrite, system);
      if (bytes >= 40 && at >= 0) this.usual++;
      return at;
    };
  }

  /** @returns the state before and behind the transfer */
  run(seed: number, isReturn: boolean): string {
    const { cpu } = this;
    const { processor } = cpu;
    const { state, memory } = processor;
    const random = new Random(seed);
    this.exceptions = 0;
    state.words.set(this.words);
    cpu.ram.set(this.ram.subarray(0, 0x40000));
    cpu.ram.set(
      [0x90, ...(isReturn ? [0x48, 0xcf] : random.next(2) === 0 ? [0x0f, 0x0b] : [0x8b, 0x07])],
      code,
    );
    const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset);
    for (const [i, descriptor] of Object.values(descriptors).entries())
      view.setBigUint64(gdt + 8 + 8 * i, spoil(random, descriptor), true);
    const isUser = random.next(2) === 1;
    const [codeSelector, stackSelector] = isUser ? [0x1b, 0x23] : [8, random.next(2) * 0x10];
    const target = random.one(0n, 0x8000_0000_0000n, 0xffff_8000_0000_0000n) | BigInt(handler);
    for (const vector of [6, 8, 10, 11, 12, 13, 14]) {
      const kind = random.one(0x8e, 0x8f, 0xee, 0x85, 0x0e, 0x8c, 0x9e);
      const low = (target & 0xffffn) | (BigInt(random.one(8, 0, 0xb, 0x1b, 0x10, 0x0c, 0x400)) << 16n);
      const high = BigInt(random.one(0, 1) | (kind << 8)) | (((target >> 16n) & 0xffffn) << 16n);
      view.setBigUint64(idt + 16 * vector, low | (high << 32n), true);
      view.setBigUint64(idt + 16 * vector + 8, target >> 32n, true);
    }
    for (const at of [4, 36])
      view.setBigUint64(task + at, BigInt(innerStack + random.one(0, 8, 0x20, 5)), true);
    state.setPair('tableBase', gdt, 0, 0);
    state.setPair('tableBase', idt, 0, 1);
    state.set('tableLimit', random.one(0x2f, 0xf, 0x20), 0);
    state.set('tableLimit', random.one(0xfff, 0x60, 0xe6), 1);
    state.setPair('segmentBase', task, 0, 7);
    state.set('segmentLimit', random.one(0x67, 0xa, 0xb), 7);
    state.set('segmentAttributes', 0x8b, 7);
    state.set('cpl', !isReturn && isUser ? 3 : 0);
    state.set('segmentSelector', !isReturn && isUser ? 0x1b : 8, 1);
    state.set('segmentSelector', !isReturn && isUser ? 0x23 : 0x10, 2);
    state.set('segmentAttributes', !isReturn && isUser ? 0xa0fb : 0xa09b, 1);
    for (const segment of [1, 2]) deriveSegmentAccess(state, segment);
    if (random.next(4) === 0) state.set('cpl', random.next(4));
    state.flags = random.one(0x202, 0x4202, 0x40202, 0x3002, 0x10002, 0x8d7);
    // No fetch of such a word is allowed: #PF of the load.
    cpu.setRegister(7, 0x2_0000_0000n);
    cpu.setRegister(4, BigInt(stack + random.one(0, 0xff0, 0xfe0, 0xfd0, 8, 4, 0x18)));
    const frame = [
      target,
      BigInt(random.one(codeSelector, 0, 8, 9, 0x1b, 0x10, 0x1c, 0x400)),
      BigInt(random.next(0x40_0000)) & ~BigInt(random.one(0x34100, 0)),
      BigInt(stack + 0x800 + random.next(16)),
      BigInt(random.one(stackSelector, 0, 3, 0x10, 0x23, 8, 0x24)),
    ];
    if (isReturn)
      for (const [i, value] of frame.entries())
        view.setBigUint64(Number(cpu.register(4)) + 8 * i, value, true);
    cpu.rip = code;
    processor.stateChanged();
    processor.run(1);
    try {
      for (const page of [idt, gdt, task]) memory.read(page, 0, 4, true);
      for (const page of [stack - 0x1000, stack, stack + 0x1000, innerStack - 0x1000]) {
        memory.write(page + 0x404, 0, 4, 0);
        memory.write(page + 0x404, 0, 4, 0, true);
      }
    } catch {
      // Pages are readable and writable to all.
    }
    const before = processor.retired;
    processor.run(1);
    const cells = [1, 2].map((segment) =>
      (['segmentFirst', 'segmentLast', 'segmentRights'] as const).map((field) => state.get(field, segment)),
    );
    return `${processor.retired - before} ${stateHash(processor)} ${memoryHash(cpu.ram.subarray(0, 0x40000))} ${cells}`;
  }
}

describe('the usual way and the general way', () => {
  test.each([
    ['events', false, 200],
    ['IRETQ', true, 200],
  ])('%s', { timeout: 60_000 }, (_, isReturn, least) => {
    const usual = new Machine(false);
    const general = new Machine(true);
    for (let seed = 1; seed <= 400; seed++)
      expect(usual.run(seed * 7919, isReturn), `seed ${seed * 7919}`).toBe(
        general.run(seed * 7919, isReturn),
      );
    expect(usual.usual).toBeGreaterThanOrEqual(least);
  });
});
