import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { bytesOf, hexOf, littleEndian, textOf, unhex } from '../../src/gdb/packets.ts';
import { registerTable } from '../../src/gdb/register-table.ts';
import { Machine, MachineDebugger, type MachineEnd, readBootImage, stateHash } from '../../src/index.ts';
import { GdbClient } from './gdb-client.ts';

const image = readBootImage(readFileSync(new URL('../../../../guests/bench/bench.elf', import.meta.url)));
const slice = 300_000;
/** A count by which the guest is in its kernel. */
const deep = 1_000_000;

interface Session {
  readonly machine: Machine;
  readonly debug: MachineDebugger;
  readonly client: GdbClient;
  /** Runs the machine until it stands still or ends. */
  run(): MachineEnd;
  /** Sends a packet that lets it go on, runs, answers the stop reply. */
  go(packet: string): string;
  command(text: string): string;
  register(name: string): bigint;
}

function newMachine(accel: 'jit' | 'interp', processors = 1): Machine {
  const machine = new Machine({ memory: 32 << 20, serial: { write: () => {} }, accel, processors });
  machine.start(image, { commandLine: 'only=quicksort scale=0' });
  return machine;
}

function start(accel: 'jit' | 'interp' = 'jit', processors = 1): Session {
  const machine = newMachine(accel, processors);
  const debug = new MachineDebugger(machine);
  const client = new GdbClient();
  client.connect(debug.connect(client.port));
  const run = (): MachineEnd => {
    let end: MachineEnd = { reason: 'limit' };
    for (let turns = 0; debug.poll() === 'run' && turns < 1000; turns++) {
      end = machine.run(slice);
      if (!debug.ran(end)) break;
    }
    return end;
  };
  client.ask('qSupported:swbreak+;hwbreak+');
  return {
    machine,
    debug,
    client,
    run,
    go: (packet) => {
      client.ask(packet);
      run();
      return client.packets.at(-1) ?? '';
    },
    command: (text) => {
      client.ask(`qRcmd,${hexOf(bytesOf(text))}`);
      return client.packets
        .filter((packet) => packet !== 'OK')
        .map((packet) => textOf(unhex(packet.slice(1))!))
        .join('');
    },
    register: (name) =>
      registerTable.find((entry) => entry.name === name)!.read(machine.processors[0].processor),
  };
}

function endOf(machine: Machine): string {
  const states = machine.processors.map(({ retired, processor }) => `${retired} ${stateHash(processor)}`);
  return `${machine.clock.now} ${states.join(' ')}`;
}

/** RIP when the guest has retired so many instructions. */
function placeAt(count: number): bigint {
  const machine = newMachine('interp');
  machine.run(count);
  return machine.processors[0].processor.state.getBig('rip');
}

function number(name: string): string {
  return registerTable.findIndex((entry) => entry.name === name).toString(16);
}

const hot = placeAt(deep).toString(16);

describe.each(['jit', 'interp'] as const)('a machine (%s)', (accel) => {
  test('ends as without a debugger, whatever that looked at', () => {
    const plain = newMachine(accel);
    let end: MachineEnd;
    do end = plain.run(slice);
    while (end.reason === 'limit');
    const { machine, client, debug, go, run, register, command } = start(accel);
    for (let i = 0; i < 50; i++) expect(go('vCont;s:1;c')).toMatch(/^T05thread:1;/);
    expect(machine.processors[0].retired).toBe(50);
    for (let i = 0; i < 30; i++) {
      client.ask(`Z${i & 1},${hot},1`);
      expect(go('vCont;c')).toMatch(i & 1 ? /hwbreak:;$/ : /swbreak:;$/);
      expect(register('rip').toString(16)).toBe(hot);
      client.ask(`z${i & 1},${hot},1`);
      // As gdb goes over a breakpoint.
      go('vCont;s:1');
    }
    const stack = (register('rsp') - 0x800n).toString(16);
    client.ask(`Z4,${stack},800`);
    for (let i = 0; i < 20; i++) expect(go('vCont;c')).toMatch(new RegExp(`;awatch:${stack};$`));
    for (const text of [
      'info registers',
      'info tlb',
      'info cpus',
      'translate 100000',
      'xp/16 100000',
      'help',
    ])
      expect(command(text)).not.toMatch(/^$|no such/);
    expect(command('sing')).toContain('no such command');
    client.ask('g');
    client.ask('m100000,1000');
    client.ask(`z4,${stack},800`);
    client.ask('vCont;c');
    debug.ran(machine.run(1000));
    client.raw('\x03');
    expect(client.packets.at(-1)).toMatch(/^T02/);
    client.ask('D');
    expect(debug.isConnected).toBe(false);
    expect(run()).toEqual(end);
    expect(endOf(machine)).toBe(endOf(plain));
  });

  test('stops at the very instruction, and its memory is as ever', () => {
    const { machine, client, go } = start(accel);
    const before = client.ask(`m${hot},10`);
    client.ask(`Z0,${hot},1`);
    go('vCont;c');
    expect(client.ask(`m${hot},10`)).toBe(before);
    const { retired } = machine.processors[0];
    expect(placeAt(retired).toString(16)).toBe(hot);
    expect(placeAt(retired - 1).toString(16)).not.toBe(hot);
    // Somebody who does not step over it comes on, too.
    expect(go('c')).toContain('swbreak');
    expect(machine.processors[0].retired).toBeGreaterThan(retired);
  });
});

test('registers in 32-bit code, and those that cannot be written', () => {
  const { client, register, go } = start();
  expect([register('cr0') & 1n, register('efer'), register('cs') > 0n]).toEqual([1n, 0n, true]);
  const write = (name: string, value: bigint): string | undefined => {
    const entry = registerTable.find((one) => one.name === name)!;
    return client.ask(`P${number(name)}=${hexOf(littleEndian(value, entry.bits / 8))}`);
  };
  for (const [name, value] of [
    ['rax', 0x1234n],
    ['eflags', 0x46n],
    ['st0', 0x3fff_8000_0000_0000_0000n],
    ['xmm3', 1n << 127n],
    ['ymm3h', 5n],
    ['cr2', 0x1000n],
    ['cr8', 3n],
    ['fs_base', 0x1000n],
    ['mxcsr', 0x1f80n],
  ] as const) {
    expect(write(name, value)).toBe('OK');
    expect([name, register(name)]).toEqual([name, value]);
  }
  for (const [name, value] of [
    ['rip', 1n << 32n],
    ['cs', 0x38n],
    ['cr0', register('cr0') ^ 1n],
    ['cr4', register('cr4') ^ 0x20n],
    ['efer', 0x100n],
    ['cr8', 16n],
    ['mxcsr', 0x10000n],
    ['gs_base', 1n << 40n],
  ] as const) {
    const before = register(name);
    expect([name, write(name, value)]).toEqual([name, 'E16']);
    expect(register(name)).toBe(before);
  }
  expect(client.ask(`G${client.ask('g')}`)).toBe('OK');
  expect(client.ask('g')!.length).toBe(registerTable.reduce((sum, { bits }) => sum + bits / 4, 0));
  expect(go('vCont;s:1')).toMatch(/^T05/);
});

test('memory by its linear address, with no leave asked; devices are left alone', () => {
  const { client, go, register } = start();
  expect(client.ask('M200000,4:01020304')).toBe('OK');
  expect(client.ask('m200000,4')).toBe('01020304');
  expect(client.ask('mfee00000,4')).toBe('E0e');
  expect(client.ask('Mfee00000,1:00')).toBe('E0e');
  client.ask(`Z1,${hot},1`);
  go('vCont;c');
  // Long mode with paging by now.
  expect(register('efer') & 0x400n).toBe(0x400n);
  expect(client.ask('m8000000000000000,1')).toBe('E0e');
  client.ask('Qqemu.PhyMemMode:1');
  expect(client.ask('m200000,4')).toMatch(/^[\da-f]{8}$/);
  expect(client.ask('mfffffffffffffff0,1')).toBe('E0e');
});

test('a breakpoint in code with a base is one of its linear address, and gdb is not told that RIP is there', () => {
  const { client, go, register, machine } = start();
  const rip = register('rip');
  const { processor } = machine.processors[0];
  processor.state.setPair('segmentBase', 0x1000, 0, 1);
  client.ask(`P${number('rip')}=${hexOf(littleEndian(rip - 0x1000n, 8))}`);
  go('vCont;s:1');
  const next = register('rip') + 0x1000n;
  client.ask(`P${number('rip')}=${hexOf(littleEndian(rip - 0x1000n, 8))}`);
  client.ask(`Z0,${next.toString(16)},1`);
  expect(go('c')).toMatch(/^T05thread:1;.*[\da-f];$/);
  expect(client.packets.at(-1)).not.toContain('break');
  expect(register('rip')).toBe(next - 0x1000n);
});

test('code that a debugger writes is what runs', () => {
  const { client, go, register } = start();
  const rip = register('rip');
  // inc eax; inc eax; jmp back
  client.ask(`M${rip.toString(16)},6:ffc0ffc0ebfa`);
  client.ask('P0=0000000000000000');
  client.ask(`Z0,${(rip + 4n).toString(16)},1`);
  expect(go('c')).toContain('swbreak');
  expect(go('c')).toContain('swbreak');
  expect(register('rax')).toBe(4n);
  client.ask(`M${rip.toString(16)},2:ffc8`);
  expect(go('c')).toContain('swbreak');
  expect(register('rax')).toBe(4n);
});

test('threads, one of which waits for its start-up IPI', () => {
  const { client, go, machine } = start('jit', 2);
  expect(client.ask('qfThreadInfo')).toBe('m1,2');
  expect(textOf(unhex(client.ask('qThreadExtraInfo,2')!)!)).toBe(
    'processor 1, APIC ID 1, waits for its start-up IPI',
  );
  expect(client.ask('Hg2')).toBe('OK');
  expect(go('vCont;s:1')).toMatch(/^T05thread:1;/);
  // One that waits does not step; gdb can interrupt.
  client.ask('vCont;s:2');
  machine.run(1000);
  expect(machine.processors.map(({ retired }) => retired)).toEqual([1, 0]);
  client.raw('\x03');
  expect(client.packets.at(-1)).toMatch(/^T02/);
});

test('a triple fault is looked at; the end is told', () => {
  const { client, go, debug, register, command, machine } = start();
  const rip = register('rip');
  // UD2, without an IDT.
  client.ask(`M${rip.toString(16)},2:0f0b`);
  client.ask(`Z0,${hot},1`);
  expect(go('c')).toMatch(/^T0b/);
  expect(register('rip')).toBe(rip);
  expect(debug.poll()).toBe('stopped');
  expect(command('reset')).not.toBe('');
  expect(go('c')).toContain('swbreak');
  client.ask(`z0,${hot},1`);
  client.ask('c');
  let end: MachineEnd;
  do end = machine.run(slice);
  while (debug.ran(end));
  expect(end.reason).toBe('exit');
  debug.close(end.reason === 'exit' ? end.exitCode : 0);
  expect(client.packets.at(-1)).toBe('W21');
  expect(debug.poll()).toBe('quit');
});

test('kill, and monitor quit', () => {
  for (const packet of ['k', 'vKill;1', `qRcmd,${hexOf(bytesOf('quit'))}`]) {
    const { client, debug } = start();
    client.ask(packet);
    expect(debug.poll()).toBe('quit');
  }
});

test('a guest that runs already stops when gdb comes, and goes on when its connection breaks', () => {
  const machine = newMachine('jit');
  const debug = new MachineDebugger(machine, {}, false);
  expect(debug.poll()).toBe('run');
  expect(debug.ran(machine.run(1000))).toBe(true);
  const client = new GdbClient();
  client.connect(debug.connect(client.port));
  expect(debug.poll()).toBe('stopped');
  expect(client.ask('?')).toMatch(/^T02thread:1;/);
  client.ask(`Z0,${hot},1`);
  debug.disconnect();
  expect(debug.poll()).toBe('run');
  const end = machine.run(1_000_000_000);
  expect(end.reason).toBe('exit');
});
