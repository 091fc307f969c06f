import type { PhysicalMemory } from '@nest86/mmu';
import { Mmio, PciWindow, Port, Power } from '../../src/firmware/platform.ts';

/** One thing that a hostile guest does; `port` and `memory` access `address`. */
export interface RandomAccess {
  readonly kind: 'port' | 'memory' | 'locked' | 'eight bytes' | 'wait' | 'apic base';
  readonly isWrite: boolean;
  readonly size: 1 | 2 | 4;
  readonly address: number;
  readonly value: number;
}

const icr = 0x300;

export type Choose = (below: number) => number;

/** Mulberry32. */
export function chooser(seed: number): Choose {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** First and count of ports where chips are. */
const chips: readonly (readonly [first: number, count: number])[] = [
  [0x20, 2],
  [0xa0, 2],
  [0x4d0, 2],
  [0x40, 4],
  [0x61, 1],
  [Port.keyboardData, 5],
  [Port.clock, 2],
  [0x92, 1],
  [Port.serial, 8],
  [Power.eventPort, 64],
  [0x510, 12],
  [Port.pciConfiguration, 8],
  [0xc000, 0x300],
];

/** Ports that end the run more often than not: few of them. */
const fatal = [0xcf9, 0xf4, 0x64, 0x92, Power.controlPort] as const;

const windows: readonly ((choose: Choose) => number)[] = [
  (choose) => Mmio.localApic + 16 * choose(64) + (choose(8) === 0 ? choose(16) : 0),
  (choose) => Mmio.localApic + choose(4096),
  (choose) => Mmio.ioApic + 16 * choose(5),
  (choose) => Mmio.ioApic + choose(4096),
  (choose) => Mmio.hpet + 4 * choose(0x58),
  (choose) => Mmio.hpet + choose(4096),
  (choose) => Mmio.ecam + (choose(5) << 15) + choose(64),
  (choose) => Mmio.ecam + choose(Mmio.ecamBytes),
  (choose) => PciWindow.low + choose(0x2_0000),
  (choose) => PciWindow.low + choose(PciWindow.lowBytes),
  (choose) => PciWindow.high + choose(PciWindow.highBytes),
  (choose) => 0xc000_0000 + choose(0x4000_0000),
  (choose) => 0xa0000 + choose(0x20000),
  (choose) => 0x40_0000 + choose(0x1000_0000),
];

export function randomAccess(choose: Choose): RandomAccess {
  const size = [1, 2, 4, 4][choose(4)] as 1 | 2 | 4;
  const isWrite = choose(3) > 0;
  const value = randomValue(choose);
  const way = choose(64);
  if (way === 0 && choose(8) === 0) return { kind: 'wait', isWrite, size, address: 0, value };
  if (way === 1 && choose(4) === 0)
    return { kind: 'memory', isWrite: true, size: 4, address: Mmio.localApic + icr, value: message(choose) };
  if (way === 1 && choose(8) === 0)
    return { kind: 'apic base', isWrite, size, address: 0, value: apicBase(choose) };
  if (way < 24) return { kind: 'port', isWrite, size, address: randomPort(choose), value };
  const kind = way < 26 ? 'locked' : way < 28 ? 'eight bytes' : 'memory';
  return { kind, isWrite, size, address: windows[choose(windows.length)](choose), value };
}

function randomPort(choose: Choose): number {
  const way = choose(16);
  if (way === 0) return choose(0x1_0000);
  if (way === 1 && choose(64) === 0) return fatal[choose(fatal.length)];
  for (;;) {
    const [first, count] = chips[choose(chips.length)];
    const port = first + choose(count);
    if (!(fatal as readonly number[]).includes(port)) return port;
  }
}

/** Small numbers, single bits, addresses of configuration space, anything. */
function randomValue(choose: Choose): number {
  switch (choose(6)) {
    case 0:
      return choose(16);
    case 1:
      return 1 << choose(32);
    case 2:
      return choose(256);
    case 3:
      return 0x8000_0000 | (choose(6) << 11) | choose(256);
    case 4:
      return windows[choose(windows.length)](choose) | 0;
    default:
      return choose(2 ** 32) | 0;
  }
}

/** Of the lower half of the interrupt command register: a delivery mode, a vector, a shorthand for its destinations. */
const message = (choose: Choose): number => (choose(4) << 18) | 0x4000 | (choose(8) << 8) | choose(256);

/** Enabled, as bootstrap processor: at its usual place, elsewhere, over RAM. */
const apicBase = (choose: Choose): number =>
  [Mmio.localApic, 0xd000_0000, 0x30_0000, 0xfec0_0000][choose(4)] | 0x900;

/** How many accesses are done. */
export const counterAddress = 0x7000;
export const handlerAddress = 0x7100;
const gdtAddress = 0x7200;
const pointerAddress = 0x7300;
const idtAddress = 0x7800;
export const accessAddress = 0x1_0000;
const stackAddress = 0x7000;

const long = (value: number): number[] =>
  [value, value >>> 8, value >>> 16, value >>> 24].map((byte) => byte & 255);
const word = (value: number): number[] => long(value).slice(0, 2);

/** Ends an interrupt wherever it came from: PUSH EAX; XOR EAX, EAX; MOV [EOI], EAX; MOV AL, 20h; OUT 20h, AL; OUT A0h, AL; POP EAX; IRETD. */
const handler = [
  0x50,
  0x31,
  0xc0,
  0xa3,
  ...long(Mmio.localApic + 0xb0),
  0xb0,
  0x20,
  0xe6,
  0x20,
  0xe6,
  0xa0,
  0x58,
  0xcf,
];

/**
 * Straight 32-bit code without paging that does accesses, with interrupts open. All of it lies where bit 20 of addresses is 0, so that
 * address line 20 may be off.
 */
export class AccessProgram {
  readonly start: number = 0x8000;

  write(physical: PhysicalMemory, accesses: readonly RandomAccess[]): void {
    const put = (address: number, bytes: readonly number[]) =>
      physical.writeBytes(address, Uint8Array.from(bytes));
    const flat = (type: number) => [0xff, 0xff, 0, 0, 0, type, 0xcf, 0];
    const none = [0, 0, 0, 0, 0, 0, 0, 0];
    put(counterAddress, long(0));
    put(handlerAddress, handler);
    put(gdtAddress, [...none, ...none, ...flat(0x9b), ...flat(0x93)]);
    put(pointerAddress, [...word(31), ...long(gdtAddress), 0, 0, ...word(0x7ff), ...long(idtAddress)]);
    const gate = [...word(handlerAddress), 0x10, 0, 0, 0x8e, 0, 0];
    put(idtAddress, Array.from({ length: 256 }, () => gate).flat());
    // LGDT; LIDT; MOV ESP; FNINIT; STI; JMP to the accesses.
    const enter = [0x0f, 0x01, 0x15, ...long(pointerAddress), 0x0f, 0x01, 0x1d, ...long(pointerAddress + 8)];
    const jump = [0xe9, ...long(accessAddress - (this.start + 27))];
    put(this.start, [...enter, 0xbc, ...long(stackAddress), 0xdb, 0xe3, 0xfb, ...jump]);
    // INC DWORD [counter] behind each; at last a loop.
    const count = [0xff, 0x05, ...long(counterAddress)];
    put(accessAddress, [...accesses.flatMap((access) => [...code(access), ...count]), 0xeb, 0xfe]);
  }
}

function code({ kind, isWrite, size, address, value }: RandomAccess): readonly number[] {
  const prefix = size === 2 ? [0x66] : [];
  const wide = size === 1 ? 0 : 1;
  const load = [0xb8, ...long(value)];
  switch (kind) {
    case 'port': {
      // MOV DX; MOV EAX; OUT DX, AL / AX / EAX, or IN.
      const port = [0x66, 0xba, ...word(address)];
      return isWrite ? [...port, ...load, ...prefix, 0xee | wide] : [...port, ...prefix, 0xec | wide];
    }
    case 'memory':
      return isWrite
        ? [...load, ...prefix, 0xa2 | wide, ...long(address)]
        : [...prefix, 0xa0 | wide, ...long(address)];
    case 'locked':
      // LOCK XADD.
      return [...load, ...prefix, 0xf0, 0x0f, 0xc0 | wide, 0x05, ...long(address)];
    case 'eight bytes':
      // FILD QWORD, FISTP QWORD to where it came from.
      return [0xdf, 0x2d, ...long(address), 0xdf, 0x3d, ...long(address)];
    case 'wait':
      return [0xf4];
    case 'apic base':
      // WRMSR of IA32_APIC_BASE.
      return [0xb9, ...long(0x1b), ...load, 0x31, 0xd2, 0x0f, 0x30];
  }
}
