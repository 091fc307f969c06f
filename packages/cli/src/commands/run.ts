import { deviceText, type Snapshot } from '@nest86/machine';
import { type Command, defineCommand } from '../command.ts';
import { type CpuChoice, cpuChoice, defaultCpu, modelList } from '../cpu/cpu-option.ts';
import { Complaint, ExitCode, UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { keyValues } from '../options/key-values.ts';
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
import { type Guest, makeGuest } from '../run/guest.ts';
import { openDevices, openKernel } from '../run/guest-files.ts';
import type { MachineSize, RunValues } from '../run/run-values.ts';
import { runSession } from '../run/session.ts';
import type { TraceRecorder } from '../trace/recorder.ts';

const guest = 'Guest';
const engine = 'Engine';
const ending = 'Ending';

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
    help: 'Start this kernel: a Linux bzImage, or a PVH or multiboot image.',
  }),
  initrd: optional(text('a file name'), 'FILE', {
    group: guest,
    help: "Linux's initial RAM disk, or a multiboot module.",
  }),
  append: withDefault('', text('a command line'), 'TEXT', {
    group: guest,
    help: 'Command line for the kernel.',
  }),
  restore: optional(text('a file name'), 'FILE', {
    group: guest,
    help: 'Go on from this snapshot instead of starting a kernel. --memory, --smp and --clock are what they were; --cpu, --disk and --tlb must be given as they were.',
  }),
  memory: optional(byteCount, 'SIZE', {
    group: guest,
    help: 'RAM, such as 64M or 1G. Default: 256M.',
  }),
  smp: optional(integer(1, 64), 'N', { group: guest, help: 'Processors, 1 to 64. Default: 1.' }),
  cpu: withDefault<CpuChoice | 'help'>(defaultCpu, cpuChoice, 'MODEL', {
    group: guest,
    help: `Processor, with features added or taken away: zen4,+movdiri,-avx2. "help" lists the models, \`nest86 cpuid\` shows them. Default: ${defaultCpu.data.name}.`,
  }),
  disk: optional(keyValues({ head: 'FILE', keys: { format: choice({ raw: 'raw' }) } }), 'FILE', {
    group: guest,
    help: 'A disk (virtio-blk, /dev/vda in Linux). What the guest writes stays in memory; the file is only read. FILE,format=raw.',
  }),
  clock: optional<'deterministic' | 'realtime'>(
    choice({ deterministic: 'deterministic', realtime: 'realtime' }),
    'NAME',
    {
      group: guest,
      help: 'deterministic: an instruction takes a nanosecond, waiting takes none, each run is the same. realtime: the time of this computer. Default: deterministic.',
    },
  ),
  seed: withDefault(1, integer(1, 0xffff_ffff), 'N', {
    group: guest,
    help: 'Seed of RDRAND and the virtio entropy device. Default: 1.',
  }),
  accel: withDefault<'jit' | 'interp' | 'lockstep'>(
    'jit',
    choice({ jit: 'jit', interp: 'interp', lockstep: 'lockstep' }),
    'NAME',
    {
      group: engine,
      help: 'jit compiles what is hot, interp nothing, lockstep runs two machines, one each, and stops where they differ (three times the memory; not with --clock realtime). Default: jit.',
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
  trace: optional(text('a file name'), 'FILE', {
    group: engine,
    help: 'Write the last million events (interrupts, exceptions, accesses to devices, waiting, compilations) over guest time, as JSON that https://ui.perfetto.dev opens.',
  }),
  gdb: optional(integer(1, 65535), 'PORT', {
    group: engine,
    help: 'Wait for gdb (`target remote :PORT`) before the first instruction. Programs of this computer only.',
  }),
  save: optional(text('a file name'), 'FILE', {
    group: ending,
    help: 'Write a snapshot of the machine to this file when the run ends, however it ends.',
  }),
  'save-at': optional(integer(1), 'COUNT', {
    group: ending,
    help: 'Write it when the processors have retired so many instructions, and run on.',
  }),
  'no-reboot': flag({
    group: ending,
    help: 'Exit 0 when the guest asks for a reset, instead of starting anew.',
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
The serial port at 3F8h is this terminal: Ctrl-A x quits, Ctrl-A h tells more. A write of N to port F4h ends the run
with exit code 2 × N + 1.

Examples:
  nest86 run --kernel bench.elf --append only=sieve     one kernel of the benchmark guest
  nest86 run --kernel test.elf --expect PASS            for scripts
  nest86 run --kernel test.elf --cpu x86-64-v3,-avx     on a processor without AVX
  nest86 run --kernel vmlinuz --initrd initrd.cpio --append console=ttyS0 --clock realtime
                                                        Linux, with a shell on this terminal
  nest86 run --kernel vmlinuz --append "console=ttyS0 root=/dev/vda" --disk root.img --smp 4
                                                        Linux on 4 processors, with a disk
  nest86 run --kernel vmlinuz --initrd initrd.cpio --append console=ttyS0 --expect "root# " --save shell.snap
  nest86 run --restore shell.snap                       from the prompt on, without the boot

Exit codes: the guest's, by port F4h; 0 if it switched off or halted, or what --expect names appeared; 1 at the
timeout; 2 for wrong options; 3 if it shut down (triple fault) or needs something that is not there: then the
processor's state is printed.`;

export const runCommand: Command = defineCommand({
  usage: ['--kernel FILE [OPTIONS]', '--restore FILE [OPTIONS]'],
  notes,
  options,
  run,
});

/** Of virtio disks (virtio 1.2, 5.2). */
const diskType = 2;
/** Most RAM that fits the engine's memory beside its own tables. */
const memoryLimit = 3584 * 2 ** 20;

const defaultSize: MachineSize = { memory: 256 << 20, smp: 1, clock: 'deterministic' };

async function run(given: Values<typeof options>, positionals: readonly string[], io: Io): Promise<number> {
  if (given.cpu === 'help') {
    await io.stdout.write(modelList());
    return ExitCode.ok;
  }
  if (positionals.length > 0) throw new UsageError(`"${positionals[0]}": files are given by --kernel`);
  checkTogether(given);
  for (const path of [given.save, given.trace]) if (path !== undefined) io.checkWritable(path);
  const { values, guest, output, close } = await prepare(given, io);
  try {
    return await runSession(guest, output, values, io);
  } finally {
    close();
  }
}

/** What cannot be given together. @throws UsageError */
function checkTogether(given: Values<typeof options>): void {
  const { kernel, restore, initrd, append, memory } = given;
  if (kernel === undefined && restore === undefined)
    throw new UsageError('--kernel FILE is missing, or --restore FILE');
  if (restore !== undefined && (kernel !== undefined || initrd !== undefined || append !== ''))
    throw new UsageError('--restore: no --kernel, --initrd, --append go with it: they are in the snapshot');
  if (given['save-at'] !== undefined && given.save === undefined)
    throw new UsageError('--save-at: --save FILE is missing');
  if (memory !== undefined && (memory % 65536 !== 0 || memory < 2 << 20 || memory > memoryLimit))
    throw new UsageError(`--memory ${memory}: multiples of 64K from 2M to 3584M are allowed`);
}

interface Prepared {
  readonly values: RunValues;
  readonly guest: Guest;
  readonly output: Console;
  close(): void;
}

/** Makes the guest. A function of its own: nothing keeps hold of a snapshot, as large as the guest's RAM, while the guest runs. */
async function prepare(given: Values<typeof options>, io: Io): Promise<Prepared> {
  const { kernel, restore, initrd, disk, seed, expect } = given;
  const restored = restore === undefined ? undefined : await openRestored(restore, given, io);
  const size = restored?.size ?? defaultSize;
  const { memory = size.memory, smp = size.smp, clock = size.clock } = given;
  const values: RunValues = { ...given, memory, smp, clock };
  const beginning = restored ?? (await openKernel(kernel ?? '', initrd, memory, io));
  const { devices, close } = await openDevices(disk?.head, seed, io);
  const trace = given.trace === undefined ? undefined : await recorder();
  try {
    const output = new Console(io.stdout, expect);
    let warning = '';
    const guest = makeGuest(values, { beginning, devices, trace }, output, (text) => (warning += text));
    if (warning !== '') await io.stderr.write(warning);
    return { values, guest, output, close };
  } catch (error) {
    close();
    throw error;
  }
}

async function recorder(): Promise<TraceRecorder> {
  const { TraceRecorder } = await import('../trace/recorder.ts');
  return new TraceRecorder();
}

/** A snapshot, and what it says of its machine. @throws Complaint */
async function openRestored(
  path: string,
  given: Values<typeof options>,
  io: Io,
): Promise<{ readonly snapshot: Snapshot; readonly size: MachineSize }> {
  const { openSnapshot } = await import('../snapshot/read.ts');
  const { snapshot } = await openSnapshot(path, io);
  const { configuration, retired } = snapshot;
  const { memory, processors: smp, clock, devices } = configuration;
  const disk = devices.find(({ type }) => type === diskType);
  if (disk !== undefined && given.disk === undefined)
    throw new Complaint(
      `${path}: the machine that was saved has a ${deviceText(disk)}: --disk FILE is missing`,
    );
  const count = retired.reduce((sum, one) => sum + one, 0);
  const at = given['save-at'];
  if (at !== undefined && at <= count)
    throw new UsageError(`--save-at ${at}: the snapshot is at ${count} instructions already`);
  return { snapshot, size: { memory, smp, clock } };
}
