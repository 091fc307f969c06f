import {
  boardRequest,
  type CpuidModel,
  EngineOptionError,
  ImageError,
  LockstepMachine,
  Machine,
  type MachineEnd,
  type MachineOptions,
  type ProcessorView,
  SnapshotError,
  type StartRequest,
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

/** What the command runs: a machine, or two in lockstep. */
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
  /** New devices at each call. */
  devices(): readonly VirtioDevice[];
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
  const resolved = resolveCpu(cpu, { ...boardRequest, topology: { cores: smp } });
  warn(clearedText(resolved));
  try {
    return accel === 'lockstep'
      ? lockstepGuest({ values, cpuid: resolved.model, beginning, devices, trace, output })
      : machineGuest({ values, cpuid: resolved.model, beginning, devices, trace, output }, accel);
  } catch (error) {
    if (error instanceof EngineOptionError) throw new Complaint(error.message);
    if (error instanceof SnapshotError) throw new Complaint(`${values.restore}: ${error.message}`);
    if (error instanceof ImageError) throw new Complaint(`${values.kernel}: ${error.message}`);
    throw error;
  }
}

interface MachineParts extends GuestParts {
  readonly values: RunValues;
  readonly cpuid: CpuidModel;
  readonly output: Console;
}

function machineGuest(
  { values, cpuid, beginning, devices, trace, output }: MachineParts,
  accel: 'jit' | 'interp',
): Guest {
  const time = new PausableTime(() => performance.now());
  const machine = new Machine({
    ...commonOptions(values, cpuid, output),
    accel,
    clock: values.clock,
    hostTime: time.now,
    devices: devices(),
    ...(trace === undefined ? {} : { observer: trace }),
  });
  if ('snapshot' in beginning) machine.restore(beginning.snapshot);
  else machine.start(beginning.image, startRequest(values, beginning.initrd));
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

function lockstepGuest({ values, cpuid, beginning, devices, trace, output }: MachineParts): Guest {
  if (values.clock === 'realtime')
    throw new UsageError('--accel lockstep: two machines are compared, which needs --clock deterministic');
  if ([values.gdb, values.save, trace].some((value) => value !== undefined) || 'snapshot' in beginning)
    throw new UsageError(
      '--accel lockstep: --gdb, --save, --restore and --trace do not go with it, there are two machines',
    );
  const machine = new LockstepMachine({ ...commonOptions(values, cpuid, output), devices });
  machine.start(beginning.image, startRequest(values, beginning.initrd));
  const { candidate } = machine;
  return {
    engine: candidate.engine,
    processors: candidate.processors,
    clock: candidate.clock,
    serial: {
      get hasRoom() {
        return candidate.pc.serial.hasRoom;
      },
      receive: (byte) => machine.receive(byte),
    },
    trace: undefined,
    machine: undefined,
    time: new PausableTime(() => performance.now()),
    run: (count) => machine.run(count),
    reset: () => machine.reset(),
  };
}

function commonOptions(
  values: RunValues,
  cpuid: CpuidModel,
  serial: Console,
): Pick<MachineOptions, 'memory' | 'processors' | 'cpuid' | 'tlb' | 'seed' | 'serial' | 'observes'> {
  const { memory, smp, tlb, seed } = values;
  const observes = values.profile || values['dump-region'] !== undefined;
  return { memory, processors: smp, cpuid, tlb, seed, serial, observes };
}

function startRequest({ append }: RunValues, initrd: Uint8Array | undefined): StartRequest {
  return { commandLine: append, modules: initrd === undefined ? [] : [{ bytes: initrd, commandLine: '' }] };
}
