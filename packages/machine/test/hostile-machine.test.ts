import { SeededRandom, VirtioBlock, VirtioConsole, VirtioEntropy } from '@nest86/devices';
import { describe, expect, test } from 'vitest';
import { Machine, type MachineOptions, readBootImage } from '../src/index.ts';
import {
  AccessProgram,
  accessAddress,
  chooser,
  counterAddress,
  handlerAddress,
  type RandomAccess,
  randomAccess,
} from './harness/accesses.ts';
import { bareImage } from './harness/images.ts';

const accesses = 100_000;
const inOneProgram = 500;
/** Instructions that a program gets: it needs some four for each access, and handlers of interrupts need theirs. */
const limit = 20_000;
/** MOV AL, 5; OUT F4h, AL. */
const exit: readonly number[] = [0xb0, 5, 0xe6, 0xf4];

function machineWith(options: Partial<MachineOptions>): Machine {
  const size = 64 * 512;
  const disk = new Uint8Array(size);
  const output = { write: () => {} };
  const store = {
    size,
    read: (at: number, target: Uint8Array) => target.set(disk.subarray(at, at + target.length)),
    write: (at: number, bytes: Uint8Array) => disk.set(bytes, at),
    flush: () => {},
  };
  return new Machine({
    memory: 4 << 20,
    serial: output,
    devices: [
      new VirtioBlock({ store }),
      new VirtioConsole({ output }),
      new VirtioEntropy(new SeededRandom(1)),
    ],
    ...options,
  });
}

/** What an access is without a processor: nothing of it may throw either. */
function fromOutside({ pc, physical }: Machine, { kind, isWrite, size, address, value }: RandomAccess): void {
  if (kind === 'port') {
    if (isWrite) pc.ports.write(address, size, value);
    else expect(Number.isInteger(pc.ports.read(address, size))).toBe(true);
  } else if (kind === 'memory') {
    const page = Math.floor(address / 4096);
    // Processors take apart what crosses pages.
    const offset = Math.min(address % 4096, 4096 - size);
    if (isWrite) physical.write(page, offset, size, value);
    else expect(Number.isInteger(physical.read(page, offset, size))).toBe(true);
  }
}

describe('whatever a guest does to the chips', () => {
  test.each([
    { seed: 0x6e657374, accel: 'jit', processors: 1 },
    { seed: 0x38360001, accel: 'interp', processors: 2 },
  ] as const)(
    `${accesses} accesses of seed $seed, $processors processors, $accel: no exception, each run ends, and after RESET all is well`,
    ({ seed, accel, processors }) => {
      const choose = chooser(seed);
      const machine = machineWith({ accel, processors });
      const program = new AccessProgram();
      machine.start(readBootImage(bareImage(program.start)), { commandLine: '', modules: [] });
      let byGuest = 0;
      for (let done = 0; done < accesses; done += inOneProgram) {
        // Now and then chips stay as the last program left them.
        if (choose(4) > 0) machine.reset();
        const chosen = Array.from({ length: inOneProgram }, () => randomAccess(choose));
        program.write(machine.physical, chosen);
        const before = machine.processors.reduce((sum, { retired }) => sum + retired, 0);
        const { reason } = machine.run(limit);
        const after = machine.processors.reduce((sum, { retired }) => sum + retired, 0);
        expect(after - before).toBeLessThanOrEqual(limit);
        // What the guest did not come to any more: it was reset, went astray, waits, or has nothing but interrupts.
        machine.physical.a20 = true;
        const reached = Math.min(
          machine.physical.read(counterAddress >>> 12, counterAddress & 4095, 4),
          inOneProgram,
        );
        byGuest += reached;
        for (const access of chosen.slice(reached)) fromOutside(machine, access);
        if (reason !== 'limit') machine.reset();
      }
      expect(byGuest).toBeGreaterThan(accesses / 10);
      machine.reset();
      machine.physical.writeBytes(program.start, Uint8Array.from(exit));
      expect(machine.run(limit)).toEqual({ reason: 'exit', exitCode: 11 });
    },
  );
});

/** 32-bit code without paging; interrupts are off at its start, and the local APIC is enabled. */
const spins: Readonly<Record<string, readonly number[]>> = {
  'a loop': [0xfa, 0xeb, 0xfe],
  'a loop with PAUSE': [0xfa, 0xf3, 0x90, 0xeb, 0xfc],
  'a loop that reads a port': [0xfa, 0xe4, 0x61, 0xeb, 0xfc],
  'a loop that reads the local APIC': [0xfa, 0xa1, 0x90, 0x03, 0xe0, 0xfe, 0xeb, 0xf9],
  // OR ECX, -1; XOR ESI, ESI; REP LODSB.
  'REP with four thousand million iterations': [0xfa, 0x83, 0xc9, 0xff, 0x31, 0xf6, 0xf3, 0xac, 0xeb, 0xf7],
  // The same from a port to RAM: MOV DX, 61h; MOV EDI, 20000h; REP INSB.
  'REP INSB': [0x66, 0xba, 0x61, 0, 0xbf, 0, 0, 2, 0, 0x83, 0xc9, 0xff, 0xf3, 0x6c, 0xeb, 0xf0],
  // MOV [LVT timer], 20020h; MOV [divide], 0Bh; MOV [initial count], 1; loop.
  'an interrupt each nanosecond that nobody takes': [
    ...[0xfa, 0xc7, 0x05, 0x20, 0x03, 0xe0, 0xfe, 0x20, 0x00, 0x02, 0x00],
    ...[0xc7, 0x05, 0xe0, 0x03, 0xe0, 0xfe, 0x0b, 0, 0, 0],
    ...[0xc7, 0x05, 0x80, 0x03, 0xe0, 0xfe, 0x01, 0, 0, 0, 0xeb, 0xfe],
  ],
};

describe('a guest that never comes back', () => {
  const kinds = Object.keys(spins).flatMap((name) => [
    { name, accel: 'jit', clock: 'deterministic' } as const,
    { name, accel: 'interp', clock: 'deterministic' } as const,
    { name, accel: 'jit', clock: 'realtime' } as const,
  ]);
  test.each(kinds)('$name, $accel, $clock time: a run ends behind as many instructions as it may', (kind) => {
    const { name, accel, clock } = kind;
    let milliseconds = 0;
    const machine = machineWith({ accel, clock, hostTime: () => (milliseconds += 0.001) });
    const start = 0x8000;
    machine.start(readBootImage(bareImage(start)), { commandLine: '', modules: [] });
    machine.physical.writeBytes(start, Uint8Array.from(spins[name]));
    const [processor] = machine.processors;
    for (const count of [1, 1000, 30_000]) {
      const before = processor.retired;
      expect(machine.run(count)).toEqual({ reason: 'limit' });
      expect(processor.retired - before).toBe(count);
    }
    machine.reset();
    machine.physical.writeBytes(start, Uint8Array.from(exit));
    expect(machine.run(limit)).toEqual({ reason: 'exit', exitCode: 11 });
  });

  test('an exception whose handler raises the next one: the run ends, though nothing retires', () => {
    const machine = machineWith({});
    const program = new AccessProgram();
    machine.start(readBootImage(bareImage(program.start)), { commandLine: '', modules: [] });
    program.write(machine.physical, []);
    // UD2 where handlers are.
    machine.physical.writeBytes(handlerAddress, Uint8Array.of(0x0f, 0x0b));
    machine.physical.writeBytes(accessAddress, Uint8Array.of(0x0f, 0x0b));
    // It fills the stack downwards through all of memory; 16 bytes and no instruction each time.
    expect(['limit', 'shutdown', 'problem']).toContain(machine.run(100_000).reason);
    machine.reset();
    machine.physical.writeBytes(program.start, Uint8Array.from(exit));
    expect(machine.run(limit)).toEqual({ reason: 'exit', exitCode: 11 });
  });
});
