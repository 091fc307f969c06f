import { Segment, setSegmentCache } from '@nest86/cpu';
import { DecoderOptions, decode, Instruction } from '@nest86/decoder';
import { formatIntel } from '@nest86/decoder/intel';
import { describe, expect, test } from 'vitest';
import { resetCode } from '../src/firmware/reset-rom.ts';
import {
  type BootImage,
  Machine,
  type MachineOptions,
  readBootImage,
  SeededRandom,
  VirtioEntropy,
} from '../src/index.ts';
import { decodeValue } from '../src/snapshot/value.ts';

/* What RESET and INIT lead to (SDM vol. 3, table 10-1; IBM PC/AT: shutdown status byte, vector at 40:67). */

function makeMachine(options: Partial<MachineOptions> = {}): { machine: Machine; text: () => string } {
  let text = '';
  const serial = { write: (byte: number) => (text += String.fromCharCode(byte)) };
  return { machine: new Machine({ memory: 4 << 20, serial, ...options }), text: () => text };
}

/** A multiboot image of 32-bit code at 1 MiB (Multiboot 0.6.96, 3.1.3: the addresses stand in the header). */
function imageOf(...code: number[]): BootImage {
  const words = [
    0x1badb002,
    0x10000,
    -(0x1badb002 + 0x10000),
    0x100000,
    0x100000,
    0x100000 + 0x1000,
    0x100000 + 0x1000,
    0x100020,
  ];
  const bytes = new Uint8Array(0x1000);
  bytes.set(new Uint8Array(Int32Array.from(words).buffer));
  bytes.set(code, 32);
  return readBootImage(bytes);
}

const forever = [0xeb, 0xfe];
/** Ways to the reset vector: 32-bit code. */
const ways = {
  // mov [FEE00310h], 0; mov [FEE00300h], 4500h: INIT to APIC 0.
  INIT: [
    0xc7,
    0x05,
    0x10,
    0x03,
    0xe0,
    0xfe,
    0,
    0,
    0,
    0,
    0xc7,
    0x05,
    0x00,
    0x03,
    0xe0,
    0xfe,
    0x00,
    0x45,
    0,
    0,
    ...forever,
  ],
  'the keyboard controller': [0xb0, 0xfe, 0xe6, 0x64, ...forever],
  'port 92h': [0xb0, 0x01, 0xe6, 0x92, ...forever],
  'port CF9h': [0x66, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, ...forever],
};

const isInit = (way: string): boolean => way === 'INIT';

/** Real-mode code at 0800:0000 that the vector at 40:67 leads to. */
function putResumeCode({ physical }: Machine): void {
  physical.writeBytes(0x467, Uint8Array.of(0, 0, 0, 8));
  // mov al, 21h; out F4h, al.
  physical.writeBytes(0x8000, Uint8Array.of(0xb0, 0x21, 0xe6, 0xf4, ...forever));
}

describe.each(['interp', 'jit'] as const)('%s', (accel) => {
  test('RESET without a kernel: the machine says so and halts', () => {
    const { machine, text } = makeMachine({ accel });
    expect(machine.run(10_000).reason).toBe('halted');
    expect(text()).toBe('nest86: nothing to start\r\n');
    machine.reset();
    expect(machine.run(10_000).reason).toBe('halted');
    expect(text()).toBe('nest86: nothing to start\r\n'.repeat(2));
  });

  test.each(Object.entries(ways))('%s, shutdown byte 0Ah: on at 40:67, memory as it was', (way, code) => {
    const { machine } = makeMachine({ accel });
    machine.start(imageOf(...code), { commandLine: '' });
    machine.pc.clock.store(0x0f, 0x0a);
    putResumeCode(machine);
    let end = machine.run(10_000);
    if (!isInit(way)) {
      expect(end.reason).toBe('reset');
      machine.reset();
      end = machine.run(10_000);
    }
    expect(end).toEqual({ reason: 'exit', exitCode: 0x43 });
    const { state } = machine.processors[0].processor;
    expect([state.get('segmentSelector', Segment.cs), machine.pc.clock.stored(0x0f)]).toEqual([0x800, 0]);
  });

  // As kvm-unit-tests' init has it.
  test.each(Object.entries(ways))(
    '%s, shutdown byte 0Ah, then a jump to FFFF:0000: the kernel is started again',
    (way, code) => {
      const { machine, text } = makeMachine({ accel });
      machine.start(imageOf(...code), { commandLine: '' });
      machine.pc.clock.store(0x0f, 0x0a);
      putResumeCode(machine);
      machine.physical.writeBytes(0x8000, Uint8Array.of(0xea, 0, 0, 0xff, 0xff));
      for (let resets = isInit(way) ? 1 : 2; resets > 0; resets--) {
        expect(machine.run(10_000).reason).toBe('reset');
        machine.reset();
      }
      expect(machine.processors[0].processor.state.low('rip')).toBe(0x100020);
      expect(text()).toBe('');
    },
  );

  test('INIT, shutdown byte 5: the 8259s and the keyboard get what they wait for', () => {
    const { machine } = makeMachine({ accel });
    machine.start(imageOf(...ways.INIT), { commandLine: '' });
    const { pc } = machine;
    pc.clock.store(0x0f, 5);
    putResumeCode(machine);
    const byte = (port: number, value: number): void => pc.ports.write(port, 1, value);
    // ICW1 to ICW4; the keyboard interrupts, and is in service.
    for (const [port, value] of [
      [0x20, 0x11],
      [0x21, 8],
      [0x21, 4],
      [0x21, 1],
      [0x21, 0],
    ] as const)
      byte(port, value);
    byte(0x64, 0xd2);
    byte(0x60, 0x1c);
    pc.pic.acknowledge();
    byte(0x20, 0x0b);
    const inService = pc.ports.read(0x20, 1);
    expect(machine.run(10_000)).toEqual({ reason: 'exit', exitCode: 0x43 });
    byte(0x20, 0x0b);
    expect([inService & 2, pc.ports.read(0x20, 1) & 2]).toEqual([2, 0]);
    expect(pc.ports.read(0x64, 1) & 1).toBe(0);
  });

  test.each(Object.entries(ways))(
    '%s without shutdown byte: a reset, which starts the kernel again',
    (_way, code) => {
      const { machine } = makeMachine({ accel });
      machine.start(imageOf(...code), { commandLine: '' });
      for (let i = 0; i < 3; i++) {
        expect(machine.run(10_000).reason).toBe('reset');
        machine.reset();
        expect(machine.processors[0].processor.state.low('rip')).toBe(0x100020);
      }
      // What the guest left there does not count at a new start.
      machine.pc.clock.store(0x0f, 0x0a);
      machine.start(imageOf(...code), { commandLine: '' });
      expect(machine.processors[0].processor.state.low('rip')).toBe(0x100020);
    },
  );

  test.each([
    [0xf000, 0xfff0],
    [0xffff, 0],
  ])('a jump to %x:%x is a reset', (segment, offset) => {
    const { machine } = makeMachine({ accel });
    const { processor, context } = machine.processors[0];
    const { state } = processor;
    machine.physical.writeBytes(
      0x8000,
      Uint8Array.of(0xea, offset & 255, offset >> 8, segment & 255, segment >> 8),
    );
    setSegmentCache(state, Segment.cs, { selector: 0, base: 0, limit: 0xffff, attributes: 0x93 });
    state.setPair('rip', 0x8000, 0);
    context.set({ cr0: 0x10 });
    processor.stateChanged();
    expect(machine.run(10_000).reason).toBe('reset');
  });

  test('the ROM cannot be written to', () => {
    const { machine, text } = makeMachine({ accel });
    // mov edi, FF000h; mov ecx, 1000h; rep stosb; the same from FFFFF000h; then a jump to FFFF:0000 as a reset.
    const fill = (address: number): number[] => [
      0xbf,
      ...new Uint8Array(Uint32Array.of(address).buffer),
      0xb9,
      0,
      0x10,
      0,
      0,
      0xf3,
      0xaa,
    ];
    machine.start(imageOf(...fill(0xff000), ...fill(0xffff_f000), ...ways.INIT), { commandLine: '' });
    expect(machine.run(100_000).reason).toBe('reset');
    expect(text()).toBe('');
  });
});

test('the code of the ROM is what its text says', () => {
  const instruction = new Instruction();
  const options = new DecoderOptions({ mode: 16 });
  let at = 0;
  for (const [text, ...bytes] of resetCode) {
    decode(Uint8Array.from(bytes), 0, options, instruction);
    expect(formatIntel(instruction, at)).toBe(text);
    expect(instruction.length).toBe(bytes.length);
    at += bytes.length;
  }
});

// But for what RESET does not reach: time and RAM of the clock, the serial port's divisor and scratch register, the PM timer.
test('RESET leaves of the chips nothing that a guest did to them', () => {
  const make = (): Machine =>
    makeMachine({ devices: [new VirtioEntropy(new SeededRandom(1))], testDevice: true }).machine;
  const image = imageOf(...forever);
  const fresh = make();
  fresh.start(image, { commandLine: '' });
  const machine = make();
  machine.start(image, { commandLine: '' });
  const { pc, physical } = machine;
  const write = (port: number, bytes: 1 | 2 | 4, value: number): void => pc.ports.write(port, bytes, value);
  const configure = (register: number, value: number): void => {
    write(0xcf8, 4, 0x8000_0000 | register);
    write(0xcfc, 4, value);
  };
  // Host bridge, the virtio device, fw_cfg, I/O APIC, 8259s, timer, serial port, keyboard controller, HPET, ACPI.
  configure(0x3c, 0xff);
  configure(0x04, 0x0547);
  configure(0x804, 0x0447);
  configure(0x810, 0xd000_0000 | 0);
  write(0xcf8, 4, 0x8000_f888 | 0);
  write(0x510, 2, 0x19);
  pc.ports.read(0x511, 1);
  write(0x514, 4, 0x1234_5678);
  const memory = (address: number, value: number): void =>
    physical.write(Math.floor(address / 4096), address % 4096, 4, value);
  for (let register = 0; register < 0x40; register++) {
    memory(0xfec0_0000, register);
    memory(0xfec0_0010, 0x0101_0031 + register);
  }
  memory(0xfed0_0010, 3);
  memory(0xfed0_0100, 0x4c);
  memory(0xfed0_0108, 1000);
  for (const [port, value] of [
    [0x20, 0x11],
    [0x21, 0x40],
    [0x21, 4],
    [0x21, 1],
    [0x21, 0x5a],
    [0x4d0, 0x28],
    [0x43, 0x34],
    [0x40, 7],
    [0x40, 1],
    [0x61, 1],
    [0x64, 0x60],
    [0x60, 0x44],

    [0x3fb, 3],
    [0x3f9, 5],
    [0x92, 2],
    [0x70, 0x8b],
    [0x2005, 1],
  ] as const)
    write(port, 1, value);
  write(0x602, 2, 0x123);
  write(0xcf9, 1, 2);
  machine.reset();
  const after = new Map(machine.save().units.map(({ name, bytes }) => [name, bytes]));
  for (const { name, bytes } of fresh.save().units) {
    const own = after.get(name) ?? new Uint8Array();
    if (name.startsWith('ram')) expect(own).toEqual(bytes);
    else expect([name, decodeValue(own)]).toEqual([name, decodeValue(bytes)]);
  }
});
