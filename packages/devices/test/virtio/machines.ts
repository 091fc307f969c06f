import {
  type BlockStore,
  type VirtioDevice,
  VirtioMmio,
  type VirtioMmioState,
  VirtioPci,
  type VirtioPciState,
} from '../../src/index.ts';
import { Line, ManualClock } from '../manual-clock.ts';
import { type DriverTransport, mmioTransport, pciTransport } from './driver.ts';
import { Board, Ram } from './surroundings.ts';

export const ramSize = 0x200000;

/** A virtio device behind one of the transports, with what a driver sees of it. */
export interface TestMachine {
  readonly ram: Ram;
  readonly clock: ManualClock;
  readonly transport: DriverTransport;
  readonly interrupt: () => boolean;
  save(): unknown;
  restore(state: unknown): void;
}

export function pciMachine(device: VirtioDevice): TestMachine & { board: Board; pci: VirtioPci } {
  const ram = new Ram(ramSize);
  const clock = new ManualClock();
  const board = new Board();
  const pci = new VirtioPci({ device, memory: ram, clock, messages: board });
  board.bus.add(4, pci.pciFunction);
  board.bus.assign({
    memory: { start: 0xe0000000, end: 0xf0000000 },
    io: { start: 0xc000, end: 0xd000 },
    irqs: [10, 10, 11, 11],
  });
  pci.pciFunction.writeConfig(4, 2, 6);
  return {
    ram,
    clock,
    board,
    pci,
    transport: pciTransport(pci, board),
    interrupt: () => board.lines[0],
    save: () => pci.save(),
    restore: (state) => pci.restore(state as VirtioPciState),
  };
}

export function mmioMachine(device: VirtioDevice): TestMachine & { mmio: VirtioMmio } {
  const ram = new Ram(ramSize);
  const clock = new ManualClock();
  const line = new Line();
  const mmio = new VirtioMmio({ device, memory: ram, clock, interrupt: line });
  return {
    ram,
    clock,
    mmio,
    transport: mmioTransport(mmio),
    interrupt: () => line.level,
    save: () => mmio.save(),
    restore: (state) => mmio.restore(state as VirtioMmioState),
  };
}

/** A disk in memory that counts, and fails on demand. */
export class TestStore implements BlockStore {
  readonly bytes: Uint8Array;
  flushes = 0;
  fails = false;

  constructor(readonly size: number) {
    this.bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 9)) & 0xff);
  }

  read(offset: number, target: Uint8Array): void {
    if (this.fails || offset + target.length > this.size) throw new Error('read error');
    target.set(this.bytes.subarray(offset, offset + target.length));
  }

  write(offset: number, source: Uint8Array): void {
    if (this.fails || offset + source.length > this.size) throw new Error('write error');
    this.bytes.set(source, offset);
  }

  flush(): void {
    if (this.fails) throw new Error('no space');
    this.flushes++;
  }
}
