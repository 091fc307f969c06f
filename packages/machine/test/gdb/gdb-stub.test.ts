import { beforeEach, describe, expect, test } from 'vitest';
import type { DebugStop, DebugTarget, ResumePlan } from '../../src/gdb/debug-target.ts';
import { GdbStub } from '../../src/gdb/gdb-stub.ts';
import { bytesOf, framed, hexOf, mostPacketBytes, textOf, unhex } from '../../src/gdb/packets.ts';
import { GdbClient } from './gdb-client.ts';

/** Three threads with two registers, and 64 bytes of memory at 1000h. */
class FakeTarget implements DebugTarget {
  readonly threads = 3;
  current = 2;
  readonly description = `<target>${'#$*}'.repeat(3)}</target>`;
  readonly registers = [
    { name: 'rip', bits: 64, type: 'code_ptr' },
    { name: 'eflags', bits: 32, type: 'int' },
  ];
  readonly values = [1, 2, 3].map((thread) => [BigInt(thread) << 8n, 2n]);
  readonly memory = new Uint8Array(64);
  stops: readonly DebugStop[] = [];
  plans: string[] = [];
  physical: boolean[] = [];

  describeThread(thread: number): string {
    return `thread ${thread}`;
  }
  readRegister(thread: number, number: number): bigint {
    return this.values[thread - 1][number];
  }
  writeRegister(thread: number, number: number, value: bigint): boolean {
    if (number === 1 && value > 255n) return false;
    this.values[thread - 1][number] = value;
    return true;
  }
  readMemory(_thread: number, address: bigint, length: number, isPhysical: boolean): Uint8Array {
    this.physical.push(isPhysical);
    const at = Number(address) - 0x1000;
    return at < 0 ? new Uint8Array(0) : this.memory.slice(at, at + length);
  }
  writeMemory(_thread: number, address: bigint, bytes: Uint8Array): boolean {
    const at = Number(address) - 0x1000;
    if (at < 0 || at + bytes.length > 64) return false;
    this.memory.set(bytes, at);
    return true;
  }
  setStops(stops: readonly DebugStop[]): void {
    this.stops = stops;
  }
  resume({ step, continues }: ResumePlan): void {
    this.plans.push(`${step}:${[1, 2, 3].filter(continues).join('')}`);
  }
  command(thread: number, text: string): string {
    return text === 'help' ? `${thread}${'x'.repeat(mostPacketBytes)}` : '';
  }
}

let target: FakeTarget;
let client: GdbClient;
let stub: GdbStub;
let events: string[];

beforeEach(() => {
  target = new FakeTarget();
  client = new GdbClient();
  events = [];
  stub = new GdbStub(client.port, target, {
    resumed: () => events.push('resumed'),
    interrupt: () => events.push('interrupt'),
    detached: () => events.push('detached'),
    killed: () => events.push('killed'),
  });
  client.connect(stub);
});

describe('packets', () => {
  test('are acknowledged, asked for again when damaged, and sent again when asked for', () => {
    client.raw('$?#3f');
    expect(client.signs).toEqual(['+']);
    client.raw('$?#00');
    expect(client.signs).toEqual(['+', '-']);
    expect(client.packets).toHaveLength(1);
    client.raw('-');
    expect(client.packets).toHaveLength(2);
    expect(client.packets[1]).toBe(client.packets[0]);
  });

  test('are no longer once gdb asks for that', () => {
    expect(client.ask('QStartNoAckMode')).toBe('OK');
    client.signs.length = 0;
    client.ask('?');
    client.raw('$?#00');
    expect(client.signs).toEqual([]);
  });

  test('come in pieces, behind noise, and broken off', () => {
    for (const character of 'noise$q$qC#b4') client.raw(character);
    expect(client.packets).toEqual(['QC2']);
  });

  test('have their escapes taken out and put in', () => {
    expect(client.ask('qXfer:features:read:target.xml:0,1000')).toBe(`l${target.description}`);
    const bytes = Uint8Array.of(0x23, 0x24, 0x7d, 0x2a);
    expect(client.ask(`X1000,4:${textOf(bytes)}`)).toBe('OK');
    expect([...target.memory.subarray(0, 4)]).toEqual([...bytes]);
  });

  test('that are too long are refused, and nothing is kept of them', () => {
    const long = framed(new Uint8Array(mostPacketBytes + 1).fill(0x61));
    stub.receive(long);
    expect(client.signs).toEqual(['-']);
    expect(client.ask('qC')).toBe('QC2');
  });

  test('of any bytes never throw', () => {
    let seed = 12345;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return (seed >>> 8) % below;
    };
    const letters = '?gGpPmMXzZHTcsCSvqQDk!AbBdFiIrRtx,:;=0123456789abcdef-1}#$*';
    const words = ['vCont;', 'qXfer:features:read:', 'qRcmd,', 'Z2,', 'm', 'P1=', 'G', 'Hg', 'vCont;s:', 'X'];
    for (let i = 0; i < 20_000; i++) {
      let text = random(2) === 0 ? words[random(words.length)] : '';
      for (let n = random(20); n > 0; n--) text += letters[random(letters.length)];
      stub.receive(random(10) === 0 ? bytesOf(text) : framed(bytesOf(text)));
      if (stub.isRunning) stub.stopped({ kind: 'step', thread: 1 });
    }
    expect(target.stops.length).toBeLessThanOrEqual(1024);
  });
});

describe('registers and memory', () => {
  test('all, one, of the chosen thread', () => {
    expect(client.ask('g')).toBe('000200000000000002000000');
    expect(client.ask('Hg3')).toBe('OK');
    expect(client.ask('p0')).toBe('0003000000000000');
    expect(client.ask('P0=efcdab8967452301')).toBe('OK');
    expect(target.values[2][0]).toBe(0x123456789abcdefn);
    expect(client.ask('p2')).toBe('E16');
    expect(client.ask('P1=00010000')).toBe('E16');
    expect(client.ask('P1=00')).toBe('E16');
    expect(client.ask('G100000000000000007000000')).toBe('OK');
    expect(target.values[2]).toEqual([0x10n, 7n]);
    expect(client.ask('Hg4')).toBe('E16');
  });

  test('memory up to where it ends', () => {
    target.memory.set([1, 2, 3]);
    expect(client.ask('m1000,3')).toBe('010203');
    expect(client.ask('m103e,10')).toBe('0000');
    expect(client.ask('m0,1')).toBe('E0e');
    expect(client.ask('M1001,2:aabb')).toBe('OK');
    expect(client.ask('M103f,2:aabb')).toBe('E0e');
    expect(client.ask('M1001,3:aabb')).toBe('E16');
    expect(client.ask('X1000,0:')).toBe('OK');
    expect(hexOf(target.memory.subarray(0, 4))).toBe('01aabb00');
    expect(client.ask('Qqemu.PhyMemMode:1')).toBe('OK');
    client.ask('m1000,1');
    expect(target.physical.at(-1)).toBe(true);
    expect(client.ask('qqemu.PhyMemMode')).toBe('1');
  });
});

describe('stops', () => {
  test('are set and taken away by kind and address', () => {
    expect(client.ask('Z0,1000,1')).toBe('OK');
    expect(client.ask('Z0,1000,1')).toBe('OK');
    expect(client.ask('Z2,2000,4')).toBe('OK');
    expect(target.stops).toEqual([
      { kind: 'software', address: 0x1000n, bytes: 1 },
      { kind: 'write', address: 0x2000n, bytes: 4 },
    ]);
    client.ask('z0,1000,1');
    expect(target.stops).toHaveLength(1);
    expect(client.ask('Z5,0,1')).toBe('');
    expect(client.ask('Z3,0,0')).toBe('E16');
    expect(client.ask('Z3,0,fffffff')).toBe('E16');
  });

  test('are reported with thread, registers, and what was met', () => {
    client.ask('qSupported:multiprocess+;swbreak+;hwbreak+');
    client.ask('vCont;c');
    stub.stopped({ kind: 'software', thread: 1, address: 0x1000n });
    expect(client.packets).toEqual(['T05thread:1;00:0001000000000000;swbreak:;']);
    client.ask('vCont;c');
    stub.stopped({ kind: 'write', thread: 3, address: 0xffff_8000_0000_1234n });
    expect(client.packets[0]).toMatch(/^T05thread:3;.*watch:ffff800000001234;$/);
    expect(client.ask('?')).toMatch(/watch:ffff800000001234;$/);
    client.ask('vCont;c');
    stub.stopped({ kind: 'shutdown', thread: 1 });
    expect(client.packets[0]).toMatch(/^T0bthread:1;/);
  });

  test('swbreak only for those who know it', () => {
    client.ask('qSupported:vContSupported+');
    client.ask('c');
    stub.stopped({ kind: 'hardware', thread: 1, address: 0x1000n });
    expect(client.packets[0]).not.toContain('break');
  });
});

describe('going on', () => {
  test.each([
    ['vCont;c', '0:123'],
    ['vCont;s:2;c', '2:13'],
    ['vCont;s:1', '1:'],
    ['vCont;c:1;s:3', '3:1'],
    ['vCont;S05:2;c:-1', '2:13'],
    ['c', '0:123'],
    ['s', '2:123'],
    ['C05', '0:123'],
  ])('%s', (packet, plan) => {
    expect(client.ask(packet)).toBeUndefined();
    expect(target.plans).toEqual([plan]);
    expect(events).toEqual(['resumed']);
    expect(stub.isRunning).toBe(true);
  });

  test('at an address, of the thread that Hc says', () => {
    client.ask('Hc1');
    client.ask('s4000');
    expect(target.plans).toEqual(['1:123']);
    expect(target.values[0][0]).toBe(0x4000n);
  });

  test('nobody whom it does not name, and not without meaning', () => {
    for (const packet of ['vCont;c:4', 'vCont;x', 'vCont;', 'vCont;t', 'czz'])
      expect(client.ask(packet)).toBe('E16');
    expect(stub.isRunning).toBe(false);
  });

  test('while it runs gdb can interrupt, and nothing else', () => {
    client.ask('vCont;c');
    expect(client.ask('g')).toBeUndefined();
    client.raw('\x03');
    expect(events).toEqual(['resumed', 'interrupt']);
    stub.stopped({ kind: 'interrupt', thread: 1 });
    expect(client.packets.at(-1)).toMatch(/^T02/);
    client.raw('\x03');
    expect(events).toHaveLength(2);
  });

  test('detach, kill, and the end', () => {
    client.ask('Z0,1000,1');
    expect(client.ask('D')).toBe('OK');
    expect([target.stops.length, events]).toEqual([0, ['detached']]);
    client.ask('k');
    expect(client.ask('vKill;1')).toBe('OK');
    expect(events).toEqual(['detached', 'killed', 'killed']);
    stub.exited(33);
    expect(client.packets.at(-1)).toBe('W21');
  });
});

describe('questions', () => {
  test('threads', () => {
    expect(client.ask('qfThreadInfo')).toBe('m1,2,3');
    expect(client.ask('qsThreadInfo')).toBe('l');
    expect(textOf(unhex(client.ask('qThreadExtraInfo,3')!)!)).toBe('thread 3');
    expect([client.ask('T3'), client.ask('T4')]).toEqual(['OK', 'E16']);
  });

  test('the description in pieces', () => {
    const { description } = target;
    expect(client.ask('qXfer:features:read:target.xml:2,3')).toBe(`m${description.slice(2, 5)}`);
    expect(client.ask('qXfer:features:read:other.xml:0,3')).toBe('E00');
    expect(client.ask('qXfer:memory-map:read::0,3')).toBe('');
  });

  test('monitor', () => {
    client.ask(`qRcmd,${hexOf(bytesOf('help'))}`);
    const printed = client.packets.slice(0, -1).map((packet) => textOf(unhex(packet.slice(1))!));
    expect(printed.join('')).toBe(`2${'x'.repeat(mostPacketBytes)}`);
    expect(client.packets.at(-1)).toBe('OK');
    expect(client.ask(`qRcmd,${hexOf(bytesOf('nothing'))}`)).toBe('OK');
    expect(client.packets).toHaveLength(1);
    expect(client.ask('qRcmd,5')).toBe('E16');
  });

  test('what it does not know gets the empty answer', () => {
    for (const packet of ['vMustReplyEmpty', 'qTStatus', 'bs', 'bc', '!', 'R00', 'vRun;'])
      expect(client.ask(packet)).toBe('');
  });
});
