import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { chromeTrace } from '../src/trace/chrome-trace.ts';
import { TraceRecorder } from '../src/trace/recorder.ts';
import { nest86, type Outcome } from './fake-io.ts';
// The command is loaded when it is asked for; here, before the first test's time begins.
import '../src/commands/run.ts';

interface TraceEvent {
  readonly ph: string;
  readonly name?: string;
  readonly cat?: string;
  readonly pid: number;
  readonly tid?: number;
  readonly ts?: number;
  readonly s?: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

interface Trace {
  readonly otherData: { readonly forgottenEvents: number };
  readonly traceEvents: readonly TraceEvent[];
}

const textOf = (pieces: Iterable<Uint8Array>): string => Buffer.concat([...pieces]).toString();
const parse = (text: string): Trace => JSON.parse(text) as Trace;

/** What Perfetto asks of the file: known kinds of events, on named tracks, with times that never go back, each end with its beginning. */
function check({ traceEvents }: Trace, processors: number): void {
  const tracks = traceEvents.filter(({ ph, name }) => ph === 'M' && name === 'thread_name');
  expect(tracks.map(({ tid, args }) => [tid, args?.name])).toEqual(
    Array.from({ length: processors }, (_, i) => [i, `processor ${i}`]),
  );
  const last = Array(processors).fill(0);
  const depth = Array(processors).fill(0);
  for (const { ph, ts, tid = -1, name, cat, s, pid } of traceEvents) {
    if (ph === 'M') continue;
    expect(pid).toBe(1);
    expect(ts).toBeGreaterThanOrEqual(last[tid]);
    last[tid] = ts;
    if (ph === 'B') depth[tid]++;
    else if (ph === 'E') depth[tid]--;
    else expect([ph, s]).toEqual(['i', 't']);
    expect([0, 1]).toContain(depth[tid]);
    if (ph !== 'E') expect([name, cat]).toEqual([expect.stringMatching(/./), expect.stringMatching(/./)]);
  }
  expect(depth).toEqual(Array(processors).fill(0));
}

describe('nest86 run --trace', () => {
  const kernel = readFileSync(new URL('../../machine/test/harness/interrupts.bin', import.meta.url));
  const argv = ['run', '--kernel', 'a', '--memory', '4M', '--smp', '2', '--stats'];
  const run = (...options: string[]): Promise<Outcome> =>
    nest86([...argv, ...options], { files: { a: kernel } });
  const state = ({ stderr }: Outcome): string | undefined => /^state .*$/m.exec(stderr)?.[0];

  test('what happens on each processor; the same twice, and the guest does not notice', async () => {
    const first = await run('--trace', 'trace.json');
    const again = await run('--trace', 'trace.json');
    const without = await run();
    expect([first.code, without.code, state(first)]).toEqual([33, 33, state(without)]);
    const text = textOf([first.files['trace.json']]);
    expect(textOf([again.files['trace.json']]) === text).toBe(true);
    const trace = parse(text);
    check(trace, 2);
    const { traceEvents } = trace;
    const total = traceEvents.filter(({ ph }) => ph === 'i' || ph === 'B').length;
    expect(total).toBeGreaterThan(100);
    expect(trace.otherData.forgottenEvents).toBe(0);
    expect(first.stderr).toMatch(/^nest86: traced to trace\.json: \d+ events$/m);
    const names = new Set(traceEvents.map(({ tid, name }) => `${tid} ${name}`));
    expect([...names]).toEqual(expect.arrayContaining(['0 OUT port F4h', '0 local APIC write', '1 waits']));
    expect([...names].some((name) => /^1 interrupt [\dA-F]+h$/.test(name))).toBe(true);
  });

  test('exceptions, and what is compiled', async () => {
    const bench = readFileSync(new URL('../../../guests/bench/bench.elf', import.meta.url));
    const options = ['--append', 'only=page-fault scale=1 repeat=1', '--trace', 't'];
    const { files } = await nest86(['run', '--kernel', 'a', ...options], { files: { a: bench } });
    const trace = parse(textOf([files.t]));
    check(trace, 1);
    const fault = trace.traceEvents.find(({ name }) => name === '#PF');
    expect(fault).toMatchObject({
      cat: 'exception',
      tid: 0,
      args: { vector: 14, errorCode: expect.any(String) },
    });
    const region = trace.traceEvents.find(({ name }) => name === 'region compiled');
    expect(region?.args?.bytes).toBeGreaterThan(100);
  }, 20_000);

  test('a full disk', async () => {
    const options = ['--trace', 'trace.json', '--save', 'a.snap'];
    const { code, stderr } = await nest86([...argv, ...options], { files: { a: kernel }, room: 10 });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^nest86 run: trace\.json: cannot be written: no space left on the device$/m);
    expect((await run('--accel', 'lockstep', '--trace', 't')).code).toBe(2);
  });
});

describe('a trace', () => {
  test('keeps the last events, whatever the guest does', () => {
    const recorder = new TraceRecorder();
    recorder.slept(0, 0);
    for (let i = 0; i < 1_500_000; i++) recorder.port(0, i, 0x80, 1, true, i);
    recorder.woke(0, 1_500_000);
    recorder.slept(0, 1_500_001);
    expect(recorder.count).toBeLessThanOrEqual(1 << 20);
    expect(recorder.total).toBe(1_500_003);
    expect(recorder.total - recorder.count).toBeLessThan(1_500_003 - 15 * 65536);
    let pieces = 0;
    let tail = '';
    for (const piece of chromeTrace(recorder, 1, 1_500_005)) {
      pieces++;
      tail = Buffer.from(piece).toString();
    }
    expect(pieces).toBeGreaterThan(1000);
    // The end of a sleep whose beginning is forgotten is left out.
    expect(tail.trimEnd().split('\n').slice(-4)).toEqual([
      expect.stringContaining('"name":"OUT port 80h"'),
      '{"ph":"B","cat":"sleep","name":"waits","pid":1,"tid":0,"ts":1500.001},',
      '{"ph":"E","pid":1,"tid":0,"ts":1500.005}',
      ']}',
    ]);
  });

  test('says what an event was', () => {
    const recorder = new TraceRecorder();
    recorder.delivered(0, 1, 0x30, 0, -1);
    recorder.delivered(1, 2, 14, 3, 5);
    recorder.delivered(1, 3, 0x80, 4, -1);
    recorder.device(0, 4, 'a "name"', 0xf0, 4, false, -1);
    recorder.port(0, 5, 0x3f8, 1, true, 0x141);
    const { traceEvents } = parse(textOf(chromeTrace(recorder, 2, 9)));
    expect(traceEvents.slice(5).map(({ name, ts, tid, args }) => [name, ts, tid, args])).toEqual([
      ['interrupt 30h', 0.001, 0, { vector: 0x30 }],
      ['#PF', 0.002, 1, { vector: 14, errorCode: '5h' }],
      ['INT 80h', 0.003, 1, { vector: 0x80 }],
      ['a "name" read', 0.004, 0, { offset: 'F0h', bytes: 4, value: 'FFFFFFFFh' }],
      ['OUT port 3F8h', 0.005, 0, { bytes: 1, value: '41h' }],
    ]);
  });
});
