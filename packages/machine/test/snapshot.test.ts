import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  boardRequest,
  CopyOnWriteStore,
  type CpuModelData,
  findModel,
  type Machine,
  type MachineOptions,
  readSnapshot,
  resolveModel,
  SeededRandom,
  type Snapshot,
  type SnapshotCompressor,
  SnapshotError,
  VirtioBlock,
  VirtioEntropy,
  writeSnapshot,
} from '../src/index.ts';
import { decodeValue, encodeValue, ValueError } from '../src/snapshot/value.ts';
import { contentOf, countOf, makeMachine, runTo, startMachine } from './harness/interrupted.ts';

const deflate: SnapshotCompressor = {
  name: 'deflate',
  compress: (bytes) => deflateRawSync(bytes, { level: 1 }),
  decompress: (bytes, size) => inflateRawSync(bytes, { maxOutputLength: size }),
};

function fileOf(snapshot: Snapshot, compressor?: SnapshotCompressor): Uint8Array {
  const pieces = writeSnapshot(snapshot, compressor === undefined ? {} : { compressor });
  return Uint8Array.from(Buffer.concat([...pieces]));
}

/** When each timer of the machine is due. */
function timersOf(machine: Machine): number[] {
  return (machine.clock as unknown as { timers: { due: number }[] }).timers.map(({ due }) => due);
}

/** Of whatever is thrown. */
function refusalOf(action: () => void): SnapshotError {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(SnapshotError);
    return error as SnapshotError;
  }
  throw new Error('nothing was thrown');
}

/** xorshift (Marsaglia, 2003). */
function randoms(seed: number): (below: number) => number {
  let value = Math.imul(seed, 0x9e3779b1) | 1;
  return (below) => {
    value ^= value << 13;
    value ^= value >>> 17;
    value ^= value << 5;
    return (value >>> 0) % below;
  };
}

describe('a run that goes on from a snapshot is the run that was saved', () => {
  const seed = Date.now() & 0xffff;
  const random = randoms(seed);

  function interrupted(options: Partial<MachineOptions>, points: number): void {
    const whole = startMachine(options);
    expect(runTo(whole)).toEqual({ reason: 'exit', exitCode: 33 });
    const end = contentOf(whole);
    const total = countOf(whole);
    const counts = Array.from({ length: points }, () => 1 + random(total - 1)).sort((a, b) => a - b);
    const saved = startMachine(options);
    let before: Machine | undefined;
    for (const [i, count] of counts.entries()) {
      runTo(saved, count);
      if (before !== undefined) {
        runTo(before, count);
        expect(contentOf(before), `seed ${seed}, at ${count}`).toEqual(contentOf(saved));
      }
      const file = fileOf(saved.save(), i % 3 === 0 ? deflate : undefined);
      before = makeMachine({ ...options, accel: i % 2 === 0 ? 'jit' : 'interp', seed: 7 });
      before.restore(readSnapshot(file, { compressor: deflate }));
      expect(timersOf(before)).toEqual(timersOf(saved));
    }
    for (const machine of [saved, before as Machine]) {
      expect(runTo(machine)).toEqual({ reason: 'exit', exitCode: 33 });
      expect(contentOf(machine), `seed ${seed}, at the end`).toEqual(end);
    }
  }

  test('at any instruction, compiled and interpreted', () => interrupted({}, 10));
  test.each(['exact', 'chaos', 'none'] as const)('with the TLB %s', (tlb) => interrupted({ tlb }, 3));

  test('in a machine that has run on', () => {
    const machine = startMachine();
    runTo(machine, 70_000);
    const snapshot = machine.save();
    const before = contentOf(machine);
    const timers = timersOf(machine);
    runTo(machine);
    const end = contentOf(machine);
    machine.restore(snapshot);
    expect(contentOf(machine)).toEqual(before);
    expect(timersOf(machine)).toEqual(timers);
    expect(runTo(machine)).toEqual({ reason: 'exit', exitCode: 33 });
    expect(contentOf(machine)).toEqual(end);
  });

  test('a reset starts what was started before the snapshot', () => {
    const machine = makeMachine();
    const saved = startMachine();
    runTo(saved, 5000);
    machine.restore(saved.save());
    machine.reset();
    saved.reset();
    runTo(machine, countOf(machine) + 5000);
    runTo(saved, countOf(saved) + 5000);
    expect(contentOf(machine)).toEqual(contentOf(saved));
  });

  test('without TLBs it goes on, too', () => {
    const saved = startMachine();
    runTo(saved, 50_000);
    const snapshot = saved.save({ saveTlb: false });
    expect(snapshot.units.some(({ name }) => name.startsWith('tlb/'))).toBe(false);
    const machine = makeMachine();
    machine.restore(snapshot);
    expect(runTo(machine)).toEqual({ reason: 'exit', exitCode: 33 });
  });

  test('in real time, which goes on from where it was', () => {
    let host = 1000;
    const hostTime = () => (host += 0.0002);
    const saved = startMachine({ clock: 'realtime', hostTime });
    const run = (machine: Machine, most: number): string => {
      for (let i = 0; i < most; i++) {
        const { reason } = machine.run(1000);
        if (reason !== 'limit' && reason !== 'idle') return reason;
      }
      return 'limit';
    };
    expect(run(saved, 20)).toBe('limit');
    const now = saved.clock.now;
    const snapshot = saved.save();
    expect(snapshot.guestTime).toBeGreaterThanOrEqual(now);
    host = 5;
    const machine = makeMachine({ clock: 'realtime', hostTime });
    machine.restore(snapshot);
    expect(machine.clock.now - snapshot.guestTime).toBeLessThan(1e6);
    expect(run(machine, 100_000)).toBe('exit');
  });

  test("a disk's overlay and seeded entropy come back", () => {
    const base = { size: 1 << 20, read: (_: number, target: Uint8Array) => void target.fill(1) };
    const make = (): { store: CopyOnWriteStore; source: SeededRandom; machine: Machine } => {
      const store = new CopyOnWriteStore(base);
      const source = new SeededRandom(5);
      const devices = [new VirtioBlock({ store }), new VirtioEntropy(source)];
      return { store, source, machine: startMachine({ devices }) };
    };
    const saved = make();
    runTo(saved.machine, 1000);
    saved.store.write(5000, Uint8Array.of(1, 2, 3));
    saved.source.fill(new Uint8Array(100));
    const snapshot = saved.machine.save();
    const other = make();
    other.store.write(60_000, Uint8Array.of(9));
    other.machine.restore(snapshot);
    const bytes = new Uint8Array(5);
    other.store.read(4999, bytes);
    expect([...bytes]).toEqual([1, 1, 2, 3, 1]);
    other.store.read(60_000, bytes);
    expect([...bytes]).toEqual([1, 1, 1, 1, 1]);
    const [a, b] = [new Uint8Array(8), new Uint8Array(8)];
    saved.source.fill(a);
    other.source.fill(b);
    expect(b).toEqual(a);
  });
});

describe('what is no snapshot of this machine is refused, and nothing changes', () => {
  const saved = startMachine();
  runTo(saved, 60_000);
  const snapshot = saved.save();
  const target = startMachine();
  runTo(target, 30_000);
  const before = contentOf(target);

  function refuses(action: () => void): SnapshotError {
    const refusal = refusalOf(action);
    expect(refusal.needsReset).toBe(false);
    expect(contentOf(target)).toEqual(before);
    return refusal;
  }

  test.each<[what: string, options: Partial<MachineOptions>, message: string]>([
    ['memory', { memory: 8 << 20 }, 'memory: 4194304 bytes in the snapshot, 8388608 bytes here'],
    ['processors', { processors: 3 }, 'processors: 2 in the snapshot, 3 here'],
    ['clock', { clock: 'realtime' }, 'clock: deterministic in the snapshot, realtime here'],
    ['test device', { testDevice: true }, 'test device: none in the snapshot, one here'],
    [
      'devices',
      { devices: [new VirtioEntropy(new SeededRandom(1))] },
      'device 0: none in the snapshot, entropy (features 0) here',
    ],
    ['TLB', { tlb: 'exact' }, 'unit tlb/0: TLB "set-associative'],
    [
      'CPU',
      {
        cpuid: resolveModel(findModel('zen2') as CpuModelData, { ...boardRequest, topology: { cores: 2 } })
          .model,
      },
      'CPU vendor: intel in the snapshot, amd here',
    ],
  ])('a machine with other options: %s', (_what, options, message) => {
    const machine = makeMachine(options);
    const own = contentOf(machine);
    const refusal = refusalOf(() => machine.restore(snapshot));
    expect(refusal.reason).toBe('configuration');
    expect(refusal.message).toContain(message);
    expect(refusal.needsReset).toBe(false);
    if (options.clock === undefined) expect(contentOf(machine)).toEqual(own);
  });

  test('a unit that is missing, unknown, or of another version', () => {
    for (const { name } of snapshot.units) {
      if (name === 'about') continue;
      const units = snapshot.units.filter((part) => part.name !== name);
      const refusal = refuses(() => target.restore({ ...snapshot, units }));
      expect([refusal.reason, refusal.unit], name).toEqual(['unit', name]);
    }
    const strange = { name: 'floppy/0', bytes: new Uint8Array(1) };
    const refusal = refuses(() => target.restore({ ...snapshot, units: [...snapshot.units, strange] }));
    expect(refusal.message).toBe('unit floppy/0: this machine has no such part');
    const units = snapshot.units.map(({ name, bytes }) => {
      const text = Buffer.from(bytes);
      const at = text.indexOf('version') + 'version'.length + 1;
      if (name === 'pic') text.writeUInt32LE(9, at);
      return { name, bytes: text };
    });
    const other = refuses(() => target.restore({ ...snapshot, units }));
    expect([other.reason, other.unit]).toEqual(['version', 'pic']);
    expect(other.message).toContain('version 9; version 1 is understood');
  });

  test('while it runs', () => {
    const refusals: SnapshotError[] = [];
    const machine: Machine = startMachine({
      serial: {
        write: () => {
          refusals.push(
            refusalOf(() => machine.save()),
            refusalOf(() => machine.restore(snapshot)),
          );
        },
      },
    });
    runTo(machine, 5000);
    expect(new Set(refusals.map(({ reason }) => reason))).toEqual(new Set(['running']));
  });

  describe.each([
    ['plain', undefined],
    ['compressed', deflate],
  ])('a file, %s', (_, compressor) => {
    const file = fileOf(snapshot, compressor);
    const read = (bytes: Uint8Array): Snapshot => readSnapshot(bytes, { compressor: deflate });
    /** Where units begin. */
    const starts: number[] = [];
    for (let at = 32; at < file.length; ) {
      starts.push(at);
      const view = new DataView(file.buffer, file.byteOffset + at);
      at += 16 + view.getUint16(0, true) + 4 + view.getUint32(4, true);
    }

    test('is what was written', () => {
      const text = ({ units, ...about }: Snapshot): string =>
        JSON.stringify([
          about,
          units.map(({ name, bytes }) => [name, Buffer.from(bytes).toString('base64')]),
        ]);
      expect(text(read(file)) === text(snapshot)).toBe(true);
      expect(starts.length).toBe(snapshot.units.length);
    });

    test('that ends too early, or goes on', () => {
      const ends = new Set([...Array(100).keys(), file.length - 1]);
      for (let end = 0; end < file.length; end += 65536) ends.add(end);
      for (const start of starts) for (let i = 0; i < 40; i++) ends.add(start + i);
      for (const end of ends) {
        if (end >= file.length) continue;
        expect(refusalOf(() => read(file.slice(0, end))).reason, `${end} bytes`).toBe('format');
      }
      expect(refusalOf(() => read(Buffer.concat([file, Uint8Array.of(0)]))).message).toContain(
        '1 bytes behind',
      );
    });

    test('with a bit changed, in any header and any unit', () => {
      const random = randoms(3);
      const places = new Set(Array(32).keys());
      for (const start of starts) for (let i = 0; i < 24; i++) places.add(start + i);
      for (const [i, start] of starts.entries()) {
        const end = starts[i + 1] ?? file.length;
        for (let n = 0; n < 8; n++) places.add(start + random(end - start));
      }
      for (const place of places) {
        const damaged = Uint8Array.from(file);
        damaged[place] ^= 1 << random(8);
        const { reason } = refusalOf(() => read(damaged));
        expect(['damaged', 'format'], `byte ${place}`).toContain(reason);
      }
    });
  });

  test('a file that the reader cannot decompress', () => {
    const file = fileOf(snapshot, deflate);
    expect(refusalOf(() => readSnapshot(file)).message).toContain(
      'compressed with deflate; the reader has nothing',
    );
    const broken: SnapshotCompressor = { ...deflate, decompress: () => new Uint8Array(3) };
    expect(refusalOf(() => readSnapshot(file, { compressor: broken })).reason).toBe('damaged');
  });

  test('content that makes no sense in spite of its checksum', () => {
    const random = randoms(11);
    const machine = startMachine();
    for (let round = 0; round < 60; round++) {
      const units = [...snapshot.units];
      const which = random(units.length);
      const bytes = Uint8Array.from(units[which].bytes);
      for (let n = 1 + random(3); n > 0; n--) bytes[random(Math.min(bytes.length, 600))] = random(256);
      units[which] = { name: units[which].name, bytes };
      try {
        machine.restore({ ...snapshot, units });
      } catch (error) {
        expect(error).toBeInstanceOf(SnapshotError);
        if ((error as SnapshotError).needsReset) machine.reset();
      }
    }
    machine.restore(snapshot);
    expect(runTo(machine)).toEqual({ reason: 'exit', exitCode: 33 });
  });

  test('what is found out too late: the machine says so, and must be reset', () => {
    const machine = startMachine();
    const scheduler = { version: 1, current: 2, left: 0, asleep: [false, false] };
    const units = snapshot.units.map((part) =>
      part.name === 'scheduler' ? { name: part.name, bytes: encodeValue(scheduler) } : part,
    );
    const refusal = refusalOf(() => machine.restore({ ...snapshot, units }));
    expect([refusal.unit, refusal.needsReset]).toEqual(['scheduler', true]);
    expect(machine.run(1)).toMatchObject({ reason: 'problem' });
    expect(refusalOf(() => machine.save()).reason).toBe('running');
    machine.reset();
    expect(runTo(machine)).toEqual({ reason: 'exit', exitCode: 33 });
  });
});

describe('values as bytes', () => {
  const values = [
    null,
    [true, false, 0, -1, 2 ** 31, -0.5, Number.NaN, Number.POSITIVE_INFINITY, -0, 'é', ''],
    { a: 1n, b: -(2n ** 70n), c: { d: [] } },
    [Uint8Array.of(1, 2), Int32Array.of(-1), Float64Array.of(0.1), new Uint16Array(0)],
  ];

  test('come back', () => {
    for (const value of values) expect(decodeValue(encodeValue(value))).toEqual(value);
    expect(decodeValue(encodeValue({ a: undefined }))).toEqual({});
  });

  test('are refused if they are none, and so are any other bytes', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const value of [() => 1, undefined, [Symbol('x')], cycle])
      expect(() => encodeValue(value)).toThrow(ValueError);
    const random = randoms(1);
    const good = encodeValue(values);
    for (let round = 0; round < 5000; round++) {
      const bytes = round % 2 === 0 ? Uint8Array.from(good) : new Uint8Array(random(60));
      for (let n = 1 + random(4); n > 0; n--) bytes[random(bytes.length || 1)] = random(256);
      try {
        decodeValue(bytes.subarray(0, round % 4 === 0 ? random(good.length) : undefined));
      } catch (error) {
        expect(error).toBeInstanceOf(ValueError);
      }
    }
  });
});
