import {
  bareRequest,
  boardRequest,
  type CpuidModel,
  EngineOptionError,
  ImageError,
  LockstepMachine,
  Machine,
  type MachineEnd,
  type ProcessorView,
  SnapshotError,
  type VirtioDevice,
} from '@nest86/machine';
import { clearedText, resolveCpu } from '../cpu/cpu-option.ts';
import { Complaint, UsageError } from '../errors.ts';
import { PausableTime } from '../gdb/pausable-time.ts';
import type { TraceRecorder } from '../trace/recorder.ts';
import type { Console } from './console.ts';
import type { Beginning } from './guest-files.ts';
import type { RunValues } from './run-values.ts';
import type { ByteReceiver } from './terminal.ts';

/** What the command runs: a whole machine, or two bare ones in lockstep. */
export interface Guest {
  readonly processors: readonly ProcessorView[];
  /** The engine that compiles. */
  readonly engine: ProcessorView['processor']['engine'];
  /** Guest time, ns. */
  readonly clock: { readonly now: number } | undefined;
  readonly serial: ByteReceiver;
  readonly trace: TraceRecorder | undefined;
  /** For a debugger: the machine, and the host's time as it sees it. */
  readonly machine: Machine | undefined;
  readonly time: PausableTime;
  run(count: number): MachineEnd;
  reset(): void;
}

/** What a guest is made of. */
interface GuestParts {
  readonly beginning: Beginning;
  readonly devices: readonly VirtioDevice[];
  readonly trace: TraceRecorder | undefined;
}

/** @param warn told what the processor lacks beside what was asked */
export function makeGuest(
  values: RunValues,
  { beginning, devices, trace }: GuestParts,
  output: Console,
  warn: (text: string) => void,
): Guest {
  const { cpu, accel, smp } = values;
  if (cpu === 'help') throw new Error('the list of models is no guest');
  const isBare = accel === 'lockstep';
  const topology = { cores: smp };
  const resolved = resolveCpu(cpu, isBare ? bareRequest : { ...boardRequest, topology });
  warn(clearedText(resolved));
  try {
    return isBare
      ? lockstepGuest(values, resolved.model, beginning, output)
      : machineGuest({ values, accel, cpuid: resolved.model, beginning, devices, trace, output });
  } catch (error) {
    if (error instanceof EngineOptionError) throw new Complaint(error.message);
    if (error instanceof SnapshotError) throw new Complaint(`${values.restore}: ${error.message}`);
    if (error instanceof ImageError) throw new Complaint(`${values.kernel}: ${error.message}`);
    throw error;
  }
}

interface MachineParts extends GuestParts {
  readonly values: RunValues;
  readonly accel: 'jit' | 'interp';
  readonly cpuid: CpuidModel;
  readonly output: Console;
}

function machineGuest({ values, accel, cpuid, beginning, devices, trace, output }: MachineParts): Guest {
  const { memory, smp, tlb, seed, clock, append } = values;
  const time = new PausableTime(() => performance.now());
  const machine = new Machine({
    memory,
    processors: smp,
    cpuid,
    accel,
    tlb,
    seed,
    clock,
    hostTime: time.now,
    serial: output,
    devices,
    observes: observes(values),
    ...(trace === undefined ? {} : { observer: trace }),
  });
  if ('snapshot' in beginning) machine.restore(beginning.snapshot);
  else {
    const { image, initrd } = beginning;
    const modules = initrd === undefined ? [] : [{ bytes: initrd, commandLine: '' }];
    machine.start(image, { commandLine: append, modules });
  }
  const { engine, processors, pc } = machine;
  return {
    engine,
    processors,
    clock: machine.clock,
    serial: pc.serial,
    trace,
    machine,
    time,
    run: (count) => machine.run(count),
    reset: () => machine.reset(),
  };
}

function lockstepGuest(values: RunValues, cpuid: CpuidModel, beginning: Beginning, output: Console): Guest {
  const { memory, smp, tlb, seed, append, clock, initrd, disk, gdb, save, trace } = values;
  const further = [initrd, disk, gdb, save, trace].some((value) => value !== undefined);
  if (smp > 1 || further || 'snapshot' in beginning || clock === 'realtime')
    throw new UsageError(
      '--accel lockstep: no --smp, --initrd, --disk, --gdb, --clock realtime, --save, --restore, --trace go with it',
    );
  const machine = new LockstepMachine({ memory, output, tlb, seed, cpuid, observes: observes(values) });
  machine.load(beginning.image, append);
  const { candidate } = machine;
  return {
    engine: candidate.engine,
    processors: [candidate],
    clock: undefined,
    serial: { hasRoom: false, receive: () => {} },
    trace: undefined,
    machine: undefined,
    time: new PausableTime(() => performance.now()),
    run: (count) => machine.run(count),
    reset: () => {
      throw new Complaint(
        '--accel lockstep: the guest asks for a reset, which only one processor alone can do',
      );
    },
  };
}

function observes(values: RunValues): boolean {
  return values.profile || values['dump-region'] !== undefined;
}
