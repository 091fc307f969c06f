import { describe, expect, test } from 'vitest';
import { memoryHash, stateHash } from '../src/engine/state-hash.ts';
import { type BareOptions, BareProcessor } from './bare-processor.ts';

// Code in linear pages of 4 KiB that the tests map: a loop goes from A to B and back, and only what lies at B changes.
const pageA = 0x40_0000;
const pageB = 0x40_1000;
/** Where A lies; and two physical pages that B may be, which add 1 and 16. */
const frameA = 0x10_0000;
const [frameOne, frameSixteen] = [0x10_1000, 0x10_2000];
/** Page tables for the first GiB: one page table for the 2 MiB of A and B. */
const table = 0x20_0000;

function at(page: number): number {
  return table + 8 * ((page >> 12) & 511);
}

function relative(from: number, to: number): number[] {
  const distance = to - from;
  return [distance & 255, (distance >> 8) & 255, (distance >> 16) & 255, (distance >> 24) & 255];
}

/** RCX rounds: jump to B, which adds to RBX; then `jmp $`. */
const codeA = [
  ...[0xe9, ...relative(pageA + 5, pageB)], //  0 jmp B
  ...[0x83, 0xe9, 0x01], //                     5 sub ecx, 1
  ...[0x75, 0xf6], //                           8 jnz 0
  ...[0xeb, 0xfe], //                           a jmp $
];

function codeB(value: number): number[] {
  return [
    ...[0x48, 0x83, 0xc3, value], //                     add rbx, value
    ...[0xe9, ...relative(pageB + 9, pageA + 5)], //     jmp A + 5
  ];
}

class Mapped extends BareProcessor {
  private readonly physical = new DataView(this.ram.buffer, this.ram.byteOffset);

  constructor(options: BareOptions) {
    super(options);
    const directory = this.ram.length - 0x6000 + 0x2000;
    this.physical.setBigUint64(directory + 8 * (pageA >> 21), BigInt(table) | 7n, true);
    for (let page = 0; page < 512; page++) this.map(pageA + 4096 * page, frameA + 4096 * page);
    this.ram.set(codeA, frameA);
    this.ram.set(codeB(1), frameOne);
    this.ram.set(codeB(16), frameSixteen);
    this.setRegister(4, 0x9000n);
  }

  map(page: number, frame: number): void {
    this.physical.setBigUint64(at(page), BigInt(frame) | 7n, true);
  }

  /** Executes an instruction of its own at 1 MiB less a page. */
  execute(...code: number[]): void {
    this.ram.set(code, 0xf_f000);
    this.rip = 0xf_f000;
    this.processor.run(1);
  }

  /** Goes round the loop; answers what was added. */
  loop(rounds: number): number {
    const before = this.register(3);
    this.setRegister(1, BigInt(rounds));
    this.rip = pageA;
    this.processor.run(5 * rounds);
    expect(this.rip).toBe(BigInt(pageA + 0xa));
    return Number(this.register(3) - before);
  }

  /** So often that it is compiled, and again, so that the region knows its pages. */
  warmUp(): void {
    this.loop(200);
    this.loop(200);
  }
}

const both = [['interp'], ['jit']] as const;
const modes = { interp: { accel: 'interp' }, jit: { accel: 'jit', heat: 20 } } as const;

/** INVLPG [RSI]. */
const invlpg = [0x0f, 0x01, 0x3e];
/** MOV CR3, RAX. */
const movCr3 = [0x0f, 0x22, 0xd8];

describe.each(both)('another page of a region (%s)', (accel) => {
  const start = (options: BareOptions = {}): Mapped => {
    const cpu = new Mapped({ ...modes[accel], ...options });
    cpu.warmUp();
    if (accel === 'jit') expect(cpu.engine.regions.compiled).toBeGreaterThan(0);
    expect(cpu.engine.regions.failures).toEqual([]);
    return cpu;
  };

  test('is mapped elsewhere: INVLPG', () => {
    const cpu = start();
    cpu.map(pageB, frameSixteen);
    cpu.setRegister(6, BigInt(pageB));
    cpu.execute(...invlpg);
    expect(cpu.loop(100)).toBe(1600);
    // And back, where the region's own code is good again.
    cpu.map(pageB, frameOne);
    cpu.execute(...invlpg);
    expect(cpu.loop(100)).toBe(100);
  });

  test('is mapped elsewhere: MOV to CR3', () => {
    const cpu = start();
    const cr3 = cpu.ram.length - 0x6000;
    cpu.map(pageB, frameSixteen);
    cpu.setRegister(0, BigInt(cr3));
    cpu.execute(...movCr3);
    expect(cpu.loop(100)).toBe(1600);
  });

  test('is another one in another address space that shares the first: PCIDs', () => {
    const cpu = start();
    // A second set of tables, in which only B differs.
    const [first, second] = [cpu.ram.length - 0x6000, 0x30_0000];
    cpu.ram.copyWithin(second, first, first + 0x3000);
    const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset);
    view.setBigUint64(second, BigInt(second + 0x1000) | 7n, true);
    view.setBigUint64(second + 0x1000, BigInt(second + 0x2000) | 7n, true);
    view.setBigUint64(second + 0x2000 + 8 * (pageA >> 21), BigInt(second + 0x3000) | 7n, true);
    cpu.ram.copyWithin(second + 0x3000, table, table + 0x1000);
    view.setBigUint64(second + 0x3000 + 8 * ((pageB >> 12) & 511), BigInt(frameSixteen) | 7n, true);
    // CR4.PCIDE; then without flushing (bit 63).
    cpu.context.set({ cr4: 0x40620 | (1 << 17) });
    cpu.processor.stateChanged();
    const enter = (root: number, pcid: number): void => {
      cpu.setRegister(0, BigInt(root + pcid) | (1n << 63n));
      cpu.execute(...movCr3);
    };
    for (let turn = 0; turn < 3; turn++) {
      enter(second, 1);
      expect(cpu.loop(100)).toBe(1600);
      enter(first, 0);
      expect(cpu.loop(100)).toBe(100);
    }
  });

  test('is another one where the first is mapped a second time', () => {
    const cpu = start();
    const alias = 0x2_0000;
    cpu.map(pageA + alias, frameA);
    cpu.map(pageB + alias, frameSixteen);
    // Again when all of them are in the fast TLB.
    for (let turn = 0; turn < 3; turn++) {
      const before = cpu.register(3);
      cpu.setRegister(1, 100n);
      cpu.rip = pageA + alias;
      cpu.processor.run(500);
      expect(Number(cpu.register(3) - before)).toBe(1600);
      expect(cpu.rip).toBe(BigInt(pageA + alias + 0xa));
      expect(cpu.loop(100)).toBe(100);
    }
  });

  test('can no longer be fetched from', () => {
    const cpu = start();
    new DataView(cpu.ram.buffer, cpu.ram.byteOffset).setBigUint64(at(pageB), 0n, true);
    cpu.setRegister(6, BigInt(pageB));
    cpu.execute(...invlpg);
    cpu.setRegister(1, 10n);
    cpu.rip = pageA;
    cpu.processor.run(50);
    expect(cpu.seen).toEqual({ vector: 14, errorCode: 0x10 });
    expect(cpu.rip).toBe(BigInt(pageB));
  });

  test('is written to', () => {
    const cpu = start();
    // mov byte [rsi], 16: the value that B adds.
    cpu.setRegister(6, BigInt(pageB + 3));
    cpu.execute(0xc6, 0x06, 16);
    expect(cpu.loop(100)).toBe(1600);
  });
});

test('a region that finds its pages moved ends as the interpreter does, whatever the slices', () => {
  const hashes = new Set<string>();
  for (const accel of ['interp', 'jit'] as const) {
    for (const slice of [3, 17, 1000]) {
      const cpu = new Mapped({ ...modes[accel], tlb: 'chaos' });
      cpu.warmUp();
      for (let turn = 0; turn < 6; turn++) {
        cpu.map(pageB, turn % 2 === 0 ? frameSixteen : frameOne);
        cpu.setRegister(6, BigInt(pageB));
        cpu.execute(...invlpg);
        cpu.setRegister(1, 300n);
        cpu.rip = pageA;
        for (let done = 0; done < 1400; done += slice) cpu.processor.run(Math.min(slice, 1400 - done));
      }
      hashes.add(stateHash(cpu.processor) + memoryHash(cpu.ram));
    }
  }
  expect(hashes.size).toBe(1);
});
