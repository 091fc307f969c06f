import { describe, expect, test } from 'vitest';
import { SeededRandom, VirtioBlock, VirtioConsole, VirtioEntropy } from '../src/index.ts';
import { fileCopy } from './manual-clock.ts';
import { DriverQueue, eventIndexFeature, indirectFeature, negotiate } from './virtio/driver.ts';
import { mmioMachine, pciMachine } from './virtio/machines.ts';
import { capabilitiesOf } from './virtio/surroundings.ts';

const makers = { pci: pciMachine, mmio: mmioMachine };
const entropy = () => new VirtioEntropy(new SeededRandom(1));

describe('PCI transport (virtio 1.2, 4.1)', () => {
  test('identification and capabilities', () => {
    const { pci } = pciMachine(new VirtioConsole({ output: { write() {} } }));
    const { pciFunction } = pci;
    expect(pciFunction.readConfig(0, 4) >>> 0).toBe(0x10431af4);
    expect(pciFunction.readConfig(8, 4) >>> 0).toBe(0x07800001);
    const structures = capabilitiesOf(pciFunction).map(({ id, at }) =>
      id === 9
        ? [
            pciFunction.readConfig(at + 3, 1),
            pciFunction.readConfig(at + 2, 1),
            pciFunction.readConfig(at + 12, 4),
          ]
        : [id],
    );
    // Type, length of the capability, length of the structure.
    expect(structures).toEqual([[1, 16, 56], [2, 20, 8], [3, 16, 1], [4, 16, 12], [5, 20, 0], [0x11]]);
  });

  test('a device without configuration space has no structure for one', () => {
    const { pciFunction } = pciMachine(entropy()).pci;
    const types = capabilitiesOf(pciFunction).map(({ at }) => pciFunction.readConfig(at + 3, 1));
    expect(types).not.toContain(4);
  });

  test('registers read back; queues that do not exist have size 0', () => {
    const { board, pci } = pciMachine(entropy());
    const base = pci.pciFunction.addressOf(0)!;
    expect(board.read(base + 18, 2)).toBe(1);
    expect([board.read(base + 24, 2), board.read(base + 26, 2)]).toEqual([64, 0xffff]);
    board.write(base + 24, 2, 48);
    expect(board.read(base + 24, 2)).toBe(64);
    board.write(base + 24, 2, 16);
    expect(board.read(base + 24, 2)).toBe(16);
    board.write(base + 36, 4, 3);
    board.write(base + 32, 4, 0x12345000);
    expect([board.read(base + 32, 4), board.read(base + 36, 4)]).toEqual([0x12345000, 3]);
    board.write(base + 26, 2, 1);
    expect(board.read(base + 26, 2)).toBe(1);
    board.write(base + 26, 2, 2);
    expect(board.read(base + 26, 2)).toBe(0xffff);
    board.write(base + 22, 2, 1);
    expect([board.read(base + 24, 2), board.read(base + 28, 2)]).toEqual([0, 0]);
    // Once enabled, a queue stays where it is.
    board.write(base + 22, 2, 0);
    board.write(base + 28, 2, 1);
    board.write(base + 32, 4, 0);
    expect(board.read(base + 32, 4)).toBe(0x12345000);
  });

  test('the configuration window reaches the registers without a mapping', () => {
    const { pci } = pciMachine(entropy());
    const { pciFunction } = pci;
    const { at } = capabilitiesOf(pciFunction).find(({ at }) => pciFunction.readConfig(at + 3, 1) === 5)!;
    pciFunction.writeConfig(4, 2, 0);
    const aim = (offset: number, length: number) => {
      pciFunction.writeConfig(at + 8, 4, offset);
      pciFunction.writeConfig(at + 12, 4, length);
    };
    aim(18, 2);
    expect(pciFunction.readConfig(at + 16, 2)).toBe(1);
    aim(20, 1);
    pciFunction.writeConfig(at + 16, 1, 3);
    expect(pciFunction.readConfig(at + 16, 1)).toBe(3);
    aim(21, 2);
    pciFunction.writeConfig(at + 16, 2, 0xffff);
    aim(0x10000, 4);
    pciFunction.writeConfig(at + 16, 4, 0);
    aim(20, 1);
    expect(pciFunction.readConfig(at + 16, 1)).toBe(3);
  });

  test('without bus mastering the device leaves memory alone, and does the work later', () => {
    const { ram, transport, pci } = pciMachine(entropy());
    const queue = new DriverQueue(ram, 0x1000, 8);
    negotiate(transport, 0);
    transport.setUpQueue(0, 8, queue.areas);
    transport.status |= 4;
    pci.pciFunction.writeConfig(4, 2, 2);
    queue.add([{ at: 0x8000, length: 16, isWritable: true }]);
    transport.notify(0);
    expect(queue.take()).toBe(undefined);
    pci.pciFunction.writeConfig(4, 2, 6);
    expect(queue.take()).toEqual({ head: 0, length: 16 });
  });

  test('MSI-X: each queue and the configuration have a vector; INTA is silent', () => {
    const device = new VirtioConsole({ output: { write() {} } });
    const { ram, transport, pci, board } = pciMachine(device);
    const { pciFunction } = pci;
    const { at } = capabilitiesOf(pciFunction).find(({ id }) => id === 0x11)!;
    const table = pciFunction.addressOf(2)!;
    for (let vector = 0; vector < 3; vector++)
      for (const [i, word] of [0xfee00000, 0, 0x30 + vector, 0].entries())
        board.write(table + 16 * vector + 4 * i, 4, word);
    pciFunction.writeConfig(at + 2, 2, 0x8000);
    const queues = [new DriverQueue(ram, 0x1000, 8), new DriverQueue(ram, 0x2000, 8)];
    negotiate(transport, 1);
    const common = pciFunction.addressOf(0)!;
    board.write(common + 16, 2, 0);
    for (const [index, queue] of queues.entries()) {
      transport.setUpQueue(index, 8, queue.areas);
      board.write(common + 26, 2, index + 1);
    }
    transport.status |= 4;
    queues[0].add([{ at: 0x8000, length: 16, isWritable: true }]);
    transport.notify(0);
    device.receive([1]);
    queues[1].add([{ at: 0x8000, length: 16 }]);
    transport.notify(1);
    device.resize(100, 40);
    expect(board.messages.map(([, data]) => data)).toEqual([0x31, 0x32, 0x30]);
    expect(board.lines).toEqual([false, false, false, false]);
  });
});

describe('MMIO transport (virtio 1.2, 4.2)', () => {
  test('magic, version, types; ones for shared memory; narrow accesses to registers do nothing', () => {
    const { mmio } = mmioMachine(entropy());
    expect([0, 4, 8].map((offset) => mmio.read(offset, 4))).toEqual([0x74726976, 2, 4]);
    expect([mmio.read(0xb0, 4), mmio.read(0xbc, 4), mmio.read(0xc0, 4)]).toEqual([-1, -1, 0]);
    mmio.write(0x30, 4, 0);
    expect(mmio.read(0x34, 4)).toBe(64);
    mmio.write(0x30, 4, 1);
    expect(mmio.read(0x34, 4)).toBe(0);
    mmio.write(0x70, 1, 1);
    expect([mmio.read(0x70, 4), mmio.read(0, 1)]).toEqual([0, 0]);
  });
});

describe.each(Object.entries(makers))('over %s', (_name, make) => {
  test('feature negotiation (3.1.1): VERSION_1 is needed, what is not offered refused, FEATURES_OK locks', () => {
    const { transport } = make(new VirtioConsole({ output: { write() {} } }));
    const offered = transport.deviceFeatures(0);
    expect(offered).toBe(eventIndexFeature + indirectFeature + 5);
    expect([transport.deviceFeatures(1), transport.deviceFeatures(2)]).toEqual([1, 0]);
    expect(negotiate(transport, 0, 0)).toBe(false);
    expect(negotiate(transport, 2)).toBe(false);
    expect(negotiate(transport, 0, 3)).toBe(false);
    expect(negotiate(transport, offered)).toBe(true);
    transport.acceptFeatures(0, 2);
    transport.status |= 4;
    expect(transport.status).toBe(15);
    transport.status = 0;
    expect(transport.status).toBe(0);
  });

  test('nothing happens before DRIVER_OK; then waiting chains are served', () => {
    const { ram, transport, interrupt } = make(entropy());
    const queue = new DriverQueue(ram, 0x1000, 8);
    negotiate(transport, 0);
    transport.setUpQueue(0, 8, queue.areas);
    queue.add([{ at: 0x8000, length: 16, isWritable: true }]);
    transport.notify(0);
    expect(queue.take()).toBe(undefined);
    transport.status |= 4;
    expect(queue.take()).toEqual({ head: 0, length: 16 });
    expect(interrupt()).toBe(true);
    expect(transport.takeInterrupt()).toBe(1);
    expect(interrupt()).toBe(false);
  });

  test('entropy: the same bytes for the same seed; all pieces are filled', () => {
    const { ram, transport } = make(entropy());
    const queue = new DriverQueue(ram, 0x1000, 8);
    negotiate(transport, indirectFeature);
    transport.setUpQueue(0, 8, queue.areas);
    transport.status |= 4;
    const pieces = [
      { at: 0x8000, length: 5, isWritable: true },
      { at: 0x9000, length: 0, isWritable: true },
      { at: 0xa000, length: 11, isWritable: true },
    ];
    queue.add(pieces, 0x4000);
    transport.notify(0);
    expect(queue.take()).toEqual({ head: 0, length: 16 });
    const expected = new Uint8Array(16);
    new SeededRandom(1).fill(expected);
    expect([...ram.bytes.subarray(0x8000, 0x8005), ...ram.bytes.subarray(0xa000, 0xa00b)]).toEqual([
      ...expected,
    ]);
    expect(ram.bytes[0x8005]).toBe(0);
  });

  test('event index (2.7.7, 2.7.10): interrupts when asked for, the device tells where it is', () => {
    const { ram, transport } = make(entropy());
    const queue = new DriverQueue(ram, 0x1000, 8);
    negotiate(transport, eventIndexFeature);
    transport.setUpQueue(0, 8, queue.areas);
    transport.status |= 4;
    const serve = () => {
      queue.add([{ at: 0x8000, length: 4, isWritable: true }]);
      transport.notify(0);
      return transport.takeInterrupt();
    };
    queue.usedEvent = 2;
    expect([serve(), serve(), serve(), serve()]).toEqual([0, 0, 1, 0]);
    expect(queue.availableEvent).toBe(4);
    queue.usedEvent = 4;
    expect(serve()).toBe(1);
  });

  test('without it, a flag in the available ring holds interrupts back (2.7.6)', () => {
    const { ram, transport } = make(entropy());
    const queue = new DriverQueue(ram, 0x1000, 8);
    negotiate(transport, 0);
    transport.setUpQueue(0, 8, queue.areas);
    transport.status |= 4;
    ram.view.setUint16(queue.areas[1], 1, true);
    queue.add([{ at: 0x8000, length: 4, isWritable: true }]);
    transport.notify(0);
    expect(transport.takeInterrupt()).toBe(0);
    ram.view.setUint16(queue.areas[1], 0, true);
    queue.add([{ at: 0x8000, length: 4, isWritable: true }]);
    transport.notify(0);
    expect(transport.takeInterrupt()).toBe(1);
  });

  test('indices of 16 bits wrap around', () => {
    const { ram, transport } = make(entropy());
    const queue = new DriverQueue(ram, 0x1000, 2);
    negotiate(transport, eventIndexFeature);
    transport.setUpQueue(0, 2, queue.areas);
    transport.status |= 4;
    let served = 0;
    for (let i = 0; i < 66_000; i++) {
      queue.add([{ at: 0x8000, length: 1, isWritable: true }]);
      transport.notify(0);
      if (queue.take()?.head === i % 2) served++;
    }
    expect(served).toBe(66_000);
  });

  test('console: bytes out, bytes in when there is a buffer, size, emergency write', () => {
    const sent: number[] = [];
    const device = new VirtioConsole({
      output: { write: (byte) => sent.push(byte) },
      columns: 132,
      rows: 50,
    });
    const { ram, transport } = make(device);
    const [input, output] = [new DriverQueue(ram, 0x1000, 8), new DriverQueue(ram, 0x2000, 8)];
    negotiate(transport, 5);
    transport.writeConfig(8, 4, 0x21);
    transport.setUpQueue(0, 8, input.areas);
    transport.setUpQueue(1, 8, output.areas);
    transport.status |= 4;
    expect([0, 2].map((offset) => transport.readConfig(offset, 2) & 0xffff)).toEqual([132, 50]);
    device.resize(80, 24);
    expect([transport.readConfig(0, 4), transport.takeInterrupt()]).toEqual([(24 << 16) | 80, 2]);
    ram.bytes.set([0x68, 0x69], 0x8000);
    output.add([{ at: 0x8000, length: 2 }]);
    transport.notify(1);
    expect([sent, output.take()]).toEqual([[0x21, 0x68, 0x69], { head: 0, length: 0 }]);
    device.receive([1, 2, 3]);
    expect(input.take()).toBe(undefined);
    input.add([{ at: 0x9000, length: 2, isWritable: true }]);
    transport.notify(0);
    expect([input.take(), ...ram.bytes.subarray(0x9000, 0x9003)]).toEqual([{ head: 0, length: 2 }, 1, 2, 0]);
    input.add([{ at: 0x9000, length: 8, isWritable: true }]);
    input.add([{ at: 0xa000, length: 8, isWritable: true }]);
    transport.notify(0);
    expect([input.take(), ram.bytes[0x9000]]).toEqual([{ head: 1, length: 1 }, 3]);
    expect(input.take()).toBe(undefined);
    device.receive([4]);
    expect([input.take(), ram.bytes[0xa000]]).toEqual([{ head: 2, length: 1 }, 4]);
    for (let i = 0; i < 5000; i++) device.receive([i]);
    expect(device.hasRoom).toBe(false);
  });

  test('a snapshot goes on where it was taken', () => {
    const make1 = () => {
      const device = new VirtioConsole({ output: { write() {} } });
      return { device, ...make(device) };
    };
    const first = make1();
    const input = new DriverQueue(first.ram, 0x1000, 8);
    negotiate(first.transport, eventIndexFeature);
    first.transport.setUpQueue(0, 8, input.areas);
    first.transport.status |= 4;
    input.add([{ at: 0x9000, length: 2, isWritable: true }]);
    first.transport.notify(0);
    first.device.receive([1, 2, 3]);
    const second = make1();
    second.ram.bytes.set(first.ram.bytes);
    second.restore(fileCopy(first.save()));
    expect(second.save()).toEqual(first.save());
    expect(second.interrupt()).toBe(true);
    const queue = new DriverQueue(second.ram, 0x1000, 8);
    queue.take();
    // The driver of the copy offers its second chain.
    queue.descriptor(1, 0x9000, 4, 2, 0);
    second.ram.view.setUint16(queue.areas[1] + 6, 1, true);
    second.ram.view.setUint16(queue.areas[1] + 2, 2, true);
    second.transport.notify(0);
    expect([queue.take(), second.ram.bytes[0x9000]]).toEqual([{ head: 1, length: 1 }, 3]);
    expect(() => second.restore({ ...(first.save() as object), version: 2 })).toThrow('version 2');
    // What comes back over a live device finds nothing done on the way.
    const idle = make1().save();
    first.ram.bytes.set(second.ram.bytes);
    queue.descriptor(2, 0x9000, 4, 2, 0);
    first.ram.view.setUint16(queue.areas[1] + 8, 2, true);
    first.ram.view.setUint16(queue.areas[1] + 2, 3, true);
    const { accesses } = first.ram;
    first.restore(idle);
    expect([first.ram.accesses - accesses, first.transport.status, first.interrupt()]).toEqual([0, 0, false]);
    const disk = make(new VirtioBlock({ store: { size: 0, read() {}, write() {}, flush() {} } }));
    expect(() => disk.restore(first.save())).toThrow();
  });
});
