import { BareMachine, ImageError, type MachineEnd, readBootImage } from '@nest86/machine';
import { type Command, defineCommand } from '../command.ts';
import { Complaint, ExitCode, UsageError } from '../errors.ts';
import type { ByteSource, Io } from '../io.ts';
import { flag, optional, type Values, withDefault } from '../options/schema.ts';
import { byteCount, choice, integer, text } from '../options/values.ts';
import { Console } from '../run/console.ts';
import { describeProcessor } from '../run/describe-processor.ts';
import { statisticsText } from '../run/statistics.ts';

const guest = 'Guest';
const engine = 'Engine';
const ending = 'Ending';

/** Longest RAM that fits the engine's memory beside its own tables. */
const memoryLimit = 3584 * 2 ** 20;

const options = {
  kernel: optional(text('a file name'), 'FILE', {
    group: guest,
    help: 'Start this multiboot or PVH image in 32-bit protected mode.',
  }),
  append: withDefault('', text('a command line'), 'TEXT', {
    group: guest,
    help: 'Command line for the kernel.',
  }),
  memory: withDefault(256 << 20, byteCount, 'SIZE', {
    group: guest,
    help: 'RAM, such as 64M or 1G. Default: 256M.',
  }),
  seed: withDefault(1, integer(0), 'N', { group: guest, help: 'Seed of RDRAND. Default: 1.' }),
  accel: withDefault<'jit' | 'interp'>('jit', choice({ jit: 'jit', interp: 'interp' }), 'NAME', {
    group: engine,
    help: 'jit compiles what is hot, interp nothing. Default: jit.',
  }),
  tlb: withDefault<'set-associative' | 'exact' | 'chaos' | 'none'>(
    'set-associative',
    choice({ 'set-associative': 'set-associative', exact: 'exact', chaos: 'chaos', none: 'none' }),
    'NAME',
    { group: engine, help: 'TLB: set-associative, exact, chaos or none. Default: set-associative.' },
  ),
  stats: flag({ group: engine, help: 'Print statistics at the end.' }),
  expect: optional(text('a text'), 'TEXT', {
    group: ending,
    help: 'Exit 0 as soon as this text has appeared on the console; 1 if the run ends without it.',
  }),
  timeout: optional(integer(1), 'SECONDS', { group: ending, help: 'Give up after so many seconds: exit 1.' }),
};

const notes = `
The serial port at 3F8h is this terminal. A write of N to port F4h ends the run with exit code 2 × N + 1.

Examples:
  nest86 run --kernel bench.elf --append only=sieve   one kernel of the benchmark guest
  nest86 run --kernel test.elf --expect PASS          for scripts

Exit codes: the guest's, by port F4h; 0 if it halted or what --expect names appeared; 1 at the timeout; 2 for wrong
options; 3 if it shut down (triple fault) or needs something that is not there: then the processor's state is printed.`;

export const runCommand: Command = defineCommand({ usage: ['--kernel FILE [OPTIONS]'], notes, options, run });

/** Instructions between looks at the clock. */
const slice = 20_000_000;

async function run(values: Values<typeof options>, positionals: readonly string[], io: Io): Promise<number> {
  const { kernel, append, memory, expect, timeout } = values;
  if (positionals.length > 0) throw new UsageError(`"${positionals[0]}": files are given by --kernel`);
  if (kernel === undefined) throw new UsageError('--kernel FILE is missing');
  if (memory % 65536 !== 0 || memory < 2 << 20 || memory > memoryLimit)
    throw new UsageError(`--memory ${memory}: multiples of 64K from 2M to 3584M are allowed`);
  const file = readAll(await io.openFile(kernel));
  const output = new Console(io.stdout, expect);
  const { accel, tlb, seed } = values;
  const machine = new BareMachine({ memory, output, accel, tlb, seed });
  try {
    machine.load(readBootImage(file), append);
  } catch (error) {
    if (error instanceof ImageError) throw new Complaint(`${kernel}: ${error.message}`);
    throw error;
  }
  const started = io.now();
  let end: MachineEnd | undefined;
  let isLate = false;
  do {
    end = machine.run(slice);
    await output.flush();
    isLate = timeout !== undefined && io.now() - started > timeout * 1000;
  } while (end.reason === 'limit' && !output.hasSeen && !isLate);
  if (values.stats) await io.stderr.write(statisticsText(machine, (io.now() - started) / 1000));
  if (output.hasSeen) return ExitCode.ok;
  if (end.reason === 'exit' && expect === undefined) return end.exitCode;
  if (end.reason === 'shutdown' || end.reason === 'problem') {
    const why = end.reason === 'problem' ? end.problem : 'the guest shut down (triple fault)';
    await io.stderr.write(`nest86: ${why}\n${describeProcessor(machine)}`);
    return ExitCode.guest;
  }
  if (expect !== undefined) await io.stderr.write(`nest86: "${expect}" did not appear\n`);
  else if (isLate) await io.stderr.write(`nest86: the guest still runs after ${timeout} s\n`);
  return expect !== undefined || isLate ? ExitCode.failed : ExitCode.ok;
}

function readAll(source: ByteSource): Uint8Array {
  const bytes = new Uint8Array(source.size);
  source.read(bytes, 0);
  source.close();
  return bytes;
}
