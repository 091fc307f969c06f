import { type MachineEnd, profileText, regionText } from '@nest86/machine';
import { Complaint, ExitCode } from '../errors.ts';
import type { GdbServer } from '../gdb/serve-gdb.ts';
import type { Io, Wait } from '../io.ts';
import type { Console } from './console.ts';
import { describeProcessor } from './describe-processor.ts';
import type { Guest } from './guest.ts';
import { Pace } from './pace.ts';
import type { RunValues } from './run-values.ts';
import { statisticsText } from './statistics.ts';
import { Terminal } from './terminal.ts';

/** Lines of a profile. */
const profileLines = 40;
/** Most instructions between looks at console and keyboard. In deterministic time it is this number always: what a guest is given does not depend on the host's speed. */
const slice = 5_000_000;
/** Milliseconds of a wait in which nothing is due. */
const longestWait = 1000;

/** Runs a guest, tells what was asked about the run, and answers the exit code. */
export async function runSession(guest: Guest, output: Console, values: RunValues, io: Io): Promise<number> {
  const started = io.now();
  const before = retiredBy(guest);
  const result = await runGuest(guest, output, values, io);
  await report(guest, values, { seconds: (io.now() - started) / 1000, before }, io);
  const exitCode = await exitCodeOf(result, guest, values, io);
  await writeTrace(guest, values.trace, io);
  await saveAtEnd(guest, values, io);
  return exitCode;
}

async function writeTrace(
  { trace, processors, clock }: Guest,
  path: string | undefined,
  io: Io,
): Promise<void> {
  if (path === undefined || trace === undefined) return;
  const { chromeTrace } = await import('../trace/chrome-trace.ts');
  io.writeFile(path, chromeTrace(trace, processors.length, clock?.now ?? 0));
  const which = trace.total > trace.count ? `the last ${trace.count} of ` : '';
  await io.stderr.write(`nest86: traced to ${path}: ${which}${trace.total} events\n`);
}

async function saveAtEnd(guest: Guest, values: RunValues, io: Io): Promise<void> {
  const { save, 'save-at': at } = values;
  if (save === undefined) return;
  if (at === undefined) await saveGuest(guest, save, io);
  else if (retiredBy(guest) < at)
    throw new Complaint(
      `${save}: nothing was saved: the run ended after ${retiredBy(guest)} instructions, before --save-at ${at}`,
    );
}

async function saveGuest({ machine }: Guest, path: string, io: Io): Promise<void> {
  if (machine === undefined) return;
  const { saveMachine } = await import('../snapshot/save.ts');
  await saveMachine(machine, path, io);
}

/** Instructions of all processors. */
function retiredBy({ processors }: Guest): number {
  return processors.reduce((sum, { processor }) => sum + processor.retired, 0);
}

/** How a run of the command ended. */
interface Result {
  readonly end: MachineEnd;
  readonly hasSeen: boolean;
  readonly isLate: boolean;
}

/** Runs until the guest ends, or nobody wants it to go on. */
async function runGuest(guest: Guest, output: Console, values: RunValues, io: Io): Promise<Result> {
  const { timeout, save } = values;
  /** Instructions at which the machine is saved, if that is still to come. */
  let saveAt = save === undefined ? undefined : values['save-at'];
  const terminal = new Terminal((text) => void io.stderr.write(text), io.isKeyboard);
  let wait: Wait | undefined;
  const input = io.listen((bytes) => {
    terminal.type(bytes);
    wait?.end();
  });
  const deadline = timeout === undefined ? Number.POSITIVE_INFINITY : io.now() + timeout * 1000;
  const pace = new Pace(
    {
      run: (count) => guest.run(count),
      get retired() {
        return retiredBy(guest);
      },
    },
    slice,
    io.now,
  );
  const isOver = (): boolean => io.now() > deadline || terminal.hasQuit;
  const rest = (): Promise<void> => io.wait(0).over;
  const run = async (count: number): Promise<MachineEnd> => {
    if (values.clock === 'realtime' || gdb !== undefined) return pace.run(count);
    // Where a stay in compiled code ends may shift what is compiled when, which a trace shows.
    if (guest.trace !== undefined) return guest.run(count);
    return await pace.runAll(count, isOver, rest);
  };
  const gdb = await debuggerOf(guest, values.gdb, () => wait?.end());
  let exitCode: number | undefined;
  try {
    for (;;) {
      const isStopped = gdb?.poll() === 'stopped';
      const isFed = terminal.feed(guest.serial);
      const limit = saveAt === undefined ? slice : Math.min(slice, saveAt - retiredBy(guest));
      let end: MachineEnd = { reason: 'limit' };
      if (!isStopped) end = await run(limit);
      await output.flush();
      if (save !== undefined && saveAt !== undefined && retiredBy(guest) >= saveAt) {
        saveAt = undefined;
        await saveGuest(guest, save, io);
      }
      const isLate = io.now() > deadline;
      const hasQuit = terminal.hasQuit || gdb?.poll() === 'quit';
      if (output.hasSeen || isLate || hasQuit) return { end, hasSeen: output.hasSeen, isLate };
      const goesOn = !isStopped && gdb?.ran(end) === true;
      if (end.reason === 'reset' && !values['no-reboot']) guest.reset();
      else if (!goesOn && end.reason !== 'limit' && end.reason !== 'idle') {
        // A guest that waits for a key is not at its end.
        if (end.reason !== 'halted' || !(io.isKeyboard || isFed)) {
          exitCode = end.reason === 'exit' ? end.exitCode : 0;
          return { end, hasSeen: false, isLate };
        }
      }
      wait = io.wait(gdb?.poll() === 'stopped' ? longestWait : pauseOf(end, guest, isFed));
      await wait.over;
    }
  } finally {
    input.stop();
    gdb?.close(exitCode);
  }
}

/** @param changed called when the run loop should look again */
async function debuggerOf(
  { machine, time }: Guest,
  port: number | undefined,
  changed: () => void,
): Promise<GdbServer | undefined> {
  if (port === undefined || machine === undefined) return undefined;
  let server: GdbServer | undefined;
  const { serveGdb } = await import('../gdb/serve-gdb.ts');
  server = await serveGdb(machine, port, {
    changed: () => {
      time.pause(server?.poll() === 'stopped');
      changed();
    },
  });
  return server;
}

/** Milliseconds in which nothing is to be done. */
function pauseOf(end: MachineEnd, { clock }: Guest, isFed: boolean): number {
  if (isFed) return 0;
  if (end.reason === 'halted') return longestWait;
  if (end.reason !== 'idle' || clock === undefined) return 0;
  return Math.min(longestWait, Math.max(0, (end.until - clock.now) / 1e6));
}

async function report(
  { processors, engine }: Guest,
  values: RunValues,
  { seconds, before }: { readonly seconds: number; readonly before: number },
  io: Io,
): Promise<void> {
  const region = values['dump-region'];
  if (values.stats) await io.stderr.write(statisticsText(engine, processors, seconds, before));
  if (values.profile) await io.stderr.write(`\n${profileText(engine, profileLines)}`);
  if (region !== undefined) await io.stderr.write(`\n${regionText(engine, region) ?? noRegion(region)}`);
}

function noRegion(wanted: bigint | 'hot'): string {
  return wanted === 'hot'
    ? 'no region was compiled\n'
    : `no region that was compiled holds ${wanted.toString(16)}\n`;
}

async function exitCodeOf(
  { end, hasSeen, isLate }: Result,
  guest: Guest,
  values: RunValues,
  io: Io,
): Promise<number> {
  const { expect, timeout } = values;
  if (hasSeen) return ExitCode.ok;
  if (end.reason === 'exit' && expect === undefined) return end.exitCode;
  if (end.reason === 'shutdown' || end.reason === 'problem') {
    const why = end.reason === 'problem' ? end.problem : 'the guest shut down (triple fault)';
    await io.stderr.write(`nest86: ${why}\n${describeProcessor(guest.processors)}`);
    return ExitCode.guest;
  }
  if (expect !== undefined) await io.stderr.write(`nest86: "${expect}" did not appear\n`);
  else if (isLate) await io.stderr.write(`nest86: the guest still runs after ${timeout} s\n`);
  return expect !== undefined || isLate ? ExitCode.failed : ExitCode.ok;
}
