import { describe, expect, test } from 'vitest';
import { createHostBridge, EcamRegion, Msix, PciBus, PciFunction, PortMap } from '../src/index.ts';
import { Board, capabilitiesOf, sequence } from './virtio/surroundings.ts';

const silent = { read: () => 0x5a, write: () => {} };

function makeCard(more: { interruptPin?: number } = {}) {
  return new PciFunction({
    vendorId: 0x1234,
    deviceId: 0x5678,
    classCode: 0xff0000,
    interruptPin: 1,
    bars: [
      { index: 0, kind: 'memory', width: 64, size: 0x10000, prefetchable: true, handler: silent },
      { index: 2, kind: 'memory', width: 32, size: 0x1000, handler: silent },
      { index: 3, kind: 'io', size: 32, handler: silent },
    ],
    ...more,
  });
}

function makeBoard() {
  const board = new Board();
  const card = makeCard();
  board.bus.add(0, createHostBridge());
  board.bus.add(3, card);
  const ports = new PortMap();
  ports.add(0xcf8, 1, board.bus.addressPort);
  ports.add(0xcfc, 4, board.bus.dataPorts);
  const select = (device: number, register: number, bus = 0) =>
    ports.write(0xcf8, 4, 0x80000000 | (bus << 16) | (device << 11) | register);
  return { board, card, ports, select };
}

describe('configuration mechanism #1 (PCI 3.0, 3.2.2.3.2)', () => {
  test('what Linux does to find it works', () => {
    const { ports } = makeBoard();
    ports.write(0xcfb, 1, 1);
    const before = ports.read(0xcf8, 4);
    ports.write(0xcf8, 4, 0x80000000);
    expect(ports.read(0xcf8, 4) >>> 0).toBe(0x80000000);
    ports.write(0xcf8, 4, before);
    // A bus is believed in if a host bridge is on it.
    ports.write(0xcf8, 4, 0x80000008);
    expect(ports.read(0xcfe, 2) & 0xffff).toBe(0x0600);
  });

  test('bytes, words and words of 4 bytes of a function; ones where none is', () => {
    const { ports, select } = makeBoard();
    select(3, 0);
    expect(ports.read(0xcfc, 4)).toBe(0x56781234);
    expect(ports.read(0xcfe, 2) & 0xffff).toBe(0x5678);
    expect(ports.read(0xcfd, 1) & 0xff).toBe(0x12);
    // A word over the end of the data ports: half of it is nobody's.
    expect(ports.read(0xcff, 2) & 0xffff).toBe(0xff56);
    for (const [device, bus] of [
      [4, 0],
      [3, 1],
    ]) {
      select(device, 0, bus);
      expect(ports.read(0xcfc, 4)).toBe(-1);
    }
    ports.write(0xcf8, 4, 3 << 11);
    expect(ports.read(0xcfc, 4)).toBe(-1);
  });

  test('identification is read-only, the interrupt line is software’s', () => {
    const { ports, select, card } = makeBoard();
    select(3, 0);
    ports.write(0xcfc, 4, 0);
    expect(card.readConfig(0, 4)).toBe(0x56781234);
    select(3, 0x3c);
    ports.write(0xcfc, 2, 0xffff);
    expect(ports.read(0xcfc, 2) & 0xffff).toBe(0x01ff);
  });

  test('ECAM shows the same functions; a conventional function ends at 256 bytes', () => {
    const { board } = makeBoard();
    const ecam = new EcamRegion(board.bus);
    expect(ecam.read(3 << 15, 4)).toBe(0x56781234);
    ecam.write((3 << 15) | 0x3c, 1, 11);
    expect(ecam.read((3 << 15) | 0x3c, 1)).toBe(11);
    expect(ecam.read((3 << 15) | 0x100, 4)).toBe(-1);
    expect(ecam.read(4 << 15, 4)).toBe(-1);
    expect(ecam.read(ecam.size - 4, 4)).toBe(-1);
  });

  test('more functions of a device announce each other', () => {
    const board = new Board();
    const [first, second] = [makeCard(), makeCard()];
    board.bus.add(1, first);
    expect(first.readConfig(0x0e, 1)).toBe(0);
    board.bus.add(1, second, 5);
    expect([first.readConfig(0x0e, 1), second.readConfig(0x0e, 1)]).toEqual([0x80, 0x80]);
    board.bus.reset();
    expect(first.readConfig(0x0e, 1)).toBe(0x80);
    expect(() => board.bus.add(1, makeCard(), 5)).toThrow('1.5 is taken');
    expect(() => board.bus.add(32, makeCard())).toThrow('31.7');
  });
});

describe('base address registers (6.2.5)', () => {
  test('sizing: ones written, size and kind read back', () => {
    const { card } = makeBoard();
    for (let index = 0; index < 6; index++) card.writeConfig(0x10 + 4 * index, 4, -1);
    const words = [0, 1, 2, 3, 4, 5].map((index) => card.readConfig(0x10 + 4 * index, 4) >>> 0);
    expect(words).toEqual([0xffff000c, 0xffffffff, 0xfffff000, 0xffffffe1, 0, 0]);
  });

  test('ranges answer where they were put, as long as the command register says', () => {
    const { board, card } = makeBoard();
    card.setAddress(0, 0x8_0001_0000);
    card.setAddress(2, 0xc0000000);
    card.setAddress(3, 0xc000);
    expect([board.memory.length, board.io.length]).toEqual([0, 0]);
    card.writeConfig(4, 2, 2);
    expect(board.memory.map(({ address, size }) => [address, size])).toEqual([
      [0x8_0001_0000, 0x10000],
      [0xc0000000, 0x1000],
    ]);
    expect(board.io).toEqual([]);
    card.writeConfig(4, 2, 3);
    expect(board.io.map(({ address, size }) => [address, size])).toEqual([[0xc000, 32]]);
    card.setAddress(2, 0xd0000000);
    expect(board.memory.map(({ address }) => address)).toEqual([0x8_0001_0000, 0xd0000000]);
    expect(card.addressOf(2)).toBe(0xd0000000);
    card.writeConfig(4, 2, 0);
    expect([board.memory.length, board.io.length, card.addressOf(2)]).toEqual([0, 0, undefined]);
  });

  test('sizing with decoding on puts nothing anywhere', () => {
    const { board, card } = makeBoard();
    card.writeConfig(4, 2, 3);
    for (const index of [0, 1, 2, 3]) card.writeConfig(0x10 + 4 * index, 4, -1);
    expect([board.memory.length, board.io.length]).toEqual([0, 0]);
    // 2^52 is where addresses end.
    card.setAddress(0, 2 ** 52);
    expect(board.memory.length).toBe(0);
  });

  test('impossible ones are refused', () => {
    const make = (bar: object) =>
      new PciFunction({ vendorId: 1, deviceId: 1, classCode: 0, bars: [bar as never] });
    const memory = { index: 0, kind: 'memory', width: 32, size: 4096, handler: silent };
    expect(() => make({ ...memory, size: 2048 })).toThrow('a power of 2 from 4096');
    expect(() => make({ ...memory, size: 12288 })).toThrow('a power of 2');
    expect(() => make({ ...memory, width: 64, index: 5 })).toThrow('64-bit ones 0 to 4');
    const two = [
      { ...memory, width: 64 },
      { ...memory, index: 1 },
    ] as never[];
    expect(() => new PciFunction({ vendorId: 1, deviceId: 1, classCode: 0, bars: two })).toThrow('taken');
  });

  test('firmware’s work: everything placed, aligned and decoded; too small a window is told', () => {
    const { board, card } = makeBoard();
    const windows = {
      memory: { start: 0xe0001000, end: 0xe0100000 },
      io: { start: 0xc004, end: 0xd000 },
      irqs: [10, 11, 10, 11] as const,
    };
    expect(board.bus.assign(windows)).toBe(true);
    expect([card.addressOf(0), card.addressOf(2), card.addressOf(3)]).toEqual([
      0xe0010000, 0xe0020000, 0xc020,
    ]);
    // Device 3, INTA: line 3.
    expect(card.readConfig(0x3c, 1)).toBe(11);
    board.bus.reset();
    expect(board.memory).toEqual([]);
    expect(board.bus.assign({ ...windows, memory: { start: 0xe0000000, end: 0xe0001000 } })).toBe(false);
    expect(card.addressOf(0)).toBe(undefined);
  });
});

describe('interrupts', () => {
  test('pins are swizzled to four lines, which functions share', () => {
    const board = new Board();
    const cards = [makeCard(), makeCard({ interruptPin: 2 }), makeCard({ interruptPin: 4 })];
    // (5 + 0) & 3, (4 + 1) & 3, (31 + 3) & 3
    for (const [i, device] of [5, 4, 31].entries()) board.bus.add(device, cards[i]);
    cards[0].setInterrupt(true);
    cards[1].setInterrupt(true);
    expect(board.lines).toEqual([false, true, false, false]);
    cards[0].setInterrupt(false);
    expect(board.lines[1]).toBe(true);
    cards[1].setInterrupt(false);
    cards[2].setInterrupt(true);
    expect(board.lines).toEqual([false, false, true, false]);
  });

  test('the command register holds them back, the status register shows them', () => {
    const { board, card } = makeBoard();
    card.setInterrupt(true);
    expect([board.lines[3], card.readConfig(6, 2) & 8]).toEqual([true, 8]);
    card.writeConfig(4, 2, 0x400);
    expect([board.lines[3], card.readConfig(6, 2) & 8]).toEqual([false, 8]);
    card.writeConfig(4, 2, 0);
    expect(board.lines[3]).toBe(true);
  });
});

describe('MSI-X (6.8.2)', () => {
  function makeMsix(vectors = 3) {
    const { board, card } = makeBoard();
    const msix = new Msix(vectors, board);
    msix.attach(card, 2);
    const [{ at, id }] = capabilitiesOf(card);
    const arm = (vector: number, control = 0) => {
      for (const [i, word] of [0xfee00000 + 4 * vector, 1, 0x40 + vector, control].entries())
        msix.handler.write(16 * vector + 4 * i, 4, word);
    };
    return { board, card, msix, at, id, arm };
  }

  test('the capability tells size and places', () => {
    const { card, at, id } = makeMsix();
    expect([id, card.readConfig(6, 2) & 16, card.readConfig(at + 2, 2)]).toEqual([0x11, 16, 2]);
    expect([card.readConfig(at + 4, 4), card.readConfig(at + 8, 4)]).toEqual([2, 0x802]);
    card.writeConfig(at + 2, 2, 0xffff);
    expect(card.readConfig(at + 2, 2)).toBe(0xc002);
  });

  test('a vector’s message goes out once; masks keep it pending', () => {
    const { board, card, msix, at, arm } = makeMsix();
    arm(1);
    msix.notify(1);
    expect(board.messages).toEqual([]);
    card.writeConfig(4, 2, 4);
    card.writeConfig(at + 2, 2, 0x8000);
    expect(board.messages).toEqual([]);
    msix.notify(1);
    expect(board.messages).toEqual([[0x1_fee00004, 0x41]]);
    arm(1, 1);
    msix.notify(1);
    expect([board.messages.length, msix.handler.read(0x800, 4)]).toEqual([1, 2]);
    arm(1);
    expect([board.messages.length, msix.handler.read(0x800, 4)]).toEqual([2, 0]);
    card.writeConfig(at + 2, 2, 0xc000);
    msix.notify(1);
    expect(board.messages.length).toBe(2);
    card.writeConfig(at + 2, 2, 0x8000);
    expect(board.messages.length).toBe(3);
    msix.notify(3);
    msix.notify(0xffff);
    expect(board.messages.length).toBe(3);
  });

  test('it takes the place of the pin', () => {
    const { board, card, at } = makeMsix();
    card.setInterrupt(true);
    expect(board.lines[3]).toBe(true);
    card.writeConfig(at + 2, 2, 0x8000);
    expect(board.lines[3]).toBe(false);
  });

  test('a snapshot keeps table and pending bits, and refuses another size', () => {
    const { msix, card, at, arm } = makeMsix();
    card.writeConfig(4, 2, 4);
    card.writeConfig(at + 2, 2, 0x8000);
    arm(2, 1);
    msix.notify(2);
    const copy = makeMsix();
    copy.msix.restore(JSON.parse(JSON.stringify(msix.save())));
    copy.card.restore(JSON.parse(JSON.stringify(card.save())));
    expect(copy.msix.handler.read(0x800, 4)).toBe(4);
    copy.arm(2);
    expect(copy.board.messages).toEqual([[0x1_fee00008, 0x42]]);
    expect(() => makeMsix(4).msix.restore(msix.save())).toThrow('3 vectors, 4 are here');
  });
});

test('a snapshot of functions and bus continues where it was taken', () => {
  const { board, card, ports, select } = makeBoard();
  card.setAddress(2, 0xc0000000);
  card.writeConfig(4, 2, 2);
  card.setInterrupt(true);
  select(3, 0x10);
  const copy = makeBoard();
  copy.board.bus.restore(JSON.parse(JSON.stringify(board.bus.save())));
  copy.card.restore(JSON.parse(JSON.stringify(card.save())));
  expect(copy.board.memory.map(({ address }) => address)).toEqual([0xc0000000]);
  expect(copy.board.lines).toEqual(board.lines);
  expect(copy.ports.read(0xcf8, 4)).toBe(ports.read(0xcf8, 4));
  expect(copy.card.save()).toEqual(card.save());
  expect(() => card.restore(createHostBridge().save())).toThrow('another device');
  expect(() => card.restore({ ...card.save(), version: 2 as 1 })).toThrow('version 2');
  expect(() => new PciBus({} as never).restore({ version: 2 as 1, address: 0 })).toThrow('version 2');
});

test('100,000 random accesses: identification stays, and each range is somewhere once', () => {
  const seed = 20250301;
  const random = sequence(seed);
  const { board, card, ports, select } = makeBoard();
  const msix = new Msix(5, board);
  msix.attach(card, 2);
  const ecam = new EcamRegion(board.bus);
  for (let i = 0; i < 100_000; i++) {
    const size = 1 << random(3);
    const value = random(2) === 0 ? random(2 ** 32) : -1;
    const kind = random(8);
    if (kind === 0) ports.write(0xcf8 + random(8), size, value);
    else if (kind === 1) select(random(2) * 3, random(64) * 4);
    else if (kind === 2) ports.read(0xcf8 + random(8), size);
    else if (kind === 3) ecam.read(random(ecam.size), size);
    else if (kind === 4) ecam.write((3 << 15) + random(256), size, value);
    else if (kind === 5) msix.handler.write(random(4096), size, value);
    else if (kind === 6) msix.handler.read(random(4096), size);
    else msix.notify(random(8));
    if (board.memory.length > 2 || board.io.length > 1) throw new Error(`seed ${seed}, step ${i}`);
    board.messages.length = 0;
  }
  expect(card.readConfig(0, 4)).toBe(0x56781234);
  card.writeConfig(4, 2, 0);
  expect([board.memory, board.io]).toEqual([[], []]);
});
