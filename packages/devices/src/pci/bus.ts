import type { InterruptLine } from '../interrupt-line.ts';
import type { PortHandler } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import type { PciFunction } from './function.ts';
import type { AddressSpace, MmioHandler } from './ports.ts';
import { Command, Config, ConfigAddress } from './registers.ts';
import type { PciBusState } from './state.ts';

export interface PciBusPorts {
  readonly space: AddressSpace;
  /** The board's four interrupt lines: pin p (1 to 4) of device d reaches line (d + p - 1) mod 4. Active: true. */
  readonly interrupts: readonly [InterruptLine, InterruptLine, InterruptLine, InterruptLine];
}

/** Ranges that firmware deals out. Ends are exclusive. */
export interface PciWindows {
  /** Below 4 GiB. */
  readonly memory: { readonly start: number; readonly end: number };
  readonly io: { readonly start: number; readonly end: number };
  /** What `interruptLine` registers get, by line: where software without ACPI finds its interrupt. */
  readonly irqs: readonly [number, number, number, number];
}

/** Bus 0 with up to 32 devices of 8 functions, and both ways to its configuration space. */
export class PciBus {
  private readonly functions: (PciFunction | undefined)[] = new Array<PciFunction | undefined>(256).fill(
    undefined,
  );
  /** Functions that hold each line up. */
  private readonly raised = new Int32Array(4);
  private address = 0;

  constructor(private readonly ports: PciBusPorts) {}

  /** CONFIG_ADDRESS, to be put at port CF8h alone: bytes at CF9h (reset control) to CFBh are other devices' (PCI 3.0, 3.2.2.3.2). */
  readonly addressPort: PortHandler = {
    read: (_offset, bytes) => (bytes === 4 ? this.address | 0 : -1),
    write: (_offset, bytes, value) => {
      if (bytes === 4) this.address = (value & ConfigAddress.mask) >>> 0;
    },
  };

  /** CONFIG_DATA, to be put at ports CFCh to CFFh. */
  readonly dataPorts: PortHandler = {
    read: (offset, bytes) => {
      const { address } = this;
      if (address < ConfigAddress.enable) return -1;
      return this.readConfig((address >>> 8) & 0xffff, (address & 0xfc) + offset, bytes);
    },
    write: (offset, bytes, value) => {
      const { address } = this;
      if (address < ConfigAddress.enable) return;
      this.writeConfig((address >>> 8) & 0xffff, (address & 0xfc) + offset, bytes, value);
    },
  };

  /** @throws RangeError if the place is taken or does not exist */
  add(device: number, pciFunction: PciFunction, number: number = 0): void {
    const at = (device << 3) | number;
    if (!Number.isInteger(device) || device < 0 || device > 31 || !(number >= 0 && number < 8))
      throw new RangeError(`PCI device ${device}.${number}: 0.0 to 31.7 are allowed`);
    if (this.functions[at] !== undefined)
      throw new RangeError(`PCI device ${device}.${number} is taken already`);
    this.functions[at] = pciFunction;
    const siblings = this.functions.slice(device << 3, (device + 1) << 3).filter((one) => one !== undefined);
    if (siblings.length > 1) for (const sibling of siblings) sibling.setMultifunction();
    const pin = pciFunction.config[Config.interruptPin];
    pciFunction.connect({ space: this.ports.space, interrupt: this.lineOf(device, pin) });
  }

  /** The function at a place, for a debugger. */
  functionAt(device: number, number: number = 0): PciFunction | undefined {
    return this.functions[(device << 3) | number];
  }

  /**
   * What firmware does before it hands over: places every base address register, enables decoding, and writes the interrupt lines.
   * @returns whether everything fitted; what did not stays unplaced
   */
  assign({ memory, io, irqs }: PciWindows): boolean {
    const free = { memory: memory.start, io: io.start };
    const ends = { memory: memory.end, io: io.end };
    let fits = true;
    for (let at = 0; at < 256; at++) {
      const pciFunction = this.functions[at];
      if (pciFunction === undefined) continue;
      let decoded = 0;
      for (const { index, kind, size } of pciFunction.bars) {
        const start = Math.ceil(free[kind] / size) * size;
        if (start + size > ends[kind]) {
          fits = false;
          continue;
        }
        free[kind] = start + size;
        pciFunction.setAddress(index, start);
        decoded |= kind === 'io' ? Command.io : Command.memory;
      }
      pciFunction.writeConfig(Config.command, 2, pciFunction.command | decoded);
      const pin = pciFunction.config[Config.interruptPin];
      if (pin !== 0) pciFunction.writeConfig(Config.interruptLine, 1, irqs[((at >> 3) + pin - 1) & 3]);
    }
    return fits;
  }

  /** @param place bus, device and function as in a configuration address: bits 15:8, 7:3, 2:0. @param offset 0 to 4095 */
  readConfig(place: number, offset: number, size: number): number {
    const pciFunction = place < 256 ? this.functions[place] : undefined;
    if (pciFunction === undefined || offset >= Config.end) return -1;
    if ((offset & 3) + size <= 4) return pciFunction.readConfig(offset, size);
    // What leaves the word of 4 bytes leaves the data ports, where nobody answers.
    const inside = 4 - (offset & 3);
    let value = -1 << (8 * inside);
    for (let i = 0; i < inside; i++) value |= pciFunction.readConfig(offset + i, 1) << (8 * i);
    return value;
  }

  writeConfig(place: number, offset: number, size: number, value: number): void {
    const pciFunction = place < 256 ? this.functions[place] : undefined;
    if (pciFunction === undefined || offset >= Config.end) return;
    if ((offset & 3) + size <= 4) pciFunction.writeConfig(offset, size, value);
    else for (let i = 0; i < 4 - (offset & 3); i++) pciFunction.writeConfig(offset + i, 1, value >>> (8 * i));
  }

  reset(): void {
    this.address = 0;
    for (const pciFunction of this.functions) pciFunction?.reset();
  }

  save(): PciBusState {
    return { version: 1, address: this.address };
  }

  /** @throws SnapshotVersionError */
  restore(state: PciBusState): void {
    requireVersion('a PCI bus', state, 1);
    this.address = state.address;
  }

  /** One function's hold on the line that its pin reaches. */
  private lineOf(device: number, pin: number): InterruptLine {
    if (pin === 0) return { set() {} };
    const { raised } = this;
    const line = (device + pin - 1) & 3;
    let held = false;
    return {
      set: (level) => {
        if (level === held) return;
        held = level;
        raised[line] += level ? 1 : -1;
        this.ports.interrupts[line].set(raised[line] > 0);
      },
    };
  }
}

/** The enhanced configuration mechanism for bus 0: 4 KiB per function, 1 MiB in all (PCI Express 3.0, 7.2.2; ACPI table MCFG). */
export class EcamRegion implements MmioHandler {
  /** Bytes. */
  readonly size: number = 0x100000;

  constructor(private readonly bus: PciBus) {}

  read(offset: number, size: number): number {
    return this.bus.readConfig(offset >>> 12, offset & 0xfff, size);
  }

  write(offset: number, size: number, value: number): void {
    this.bus.writeConfig(offset >>> 12, offset & 0xfff, size, value);
  }
}
