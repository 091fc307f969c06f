import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Machine, readBootImage } from '@nest86/machine';
import { afterEach, describe, expect, test } from 'vitest';
import { PausableTime } from '../src/gdb/pausable-time.ts';
import { type GdbServer, serveGdb } from '../src/gdb/serve-gdb.ts';

const image = readBootImage(readFileSync(new URL('../../../guests/bench/bench.elf', import.meta.url)));
const slice = 500_000;
let server: GdbServer | undefined;
const sockets: Socket[] = [];

afterEach(() => {
  server?.close();
  for (const socket of sockets) socket.destroy();
});

function newMachine(): Machine {
  const machine = new Machine({ memory: 32 << 20, serial: { write: () => {} } });
  machine.start(image, { commandLine: 'only=quicksort scale=0' });
  return machine;
}

/** Serves until the guest ends or gdb kills it; answers how. */
async function serve(machine: Machine, waits = true): Promise<{ over: Promise<string>; port: number }> {
  let wake = (): void => {};
  const own = await serveGdb(machine, 0, { waits, changed: () => wake() });
  server = own;
  const loop = async (): Promise<string> => {
    for (;;) {
      const state = own.poll();
      if (state === 'quit') return 'quit';
      if (state === 'run') {
        const end = machine.run(slice);
        if (!own.ran(end)) {
          own.close(end.reason === 'exit' ? end.exitCode : 0);
          return end.reason;
        }
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, own.poll() === 'run' ? 0 : 1000);
        wake = () => {
          clearTimeout(timer);
          setImmediate(resolve);
        };
      });
    }
  };
  return { over: loop(), port: own.port };
}

function client(port: number): { send(text: string): void; until(pattern: RegExp): Promise<string> } {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  let text = '';
  let heard = (): void => {};
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1');
    heard();
  });
  socket.on('close', () => {
    text += '<closed>';
    heard();
  });
  const send = (packet: string): void => {
    const sum = [...packet].reduce((total, character) => total + character.charCodeAt(0), 0) & 0xff;
    socket.write(`$${packet}#${sum.toString(16).padStart(2, '0')}`);
  };
  const until = async (pattern: RegExp): Promise<string> => {
    while (!pattern.test(text)) await new Promise<void>((resolve) => (heard = resolve));
    const found = text;
    text = '';
    return found;
  };
  return { send, until };
}

describe('gdb over TCP', () => {
  test('a step, a second gdb that is turned away, and the end', async () => {
    const machine = newMachine();
    const { over, port } = await serve(machine);
    const gdb = client(port);
    gdb.send('?');
    await gdb.until(/\$T02thread:1;.*#/);
    await client(port).until(/<closed>/);
    gdb.send('vCont;s:1');
    await gdb.until(/\$T05thread:1;.*#/);
    expect(machine.processors[0].retired).toBe(1);
    gdb.send('vCont;c');
    await gdb.until(/\$W21#/);
    expect(await over).toBe('exit');
  });

  test('a connection that breaks lets the guest go on', async () => {
    const { over, port } = await serve(newMachine());
    const gdb = client(port);
    gdb.send('qC');
    await gdb.until(/QC1/);
    sockets.at(-1)?.destroy();
    expect(await over).toBe('exit');
  });

  test('kill', async () => {
    const { over, port } = await serve(newMachine());
    const gdb = client(port);
    gdb.send('k');
    expect(await over).toBe('quit');
    await gdb.until(/<closed>/);
  });

  test('a port that is taken is told', async () => {
    const { over, port } = await serve(newMachine(), false);
    await expect(serveGdb(newMachine(), port)).rejects.toThrow(`--gdb ${port}: `);
    await over;
  });
});

test('time that pauses', () => {
  let host = 1000;
  const time = new PausableTime(() => host);
  time.pause(true);
  host += 500;
  time.pause(true);
  expect(time.now()).toBe(1000);
  time.pause(false);
  time.pause(false);
  expect(time.now()).toBe(1000);
  host += 20;
  expect(time.now()).toBe(1020);
});

const hasGdb = spawnSync('gdb', ['--version']).status === 0;
if (!hasGdb) console.log('gdb is not installed: the test with the real one is left out');

/** A function of the guest that runs in long mode: found by running up to there. */
function later(): string {
  const machine = newMachine();
  machine.run(1_000_000);
  return `0x${machine.processors[0].processor.state.getBig('rip').toString(16)}`;
}

test.skipIf(!hasGdb)(
  'the real gdb: steps in 32-bit code, breaks and watches in 64-bit code, and sees the end',
  async () => {
    const { over, port } = await serve(newMachine());
    const address = later();
    const script = `
set confirm off
set pagination off
set architecture i386:x86-64
target remote 127.0.0.1:${port}
info registers cr0
stepi
set $first = $pc
hbreak *${address}
continue
info registers rip efer
x/i $pc
stepi
set $rbx = $rbx
delete
watch -l *(long*)($rsp - 8)
continue
printf "watched %d\\n", $pc != 0
delete
info threads
monitor info cpus
monitor sing
continue
`;
    const folder = mkdtempSync(join(tmpdir(), 'nest86-gdb-'));
    try {
      writeFileSync(join(folder, 'script'), script);
      const gdb = spawn('gdb', ['-q', '-nx', '-batch', '-x', join(folder, 'script')], { stdio: 'pipe' });
      let text = '';
      for (const stream of [gdb.stdout, gdb.stderr])
        stream.on('data', (bytes: Buffer) => {
          text += bytes.toString();
        });
      await new Promise((resolve) => gdb.on('close', resolve));
      expect(text).toMatch(/cr0 +0x11 +\[ PE ET \]/);
      expect(text).toMatch(new RegExp(`rip +${address} `));
      expect(text).toMatch(/efer .*\[ .*LME LMA/);
      expect(text).toContain('Breakpoint 1');
      expect(text).toMatch(/Old value = .*\nNew value = /);
      expect(text).toContain('watched 1');
      expect(text).toContain('Thread 1 (processor 0, APIC ID 0, running)');
      expect(text).toContain('processor 0: runs, RIP ');
      expect(text).toContain('"sing": there is no such command');
      expect(text).toContain('exited with code 041');
      expect(await over).toBe('exit');
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  60_000,
);
