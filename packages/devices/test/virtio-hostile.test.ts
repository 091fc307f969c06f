import { describe, expect, test } from 'vitest';
import { SeededRandom, VirtioBlock, VirtioConsole, type VirtioDevice, VirtioEntropy } from '../src/index.ts';
import {
  blockRequest,
  DriverQueue,
  eventIndexFeature,
  indirectFeature,
  negotiate,
  writeDescriptor,
} from './virtio/driver.ts';
import { mmioMachine, pciMachine, ramSize, type TestMachine, TestStore } from './virtio/machines.ts';
import { sequence } from './virtio/surroundings.ts';

const size = 16;

function goLive({ ram, transport }: TestMachine, features = indirectFeature): DriverQueue {
  const queue = new DriverQueue(ram, 0x1000, size);
  ram.bytes.fill(0, 0x1000, 0x3000);
  negotiate(transport, features);
  transport.setUpQueue(0, size, queue.areas);
  transport.status |= 4;
  return queue;
}

function makeDisk(make: typeof pciMachine | typeof mmioMachine = mmioMachine): TestMachine {
  return make(new VirtioBlock({ store: new TestStore(32 * 512) }));
}

function expectWorking(machine: TestMachine): void {
  const queue = goLive(machine);
  queue.add(blockRequest(machine.ram, 0x8000, { type: 0, sector: 1, read: 512 }));
  machine.transport.notify(0);
  expect([queue.take(), machine.ram.bytes[0x8010]]).toEqual([{ head: 0, length: 513 }, 0]);
}

type Attack = (queue: DriverQueue, machine: TestMachine) => void;
const write = 2;
const next = 1;
const indirect = 4;

/** Indirect table at 4000h. */
function table(machine: TestMachine, entries: readonly (readonly [number, number, number, number])[]): void {
  const inside = new DriverQueue(machine.ram, 0x4000, 16);
  for (const [i, entry] of entries.entries()) inside.descriptor(i, ...entry);
}

const attacks: Record<string, Attack> = {
  'a chain that is a loop': (queue) => {
    queue.descriptor(0, 0x8000, 16, next, 1);
    queue.descriptor(1, 0x9000, 16, next, 0);
    queue.offer(0);
  },
  'a descriptor that follows itself': (queue) => {
    queue.descriptor(3, 0x8000, 512, next | write, 3);
    queue.offer(3);
  },
  'a head outside the table': (queue) => queue.offer(size),
  'a next outside the table': (queue) => {
    queue.descriptor(0, 0x8000, 16, next, size);
    queue.offer(0);
  },
  'more chains than the queue has entries': (queue, { ram }) => {
    // Each of them is a good one.
    ram.view.setUint32(0x8000, 4, true);
    queue.descriptor(0, 0x8000, 16, next, 1);
    queue.descriptor(1, 0x8010, 1, write, 0);
    ram.view.setUint16(queue.areas[1] + 2, size + 1, true);
  },
  'data that is not RAM': (queue) => {
    queue.add([
      { at: 0x8000, length: 16 },
      { at: ramSize - 256, length: 512, isWritable: true },
      { at: 0x8010, length: 1, isWritable: true },
    ]);
  },
  'a header that is not RAM': (queue) =>
    queue.add([
      { at: ramSize, length: 16 },
      { at: 0x8010, length: 1, isWritable: true },
    ]),
  'a status that is not RAM': (queue) =>
    queue.add([
      { at: 0x8000, length: 16 },
      { at: 2 ** 45, length: 1, isWritable: true },
    ]),
  'an address of 64 bits': (queue) => {
    queue.descriptor(0, 0x8000, 16, 0, 0);
    queue.ram.view.setUint32(queue.base + 4, 0xffffffff, true);
    queue.offer(0);
  },
  'an address just below 2^52': (queue) => queue.add([{ at: 2 ** 52 - 8, length: 16 }]),
  'an indirect table inside an indirect table': (queue, machine) => {
    table(machine, [[0x4000, 16, indirect, 0]]);
    queue.descriptor(0, 0x4000, 16, indirect, 0);
    queue.offer(0);
  },
  'an indirect table that goes on': (queue, machine) => {
    table(machine, [[0x8000, 16, 0, 0]]);
    queue.descriptor(0, 0x4000, 16, indirect | next, 1);
    queue.offer(0);
  },
  'an indirect table that is a loop': (queue, machine) => {
    table(machine, [
      [0x8000, 16, next, 1],
      [0x8000, 16, next, 0],
    ]);
    queue.descriptor(0, 0x4000, 32, indirect, 0);
    queue.offer(0);
  },
  'a next outside an indirect table': (queue, machine) => {
    table(machine, [[0x8000, 16, next, 1]]);
    queue.descriptor(0, 0x4000, 16, indirect, 0);
    queue.offer(0);
  },
  'an indirect table of no entries': (queue) => {
    queue.descriptor(0, 0x4000, 0, indirect, 0);
    queue.offer(0);
  },
  'an indirect table of part of an entry': (queue) => {
    queue.descriptor(0, 0x4000, 24, indirect, 0);
    queue.offer(0);
  },
  'an indirect table larger than any queue': (queue) => {
    queue.descriptor(0, 0x4000, 16 * 257, indirect, 0);
    queue.offer(0);
  },
  'an indirect table that is not RAM': (queue) => {
    queue.descriptor(0, ramSize, 16, indirect, 0);
    queue.offer(0);
  },
  'something to read behind something to write': (queue) => {
    queue.add([
      { at: 0x8000, length: 16 },
      { at: 0x8010, length: 1, isWritable: true },
      { at: 0x9000, length: 16 },
    ]);
  },
  'more than 4 GiB in a chain': (queue) => {
    queue.add([
      { at: 0x8000, length: 0xffffffff },
      { at: 0x8000, length: 0xffffffff },
      { at: 0x8010, length: 1, isWritable: true },
    ]);
  },
  'a header that is too short': (queue) =>
    queue.add([
      { at: 0x8000, length: 15 },
      { at: 0x8010, length: 1, isWritable: true },
    ]),
  'no room for a status': (queue) => queue.add([{ at: 0x8000, length: 16 }]),
};

describe.each([
  ['pci', pciMachine],
  ['mmio', mmioMachine],
] as const)(
  'what no driver may do makes the device ask for a reset, over %s (virtio 1.2, 2.1.2)',
  (_name, make) => {
    test.each(Object.entries(attacks))('%s', (_attack, attack) => {
      const machine = makeDisk(make);
      const { transport } = machine;
      const queue = goLive(machine);
      attack(queue, machine);
      transport.notify(0);
      expect(transport.status).toBe(15 | 64);
      expect([transport.takeInterrupt(), queue.take()]).toEqual([2, undefined]);
      transport.notify(0);
      transport.status |= 4;
      expect([transport.status, transport.takeInterrupt()]).toEqual([15 | 64, 0]);
      expectWorking(machine);
    });
  },
);

test('indirect tables need their feature', () => {
  const machine = makeDisk();
  const queue = goLive(machine, 0);
  queue.add(blockRequest(machine.ram, 0x8000, { type: 4, sector: 0 }), 0x4000);
  machine.transport.notify(0);
  expect(machine.transport.status & 64).toBe(64);
});

test.each([
  [0, 'descriptor table'],
  [1, 'available ring'],
  [2, 'used ring'],
])('area %i (%s) outside RAM, and beyond all addresses', (area) => {
  for (const address of [ramSize, 2 ** 52 - 16, 2 ** 52, 2 ** 63]) {
    const machine = makeDisk();
    const { ram, transport } = machine;
    const queue = new DriverQueue(ram, 0x1000, size);
    negotiate(transport, 0);
    const areas: [number, number, number] = [...queue.areas];
    areas[area] = address;
    transport.setUpQueue(0, size, areas);
    transport.status |= 4;
    queue.add(blockRequest(ram, 0x8000, { type: 4, sector: 0 }));
    transport.notify(0);
    expect(transport.status & 64).toBe(64);
    expectWorking(machine);
  }
});

test('a request of more than the limits allow is an I/O error, however large', () => {
  const machine = makeDisk();
  const queue = goLive(machine);
  queue.add([
    { at: 0x8000, length: 16 },
    { at: 0x9000, length: 0xfffffe00, isWritable: true },
    { at: 0x8010, length: 1, isWritable: true },
  ]);
  machine.transport.notify(0);
  expect([queue.take(), machine.ram.bytes[0x8010]]).toEqual([{ head: 0, length: 0 }, 1]);
});

test('a device that is made to feed its own ring stays bounded, and time goes on', () => {
  const machine = mmioMachine({
    ...new VirtioEntropy({ fill: (target) => target.fill(0) }),
    // Writes an available index one ahead of what it has served: an endless supply.
    process(_queue, chain) {
      const index = (machine.ram.view.getUint16(0x1000 + 16 * size + 2, true) + 1) & 0xffff;
      chain.write(0, Uint8Array.of(index & 0xff, index >> 8));
      return 2;
    },
    attach() {},
    reset() {},
    save: () => ({ version: 1, type: 4, config: [] }),
    restore() {},
  } satisfies VirtioDevice);
  const queue = goLive(machine);
  queue.descriptor(0, queue.areas[1] + 2, 2, write, 0);
  queue.offer(0);
  machine.ram.accesses = 0;
  machine.transport.notify(0);
  expect(machine.ram.accesses).toBeLessThan(10 * size);
  const before = machine.ram.accesses;
  machine.clock.advance(1_000_000);
  expect(machine.clock.fired).toBeGreaterThan(1);
  // Time limits it: at least 64 ns for each chain.
  expect(machine.ram.accesses - before).toBeLessThan((1_000_000 / 64) * 10);
  machine.transport.status = 0;
  const { fired } = machine.clock;
  machine.clock.advance(1_000_000);
  expect(machine.clock.fired).toBe(fired);
});

const devices: Record<string, () => VirtioDevice> = {
  block: () => new VirtioBlock({ store: new TestStore(64 * 512) }),
  console: () => new VirtioConsole({ output: { write() {} } }),
  entropy: () => new VirtioEntropy(new SeededRandom(3)),
};

describe.each(Object.entries(devices))('random rings for the %s device', (_name, makeDevice) => {
  test.each([
    ['pci', pciMachine],
    ['mmio', mmioMachine],
  ] as const)('over %s: no exception, bounded work, and a reset helps', (_transport, make) => {
    const seed = 0xbadcafe;
    const random = sequence(seed);
    const machine = make(makeDevice());
    const { ram, transport, clock } = machine;
    // Mostly plausible: else the first look at the ring ends it.
    const address = () =>
      [random(0x4000), random(ramSize), random(2 ** 32), random(2 ** 53)][Math.min(3, random(24) >> 2)];
    const length = () => [16 * random(32), random(0x2000), 1, random(2 ** 32)][Math.min(3, random(16) >> 2)];
    let needed = 0;
    let served = 0;
    for (let round = 0; round < 1500; round++) {
      ram.bytes.fill(0, 0x1000, 0x3000);
      const queues =
        transport.status === 0 || (transport.status & 64) !== 0 || random(8) === 0
          ? [0, 1].map((index) => new DriverQueue(ram, 0x1000 + 0x1000 * index, size))
          : [];
      if (queues.length > 0) {
        negotiate(transport, (random(2) * indirectFeature) | (random(2) * eventIndexFeature));
        for (const [index, queue] of queues.entries()) transport.setUpQueue(index, size, queue.areas);
        transport.status |= 4;
      }
      for (const [index, queue] of queues.entries()) {
        for (let i = 0; i < size; i++) {
          queue.descriptor(
            i,
            address(),
            length(),
            random(16) === 0 ? random(65536) : random(4) & ~(random(2) << 1),
            random(20) === 0 ? random(65536) : (i + 1) % size,
          );
          if (random(3) === 0) queue.descriptor(i, 0x4000 + 16 * random(256), 16 * random(9), indirect, 0);
        }
        for (let i = 0; i < 64; i++)
          writeDescriptor(ram, 0x4000 + 16 * i, address(), length(), random(4), random(8));
        if (random(2) === 0) {
          // What a disk would take, if it were not for the address.
          queue.descriptor(0, 0x8000, 16, next, 1);
          queue.descriptor(1, address(), 512 * random(4), next | write, 2);
          queue.descriptor(2, 0x8010, 1, write, 0);
          queue.offer(0);
        }
        for (let i = random(6); i >= 0; i--) queue.offer(random(40) === 0 ? random(65536) : random(size));
        if (random(40) === 0) ram.view.setUint16(queue.areas[1] + 2, random(65536), true);
        ram.accesses = 0;
        transport.notify(index);
        if (ram.accesses > 50_000) throw new Error(`seed ${seed}, round ${round}: ${ram.accesses} accesses`);
        if (queue.take() !== undefined) served++;
      }
      clock.advance(20_000_000);
      if ((transport.status & 64) !== 0) needed++;
    }
    // The rings are neither all good nor all bad.
    expect(needed).toBeGreaterThan(100);
    expect(served).toBeGreaterThan(20);
  });

  test('100,000 random accesses to the registers', () => {
    const random = sequence(99);
    const pci = pciMachine(makeDevice());
    const mmio = mmioMachine(makeDevice());
    const offsets = {
      pci: [0, 56, 0x1000, 1, 0x2000, 64, 0x3000, 8],
      mmio: [0, 0x100, 0x100, 64, 0, 0x100, 0x70, 4],
    };
    const base = pci.pci.pciFunction.addressOf(0)!;
    for (let i = 0; i < 50_000; i++) {
      const kind = random(4) * 2;
      const width = 1 << random(3);
      const value = [0, 1, random(16), random(2 ** 32)][random(4)];
      const at = (list: readonly number[]) => list[kind] + random(list[kind + 1]);
      if (random(200) === 0)
        for (const { transport } of [pci, mmio]) negotiate(transport, transport.deviceFeatures(0) | 0);
      if (random(2) === 0) {
        pci.board.read(base + at(offsets.pci), width);
        mmio.mmio.read(at(offsets.mmio), width);
      } else {
        pci.board.write(base + at(offsets.pci), width, value);
        mmio.mmio.write(at(offsets.mmio) & ~3, 4, value);
        mmio.mmio.write(at(offsets.mmio), width, value);
        // Access through the configuration window and elsewhere in the function.
        if (random(4) === 0) pci.pci.pciFunction.writeConfig(0x40 + 4 * random(32), 4, value);
        pci.pci.pciFunction.readConfig(4 * random(64), 4);
      }
      pci.board.messages.length = 0;
      if (i % 1000 === 0) for (const machine of [pci, mmio]) machine.clock.advance(1_000_000);
    }
    for (const machine of [pci, mmio]) {
      machine.transport.status = 0;
      expect(machine.transport.status).toBe(0);
    }
  });
});
