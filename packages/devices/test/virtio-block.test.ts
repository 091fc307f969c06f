import { describe, expect, test } from 'vitest';
import { CopyOnWriteStore, VirtioBlock } from '../src/index.ts';
import { fileCopy } from './manual-clock.ts';
import { type BlockRequest, blockRequest, DriverQueue, indirectFeature, negotiate } from './virtio/driver.ts';
import { mmioMachine, pciMachine, TestStore } from './virtio/machines.ts';
import { sequence } from './virtio/surroundings.ts';

const sectors = 64;
const ones = (length: number) => new Uint8Array(length).fill(0xa5);

function makeDisk(make: typeof pciMachine | typeof mmioMachine, more: { readOnly?: boolean } = {}) {
  const store = new TestStore(sectors * 512);
  const machine = make(new VirtioBlock({ store, serial: 'a serial number that is too long', ...more }));
  const { ram, transport } = machine;
  const queue = new DriverQueue(ram, 0x1000, 16);
  negotiate(transport, indirectFeature);
  transport.setUpQueue(0, 16, queue.areas);
  transport.status |= 4;
  /** One request; @returns status, used length, data read */
  const request = (what: BlockRequest, indirect = false) => {
    queue.add(blockRequest(ram, 0x8000, what), indirect ? 0x4000 : undefined);
    transport.notify(0);
    const used = queue.take();
    return {
      status: ram.bytes[0x8010],
      length: used?.length,
      data: ram.bytes.slice(0x8020, 0x8020 + (what.read ?? 0)),
    };
  };
  return { ...machine, store, queue, request };
}

describe.each([
  ['pci', pciMachine],
  ['mmio', mmioMachine],
] as const)('block device over %s (virtio 1.2, 5.2)', (_name, make) => {
  test('configuration space', () => {
    const { transport } = makeDisk(make);
    expect([0, 4, 8, 12, 20, 48, 52].map((offset) => transport.readConfig(offset, 4))).toEqual([
      sectors,
      0,
      65536,
      254,
      512,
      2048,
      1,
    ]);
    expect(transport.deviceFeatures(0) & 0xffffff).toBe(
      (1 << 1) | (1 << 2) | (1 << 6) | (1 << 9) | (1 << 14),
    );
  });

  test.each([false, true])('reads and writes (indirect: %s)', (indirect) => {
    const { store, request, interrupt } = makeDisk(make);
    const { status, length, data } = request({ type: 0, sector: 3, read: 1024 }, indirect);
    expect([status, length, interrupt()]).toEqual([0, 1025, true]);
    expect(data).toEqual(store.bytes.slice(3 * 512, 5 * 512));
    expect(request({ type: 1, sector: 7, write: ones(512) }, indirect)).toMatchObject({
      status: 0,
      length: 1,
    });
    expect(store.bytes.slice(7 * 512, 8 * 512)).toEqual(ones(512));
    expect(store.bytes[8 * 512]).not.toBe(0xa5);
  });

  test('flush, serial number, zeroes, unknown types', () => {
    const { store, request } = makeDisk(make);
    expect(request({ type: 4, sector: 0 })).toMatchObject({ status: 0, length: 1 });
    expect(store.flushes).toBe(1);
    const { data, length } = request({ type: 8, sector: 0, read: 20 });
    expect([String.fromCharCode(...data), length]).toEqual(['a serial number that', 21]);
    const segment = new Uint8Array(16);
    new DataView(segment.buffer).setUint32(0, 2, true);
    new DataView(segment.buffer).setUint32(8, 3, true);
    expect(request({ type: 13, sector: 0, write: segment }).status).toBe(0);
    expect(store.bytes.slice(2 * 512, 5 * 512).every((byte) => byte === 0)).toBe(true);
    expect([store.bytes[2 * 512 - 1], store.bytes[5 * 512 + 1]]).not.toContain(0);
    // Linux allows to unmap (bit 0) unless the blocks must stay; a flag that nobody knows is refused (5.2.6.2).
    store.bytes.fill(0xa5);
    new DataView(segment.buffer).setUint32(12, 1, true);
    expect(request({ type: 13, sector: 0, write: segment }).status).toBe(0);
    expect(store.bytes.slice(2 * 512, 5 * 512).every((byte) => byte === 0)).toBe(true);
    new DataView(segment.buffer).setUint32(12, 2, true);
    expect(request({ type: 13, sector: 0, write: segment }).status).toBe(2);
    new DataView(segment.buffer).setUint32(12, 0, true);
    new DataView(segment.buffer).setUint32(8, sectors, true);
    expect(request({ type: 13, sector: 0, write: segment }).status).toBe(1);
    expect(request({ type: 99, sector: 0 })).toMatchObject({ status: 2, length: 1 });
  });

  test('errors: outside the disk, broken sectors, a store that fails, a read-only disk', () => {
    const { store, request, transport } = makeDisk(make);
    expect(request({ type: 0, sector: sectors, read: 512 }).status).toBe(1);
    expect(request({ type: 0, sector: sectors - 1, read: 1024 }).status).toBe(1);
    expect(request({ type: 1, sector: 2 ** 63, write: ones(512) }).status).toBe(1);
    expect(request({ type: 0, sector: 0, read: 100 }).status).toBe(1);
    store.fails = true;
    for (const type of [0, 1, 4])
      expect(
        request({ type, sector: 0, read: type === 0 ? 512 : 0, write: ones(type === 1 ? 512 : 0) }).status,
      ).toBe(1);
    store.fails = false;
    expect(request({ type: 0, sector: 0, read: 512 }).status).toBe(0);
    expect(transport.status & 64).toBe(0);
    const readOnly = makeDisk(make, { readOnly: true });
    expect(readOnly.transport.deviceFeatures(0) & ((1 << 5) | (1 << 14))).toBe(1 << 5);
    expect(readOnly.request({ type: 1, sector: 0, write: ones(512) }).status).toBe(1);
    expect(readOnly.store.bytes[0]).toBe(0);
  });

  test('more than a notification’s share goes on by timer, also across a snapshot', () => {
    const make1 = () => {
      const store = new TestStore(4 * 1024 * 1024);
      return { store, ...make(new VirtioBlock({ store })) };
    };
    const first = make1();
    const queue = new DriverQueue(first.ram, 0x1000, 16);
    negotiate(first.transport, 0);
    first.transport.setUpQueue(0, 16, queue.areas);
    first.transport.status |= 4;
    for (let i = 0; i < 5; i++) {
      // Each reads 1.5 MiB, 96 KiB at a time into the same place.
      queue.descriptor(0, 0x8000, 16, 1, 1);
      for (let j = 1; j < 15; j++) queue.descriptor(j, 0x10000, 0x18000, 3, j + 1);
      queue.descriptor(15, 0x8010, 1, 2, 0);
      queue.offer(0);
    }
    first.transport.notify(0);
    const countUsed = (machine: ReturnType<typeof make1>) =>
      machine.ram.view.getUint16(queue.areas[2] + 2, true);
    expect(countUsed(first)).toBe(4);
    const second = make1();
    second.ram.bytes.set(first.ram.bytes);
    second.clock.now = first.clock.now;
    second.restore(fileCopy(first.save()));
    for (const machine of [first, second]) {
      // A notification meanwhile does not jump the queue.
      machine.transport.notify(0);
      expect(countUsed(machine)).toBe(4);
      machine.clock.advance(10_000_000);
      expect(countUsed(machine)).toBe(5);
    }
    expect(second.save()).toEqual(first.save());
  });
});

test('sizes that no driver can use are refused', () => {
  expect(() => new VirtioBlock({ store: new TestStore(1000) })).toThrow('a multiple of 512');
  expect(() => new VirtioBlock({ store: new TestStore(512), blockSize: 4096 })).toThrow('a multiple of 4096');
  expect(() => new VirtioBlock({ store: new TestStore(512), blockSize: 100 })).toThrow('512, 1024');
});

describe('copy-on-write overlay', () => {
  test('behaves as a plain copy of its base, which stays as it was', () => {
    const seed = 4711;
    const random = sequence(seed);
    // Ends in the middle of a block of the overlay.
    const size = 21 * 512 * 3;
    const base = new TestStore(size);
    const before = base.bytes.slice();
    const plain = new TestStore(size);
    const overlay = new CopyOnWriteStore(base);
    for (let i = 0; i < 600; i++) {
      const offset = random(size / 512) * 512;
      const bytes = Uint8Array.from({ length: Math.min(random(20) * 512, size - offset) }, () => random(256));
      if (random(4) === 0) {
        overlay.write(offset, bytes);
        plain.write(offset, bytes);
      }
      const [a, b] = [bytes.slice(), bytes.slice()];
      overlay.read(offset, a);
      plain.read(offset, b);
      if (a.some((byte, at) => byte !== b[at])) throw new Error(`seed ${seed}, step ${i}`);
    }
    expect(base.bytes).toEqual(before);
    const copy = new CopyOnWriteStore(base);
    copy.restore(structuredClone(overlay.save()));
    const whole = new Uint8Array(size);
    copy.read(0, whole);
    expect(whole).toEqual(plain.bytes);
    expect(copy.copied).toBe(overlay.copied);
    expect(() => new CopyOnWriteStore(new TestStore(512)).restore(overlay.save())).toThrow('of 32256 bytes');
  });
});
