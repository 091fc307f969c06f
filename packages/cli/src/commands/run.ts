import {
  BareMachine,
  type BareMachineOptions,
  bareRequest,
  EngineOptionError,
  ImageError,
  LockstepMachine,
  type MachineEnd,
  profileText,
  readBootImage,
  regionText,
} from '@nest86/machine';
import { type Command, defineCommand } from '../command.ts';
import {
  type CpuChoice,
  clearedText,
  cpuChoice,
  defaultCpu,
  modelList,
  resolveCpu,
} from '../cpu/cpu-option.ts';
import { Complaint, ExitCode, UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { flag, optional, type Values, withDefault } from '../options/schema.ts';
import {
  address,
  byteCount,
  choice,
  integer,
  text,
  ValueError,
  type ValueParser,
} from '../options/values.ts';
import { Console } from '../run/console.ts';
import { describeProcessor } from '../run/describe-processor.ts';
import { statisticsText } from '../run/statistics.ts';

const guest = 'Guest';
const engine = 'Engine';
const ending = 'Ending';

/** Most RAM that fits the engine's memory beside its own tables. */
const memoryLimit = 3584 * 2 ** 20;

/** An address, or the region that ran most. */
const regionChoice: ValueParser<bigint | 'hot'> = (text) => {
  if (text === 'hot') return text;
  try {
    return address(text);
  } catch {
    throw new ValueError('hot, or an address such as 0x100040, is allowed');
  }
};

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
  cpu: withDefault<CpuChoice | 'help'>(defaultCpu, cpuChoice, 'MODEL', {
    group: guest,
    help: `Processor, with features added or taken away: zen4,+movdiri,-avx2. "help" lists the models, \`nest86 cpuid\` shows them. Default: ${defaultCpu.data.name}.`,
  }),
  seed: withDefault(1, integer(1, 0xffff_ffff), 'N', { group: guest, help: 'Seed of RDRAND. Default: 1.' }),
  accel: withDefault<'jit' | 'interp' | 'lockstep'>(
    'jit',
    choice({ jit: 'jit', interp: 'interp', lockstep: 'lockstep' }),
    'NAME',
    {
      group: engine,
      help: 'jit compiles what is hot, interp nothing, lockstep does both and stops where they differ. Default: jit.',
    },
  ),
  tlb: withDefault<'set-associative' | 'exact' | 'chaos' | 'none'>(
    'set-associative',
    choice({ 'set-associative': 'set-associative', exact: 'exact', chaos: 'chaos', none: 'none' }),
    'NAME',
    { group: engine, help: 'TLB: set-associative, exact, chaos or none. Default: set-associative.' },
  ),
  stats: flag({ group: engine, help: 'Print statistics at the end.' }),
  profile: flag({
    group: engine,
    help: 'Print which code the guest ran most, at the end. Costs a few per cent.',
  }),
  'dump-region': optional(regionChoice, 'ADDRESS', {
    group: engine,
    help: 'Print guest code beside the WebAssembly it became, at the end: of the region that holds this linear address, or "hot".',
  }),
  expect: optional(text('a text'), 'TEXT', {
    group: ending,
    help: 'Exit 0 as soon as this text has appeared on the console; 1 if the run ends without it.',
  }),
  timeout: optional(integer(1, 1_000_000), 'SECONDS', {
    group: ending,
    help: 'Give up after so many seconds: exit 1.',
  }),
};

const notes = `
The serial port at 3F8h is this terminal. A write of N to port F4h ends the run with exit code 2 × N + 1.

Examples:
  nest86 run --kernel bench.elf --append only=sieve     one kernel of the benchmark guest
  nest86 run --kernel test.elf --expect PASS            for scripts
  nest86 run --kernel test.elf --cpu x86-64-v3,-avx     on a processor without AVX

Exit codes: the guest's, by port F4h; 0 if it halted or what --expect names appeared; 1 at the timeout; 2 for wrong
options; 3 if it shut down (triple fault) or needs something that is not there: then the processor's state is printed.`;

export const runCommand: Command = defineCommand({ usage: ['--kernel FILE [OPTIONS]'], notes, options, run });

/** Lines of a profile. */
const profileLines = 40;

function noRegion(wanted: bigint | 'hot'): string {
  return wanted === 'hot'
    ? 'no region was compiled\n'
    : `no region that was compiled holds ${wanted.toString(16)}\n`;
}

/** Instructions between looks at the clock. */
const slice = 20_000_000;

async function run(values: Values<typeof options>, positionals: readonly string[], io: Io): Promise<number> {
  const { kernel, append, memory, expect, timeout } = values;
  if (values.cpu === 'help') {
    await io.stdout.write(modelList());
    return ExitCode.ok;
  }
  if (positionals.length > 0) throw new UsageError(`"${positionals[0]}": files are given by --kernel`);
  if (kernel === undefined) throw new UsageError('--kernel FILE is missing');
  if (memory % 65536 !== 0 || memory < 2 << 20 || memory > memoryLimit)
    throw new UsageError(`--memory ${memory}: multiples of 64K from 2M to 3584M are allowed`);
  const file = await readImage(kernel, memory, io);
  const output = new Console(io.stdout, expect);
  const { accel, tlb, seed } = values;
  const cpu = resolveCpu(values.cpu, bareRequest);
  await io.stderr.write(clearedText(cpu));
  const machine = newMachine(accel, {
    memory,
    output,
    tlb,
    seed,
    observes: values.profile || values['dump-region'] !== undefined,
    cpuid: cpu.model,
  });
  const region = values['dump-region'];
  const shown = machine instanceof LockstepMachine ? machine.candidate : machine;
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
  if (values.stats) await io.stderr.write(statisticsText(shown, (io.now() - started) / 1000));
  if (values.profile) await io.stderr.write(`\n${profileText(shown.engine, profileLines)}`);
  if (region !== undefined)
    await io.stderr.write(`\n${regionText(shown.engine, region) ?? noRegion(region)}`);
  if (output.hasSeen) return ExitCode.ok;
  if (end.reason === 'exit' && expect === undefined) return end.exitCode;
  if (end.reason === 'shutdown' || end.reason === 'problem') {
    const why = end.reason === 'problem' ? end.problem : 'the guest shut down (triple fault)';
    await io.stderr.write(`nest86: ${why}\n${describeProcessor(shown)}`);
    return ExitCode.guest;
  }
  if (expect !== undefined) await io.stderr.write(`nest86: "${expect}" did not appear\n`);
  else if (isLate) await io.stderr.write(`nest86: the guest still runs after ${timeout} s\n`);
  return expect !== undefined || isLate ? ExitCode.failed : ExitCode.ok;
}

function newMachine(
  accel: 'jit' | 'interp' | 'lockstep',
  options: BareMachineOptions,
): BareMachine | LockstepMachine {
  try {
    return accel === 'lockstep' ? new LockstepMachine(options) : new BareMachine({ ...options, accel });
  } catch (error) {
    throw error instanceof EngineOptionError ? new Complaint(error.message) : error;
  }
}

async function readImage(path: string, memory: number, io: Io): Promise<Uint8Array> {
  const source = await io.openFile(path);
  try {
    if (source.size > memory)
      throw new Complaint(`${path}: ${source.size} bytes do not fit the guest's ${memory} (--memory)`);
    const bytes = new Uint8Array(source.size);
    return bytes.subarray(0, source.read(bytes, 0));
  } finally {
    source.close();
  }
}
