import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryMapError, PageKind, PhysicalMemory, type Region } from '../src/index.ts';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
const page = 4096;

function memoryOf(pages: number): PhysicalMemory {
  return new PhysicalMemory({ buffer: new ArrayBuffer(pages * page) });
}

describe('the map', () => {
  test('RAM lies where its backing says, in a part of the buffer', () => {
    const memory = new PhysicalMemory({
      buffer: new ArrayBuffer(8 * page),
      offset: 2 * page,
      size: 4 * page,
    });
    memory.addRegion({ kind: 'ram', start: 0x10_0000, size: 2 * page, backing: page });
    expect(memory.offsetOf(0x100)).toBe(3 * page);
    expect(memory.offsetOf(0x101)).toBe(4 * page);
    expect(memory.offsetOf(0x102)).toBe(-1);
    memory.write(0x101, 8, 4, 0x12345678);
    expect(new Uint32Array(memory.bytes.buffer)[page + 2]).toBe(0x12345678);
    expect(memory.read(0x101, 10, 2)).toBe(0x1234);
    expect(memory.read(0x101, 9, 1)).toBe(0x56);
  });

  test('reads of nothing and of reserved regions give ones, writes are dropped', () => {
    const memory = memoryOf(1);
    memory.addRegion({ kind: 'ram', start: 0, size: page, backing: 0 });
    memory.addRegion({ kind: 'reserved', start: 0, size: page, priority: 1 });
    for (const at of [0, 5, 2 ** 40 - 1]) {
      memory.write(at, 0, 4, 1);
      expect([memory.read(at, 0, 1), memory.read(at, 0, 2), memory.read(at, 0, 4)]).toEqual([
        0xff, 0xffff, -1,
      ]);
    }
    expect(memory.bytes[0]).toBe(0);
  });

  test('ROM is read and not written', () => {
    const memory = memoryOf(1);
    memory.bytes[3] = 0x80;
    memory.addRegion({ kind: 'rom', start: 0xffff_f000, size: page, backing: 0, name: 'firmware' });
    memory.write(0xfffff, 0, 4, 1);
    expect(memory.read(0xfffff, 0, 4)).toBe(0x8000_0000 | 0);
    expect([memory.offsetOf(0xfffff), memory.writableOffsetOf(0xfffff)]).toEqual([0, -1]);
    expect(memory.describe()).toEqual(['0xfffff000-0xffffffff rom firmware']);
  });

  test('MMIO sees offsets from its start and values cut to the size', () => {
    const memory = memoryOf(1);
    const log: number[][] = [];
    const handler = {
      read(offset: number, size: number) {
        log.push([offset, size]);
        return 0x1_2345_6789;
      },
      write: (...call: number[]) => void log.push(call),
    };
    memory.addRegion({ kind: 'mmio', start: 0xfee0_0000, size: 2 * page, handler });
    expect([memory.read(0xfee01, 4, 1), memory.read(0xfee00, 4, 4)]).toEqual([0x89, 0x2345_6789]);
    memory.write(0xfee01, 0, 2, 7);
    memory.writeBytes(0xfee0_0ffe, Uint8Array.of(1, 2, 3));
    expect(log).toEqual([
      [page + 4, 1],
      [4, 4],
      [page, 2, 7],
      [0xffe, 1, 1],
      [0xfff, 1, 2],
      [0x1000, 1, 3],
    ]);
  });

  test('D9 overlays come and go, what was below reappears, listeners hear of it', () => {
    const memory = memoryOf(4);
    const heard: number[][] = [];
    const { remove } = memory.addListener({ layoutChanged: (...range) => heard.push(range) });
    memory.addRegion({ kind: 'ram', start: 0, size: 3 * page, backing: 0 });
    memory.write(1, 0, 4, 0x11);
    const overlay = memory.addRegion({
      kind: 'ram',
      start: page,
      size: page,
      backing: 3 * page,
      priority: 10,
    });
    expect(memory.read(1, 0, 4)).toBe(0);
    memory.write(1, 0, 4, 0x22);
    overlay.remove();
    overlay.remove();
    expect(memory.read(1, 0, 4)).toBe(0x11);
    expect(heard).toEqual([
      [0, 3],
      [1, 1],
      [1, 1],
    ]);
    remove();
    memory.addRegion({ kind: 'reserved', start: 0, size: page });
    expect(heard.length).toBe(3);
  });

  test('above 4 GiB and at the top of 52 bits', () => {
    const memory = memoryOf(2);
    memory.addRegion({ kind: 'ram', start: 2 ** 32, size: page, backing: 0 });
    memory.addRegion({ kind: 'ram', start: 2 ** 52 - page, size: page, backing: page });
    expect([memory.offsetOf(2 ** 20), memory.offsetOf(2 ** 20 + 1), memory.offsetOf(2 ** 40 - 1)]).toEqual([
      0,
      -1,
      page,
    ]);
  });

  test('A20 off clears bit 20 of every address', () => {
    const memory = memoryOf(512);
    memory.addRegion({ kind: 'ram', start: 0, size: 512 * page, backing: 0 });
    const heard: number[][] = [];
    memory.addListener({ layoutChanged: (...range) => heard.push(range) });
    memory.a20 = false;
    memory.write(0x100, 0, 4, 7);
    expect([memory.read(0, 0, 4), memory.offsetOf(0x1ff)]).toEqual([7, 0xff * page]);
    memory.a20 = true;
    memory.a20 = true;
    expect([memory.read(0x100, 0, 4), heard.length]).toEqual([0, 2]);
  });

  test.each<[string, Region]>([
    ['multiple of 4096 below 2^52', { kind: 'ram', start: 1, size: page, backing: 0 }],
    ['multiple of 4096 below 2^52', { kind: 'ram', start: 2 ** 52, size: page, backing: 0 }],
    ['positive multiple', { kind: 'ram', start: 0, size: 0, backing: 0 }],
    ['positive multiple', { kind: 'reserved', start: 2 ** 52 - page, size: 2 * page }],
    [
      '0x1000 bytes behind it; the memory has 0x2000',
      { kind: 'rom', start: 0, size: page, backing: 2 * page },
    ],
    ['priority must be an integer', { kind: 'reserved', start: 0, size: page, priority: 0.5 }],
    ['ram, rom, mmio or reserved', { kind: 'dram' as 'ram', start: 0, size: page, backing: 0 }],
  ])('refuses: %s', (message, region) => {
    expect(() => memoryOf(2).addRegion(region)).toThrow(MemoryMapError);
    expect(() => memoryOf(2).addRegion(region)).toThrow(message);
  });

  test('refuses buffers that are too small', () => {
    expect(() => new PhysicalMemory({ buffer: new ArrayBuffer(page), size: 2 * page })).toThrow(
      'at least 8192',
    );
    expect(() => new PhysicalMemory({ buffer: new ArrayBuffer(page), offset: 3 })).toThrow(
      'multiple of 4096',
    );
    expect(() => memoryOf(2).attach(new ArrayBuffer(page))).toThrow(MemoryMapError);
  });
});

test(`overlapping regions look as the list of regions says (SEED=${seed})`, () => {
  const regions = fc.array(
    fc.record({
      kind: fc.constantFrom('ram' as const, 'rom' as const, 'reserved' as const, 'mmio' as const),
      start: fc.nat(40).map((n) => n * page),
      size: fc.integer({ min: 1, max: 24 }).map((n) => n * page),
      priority: fc.integer({ min: -2, max: 2 }),
      backing: fc.nat(40).map((n) => n * page),
      handler: fc.constant({ read: () => 0, write: () => {} }),
    }),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(regions, fc.array(fc.nat(11)), (list, removals) => {
      const memory = memoryOf(64);
      let live: Region[] = list;
      const handles = list.map((region) => memory.addRegion(region));
      for (const i of removals) {
        handles[i]?.remove();
        if (handles[i]) live = live.filter((region) => region !== list[i]);
      }
      for (let at = 0; at < 70; at++) {
        let top: Region | undefined;
        for (const region of live) {
          const inside = at * page >= region.start && at * page < region.start + region.size;
          if (inside && (top === undefined || region.priority! >= top.priority!)) top = region;
        }
        const kind = top === undefined || top.kind === 'reserved' ? 'none' : top.kind;
        const backed = top?.kind === 'ram' || top?.kind === 'rom' ? top : undefined;
        expect(memory.kindOf(at)).toBe(PageKind[kind]);
        expect(memory.offsetOf(at)).toBe(backed ? backed.backing + at * page - backed.start : -1);
      }
    }),
    { seed },
  );
});

describe('J: one choke point for writes', () => {
  test('a watch hears of writes through every alias and every way', () => {
    const memory = memoryOf(4);
    memory.addRegion({ kind: 'ram', start: 0, size: 4 * page, backing: 0 });
    memory.addRegion({ kind: 'ram', start: 0x10_0000, size: 4 * page, backing: 0 });
    const heard: number[][] = [];
    const watch = memory.watch((...write) => heard.push(write));
    const protectedPages: number[][] = [];
    memory.addListener({ pagesProtected: (...range) => protectedPages.push(range) });
    watch.add(2);
    memory.write(2, 8, 4, 1);
    memory.write(0x102, 9, 1, 1);
    memory.write(1, 0, 4, 1);
    memory.writeBytes(2 * page - 2, new Uint8Array(6));
    memory.updateEntry(2, 16, true, 0, 0, 0x20);
    memory.written(2 * page + 100, 8);
    expect(heard).toEqual([
      [2, 8, 4],
      [2, 9, 1],
      [2, 0, 4],
      [2, 16, 4],
      [2, 100, 8],
    ]);
    expect([memory.isWatched(2 * page), memory.isWatched(page)]).toEqual([true, false]);
    watch.dispose();
    memory.write(2, 8, 4, 2);
    expect([heard.length, memory.isWatched(2 * page)]).toEqual([5, false]);
    expect(protectedPages).toEqual([[2, 1]]);
    expect(() => memory.watch(() => {}).add(4)).toThrow('0 to 3 are allowed');
  });

  test('several consumers track dirty pages, each with its own view', () => {
    const memory = memoryOf(8);
    memory.addRegion({ kind: 'ram', start: 0, size: 8 * page, backing: 0 });
    const migration = memory.trackDirty();
    const display = memory.trackDirty(4, 2);
    const collected = (tracker: typeof display) => {
      const pages: number[] = [];
      tracker.collect((at) => pages.push(at));
      return pages;
    };
    memory.write(4, 0, 4, 1);
    memory.write(7, 0, 1, 1);
    expect(collected(migration)).toEqual([4, 7]);
    expect(collected(migration)).toEqual([]);
    expect([display.isDirty(4), display.isDirty(5), display.isDirty(7)]).toEqual([true, false, false]);
    memory.write(5, 0, 4, 1);
    expect(collected(display)).toEqual([4, 5]);
    expect(collected(migration)).toEqual([5]);
    migration.mark();
    expect(collected(migration)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    migration.dispose();
    display.dispose();
    expect(memory.isWatched(0)).toBe(false);
  });

  test('updateEntry refuses an entry that changed, in plain and in shared buffers', () => {
    for (const buffer of [new ArrayBuffer(page), new SharedArrayBuffer(page)]) {
      const memory = new PhysicalMemory({ buffer });
      memory.addRegion({ kind: 'ram', start: 0, size: page, backing: 0 });
      memory.write(0, 0, 4, 0x8000_0007);
      memory.write(0, 4, 4, 0x8000_0001);
      const [low, high] = [memory.read(0, 0, 4), memory.read(0, 4, 4)];
      expect(memory.updateEntry(0, 0, true, low, high ^ 1, low | 0x20)).toBe(false);
      expect(memory.updateEntry(0, 0, true, low ^ 1, high, low | 0x20)).toBe(false);
      expect(memory.updateEntry(0, 0, false, low ^ 1, 0, low | 0x20)).toBe(false);
      expect(memory.updateEntry(0, 0, true, low, high, low | 0x20)).toBe(true);
      expect([memory.read(0, 0, 4), memory.read(0, 4, 4)]).toEqual([low | 0x20, high]);
      expect(memory.updateEntry(0, 0, false, low | 0x20, 0, low | 0x60)).toBe(true);
      expect(memory.read(0, 0, 4)).toBe(low | 0x60);
    }
  });
});
