/*
 * A boot that is interrupted must be the boot that is not: at random points a snapshot is taken; restored in a new process, compiled and interpreted, the machine must be at
 * the next point what it was there: each unit of the next snapshot, RAM and TLBs with it, byte by byte. By induction, each of them ends as the run without.
 *
 *   npm run conformance:snapshot -- --kernel FILE [--initrd FILE] [--append TEXT] [--points N] [--seed N] [--smp N] [--memory MIB] [--tlb NAME]
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import {
  CopyOnWriteStore,
  Machine,
  type MachineEnd,
  readBootImage,
  readSnapshot,
  SeededRandom,
  type Snapshot,
  type SnapshotCompressor,
  VirtioBlock,
  VirtioEntropy,
  writeSnapshot,
} from '../src/index.ts';

const deflate: SnapshotCompressor = {
  name: 'deflate',
  compress: (bytes) => deflateRawSync(bytes, { level: 1 }),
  decompress: (bytes, size) => inflateRawSync(bytes, { maxOutputLength: size }),
};
const diskBytes = 1 << 20;
/** Instructions between looks at the end; no point depends on it. */
const slice = 50_000_000;

const { values } = parseArgs({
  options: {
    kernel: { type: 'string' },
    initrd: { type: 'string' },
    append: { type: 'string', default: 'console=ttyS0 run=poweroff' },
    points: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
    smp: { type: 'string', default: '1' },
    memory: { type: 'string', default: '512' },
    tlb: { type: 'string', default: 'set-associative' },
    accel: { type: 'string', default: 'jit' },
    /** Of a child: the file to go on from, and the count to go on to. */
    restore: { type: 'string' },
    until: { type: 'string', default: 'Infinity' },
  },
});

type Tlb = 'set-associative' | 'exact' | 'chaos' | 'none';

function makeMachine(accel: string): Machine {
  const base = { size: diskBytes, read: (_offset: number, target: Uint8Array) => void target.fill(0) };
  return new Machine({
    memory: Number(values.memory) << 20,
    processors: Number(values.smp),
    accel: accel as 'jit' | 'interp',
    tlb: values.tlb as Tlb,
    serial: { write: () => {} },
    devices: [
      new VirtioBlock({ store: new CopyOnWriteStore(base) }),
      new VirtioEntropy(new SeededRandom(Number(values.seed))),
    ],
  });
}

function started(): Machine {
  const { kernel, initrd, append } = values;
  if (kernel === undefined) throw new Error('--kernel FILE is needed');
  const machine = makeMachine('jit');
  const modules = initrd === undefined ? [] : [{ bytes: readFileSync(initrd), commandLine: '' }];
  machine.start(readBootImage(readFileSync(kernel)), { commandLine: append, modules });
  return machine;
}

/** Instructions of all processors. */
function countOf(machine: Machine): number {
  return machine.processors.reduce((sum, { retired }) => sum + retired, 0);
}

/** Runs up to a count, or to the end. */
function runTo(machine: Machine, until: number): MachineEnd {
  for (;;) {
    const left = until - countOf(machine);
    if (left <= 0) return { reason: 'limit' };
    const end = machine.run(Math.min(left, slice));
    if (end.reason !== 'limit') return end;
  }
}

/** A checksum for each unit; parts of RAM are one. */
function digest({ units }: Snapshot, end: MachineEnd): Record<string, string> {
  const hashes = new Map<string, ReturnType<typeof createHash>>();
  for (const { name, bytes } of units) {
    const key = name.startsWith('ram') ? 'ram' : name;
    const hash = hashes.get(key) ?? createHash('sha1');
    hashes.set(key, hash.update(name).update(bytes));
  }
  const sums = [...hashes].map(([name, hash]) => [name, hash.digest('hex').slice(0, 16)] as const);
  return { ...Object.fromEntries(sums), 'end of the run': end.reason };
}

function write(path: string, snapshot: Snapshot): number {
  const file = openSync(path, 'w');
  let size = 0;
  for (const piece of writeSnapshot(snapshot, { compressor: deflate })) size += writeSync(file, piece);
  closeSync(file);
  return size;
}

function child(path: string, until: number, accel: string): Record<string, string> {
  const { memory, smp, tlb, seed } = values;
  const options = { memory, smp, tlb, seed, accel, restore: path, until: String(until) };
  const argv = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  const run = spawnSync(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), ...argv], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (run.status !== 0) throw new Error(`the child ended with ${run.status}`);
  return JSON.parse(run.stdout) as Record<string, string>;
}

/** Names of what is not equal. */
function different(a: Record<string, string>, b: Record<string, string>): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => a[name] !== b[name]);
}

/** Numbers below a limit, each once, ascending: xorshift (Marsaglia, 2003). */
function randomPoints(count: number, below: number, seed: number): number[] {
  const points = new Set<number>();
  let value = Math.imul(seed, 0x9e3779b1) | 1;
  while (points.size < Math.min(count, below - 1)) {
    value ^= value << 13;
    value ^= value >>> 17;
    value ^= value << 5;
    points.add(1 + ((value >>> 0) % (below - 1)));
  }
  return [...points].sort((a, b) => a - b);
}

function parent(): boolean {
  const plain = started();
  const plainEnd = runTo(plain, Number.POSITIVE_INFINITY);
  const total = countOf(plain);
  const whole = digest(plain.save(), plainEnd);
  console.log(`without snapshots: ${plainEnd.reason} after ${total} instructions`);
  const points = randomPoints(Number(values.points), total, Number(values.seed));
  const folder = mkdtempSync(join(tmpdir(), 'nest86-snapshot-'));
  let isEqual = true;
  const check = (what: string, wanted: Record<string, string>, got: Record<string, string>): void => {
    const names = different(wanted, got);
    if (names.length > 0) isEqual = false;
    console.log(`${what}: ${names.length === 0 ? 'equal' : `DIFFERENT: ${names.join(' ')}`}`);
  };
  try {
    const machine = started();
    const digests: Record<string, string>[] = [];
    for (const [i, point] of points.entries()) {
      const end = runTo(machine, point);
      const snapshot = machine.save();
      digests.push(digest(snapshot, end));
      const size = write(join(folder, `${i}`), snapshot);
      console.log(`snapshot at ${point}: ${(size / 2 ** 20).toFixed(1)} MiB`);
    }
    const end = runTo(machine, Number.POSITIVE_INFINITY);
    digests.push(digest(machine.save(), end));
    check('the run that was saved from time to time', whole, digests[points.length]);
    for (const accel of ['jit', 'interp'])
      for (const [i, point] of points.entries()) {
        const next = points[i + 1] ?? Number.POSITIVE_INFINITY;
        const got = child(join(folder, `${i}`), next, accel);
        check(`${accel}, from ${point} to ${points[i + 1] ?? 'the end'}`, digests[i + 1], got);
      }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return isEqual;
}

if (values.restore === undefined) process.exitCode = parent() ? 0 : 1;
else {
  const machine = makeMachine(values.accel);
  machine.restore(readSnapshot(readFileSync(values.restore), { compressor: deflate }));
  const end = runTo(machine, Number(values.until));
  console.log(JSON.stringify(digest(machine.save(), end)));
}
