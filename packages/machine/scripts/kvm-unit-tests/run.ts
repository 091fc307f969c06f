import { Machine, type MachineEnd, type MachineOptions, readBootImage } from '../../src/index.ts';
import { leaveAsBios } from './bios.ts';
import { type Configuration, memorySize, parameter } from './configuration.ts';
import { processorOf } from './processor.ts';

export interface RunOptions extends Pick<MachineOptions, 'accel' | 'tlb' | 'seed'> {
  /** Behind the configuration's own `-cpu`, such as `,-pcid`. */
  readonly cpu: string;
  /** Of the host's processor. */
  readonly seconds: number;
  /** Retired by all processors together. */
  readonly instructions: number;
}

/** What became of one configuration. */
export interface Outcome {
  readonly name: string;
  readonly verdict: 'pass' | 'fail' | 'skip' | 'timeout';
  /** How it ended, in words. */
  readonly end: string;
  /** Lines of each kind. */
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Failures that the test expects. */
  readonly expected: number;
  readonly failures: readonly string[];
  readonly instructions: number;
  /** Of the host's processor. */
  readonly seconds: number;
  readonly text: string;
}

/** Exit codes by isa-debug-exit: 2 × code + 1. */
const exitPass = 1;
const exitSkip = 77;

/** Instructions between looks at the clock. */
const slice = 20_000_000;
/** Characters of a console that are kept. */
const longestText = 4 << 20;

/** Runs one image to its end or its limit. What a guest does never throws; a broken image does. */
export function runConfiguration(
  configuration: Configuration,
  image: Uint8Array,
  options: RunOptions,
): Outcome {
  const { name, file, processors } = configuration;
  const { model } = processorOf(parameter(configuration, '-cpu'), processors, options.cpu);
  const pieces: string[] = [];
  let length = 0;
  const machine = new Machine({
    // Those of SVM ask for 4 GiB, which does not fit beside the tables of the engine.
    memory: Math.min(memorySize(configuration), 2 ** 31),
    processors,
    cpuid: model,
    testDevice: true,
    serial: {
      write: (byte) => {
        if (length++ < longestText) pieces.push(String.fromCharCode(byte));
      },
    },
    ...(options.accel && { accel: options.accel }),
    ...(options.tlb && { tlb: options.tlb }),
    ...(options.seed && { seed: options.seed }),
  });
  // The APIC test calls KVM itself only where there is a test device.
  const noDevice = file === 'apic.flat' ? 'TEST_DEVICE=0\n' : '';
  const environment = new TextEncoder().encode(`NR_CPUS=${processors}\n${noDevice}`);
  machine.start(readBootImage(image, 'multiboot'), {
    commandLine: `${file} ${configuration.arguments}`.trim(),
    modules: [{ bytes: environment, commandLine: 'environment' }],
  });
  leaveAsBios(machine);
  const retired = (): number => machine.processors.reduce((sum, processor) => sum + processor.retired, 0);
  const started = process.cpuUsage();
  const elapsed = (): number => {
    const { user, system } = process.cpuUsage(started);
    return (user + system) / 1e6;
  };
  let end: MachineEnd;
  do end = machine.run(slice);
  while (end.reason === 'limit' && elapsed() < options.seconds && retired() < options.instructions);
  return { ...outcome(name, end, pieces.join('')), instructions: retired(), seconds: elapsed() };
}

function outcome(name: string, end: MachineEnd, text: string): Omit<Outcome, 'instructions' | 'seconds'> {
  const lines = text.split('\n').map((line) => line.trimEnd());
  const count = (kind: string): number => lines.filter((line) => line.startsWith(`${kind}: `)).length;
  const failures = lines.filter((line) =>
    /^(FAIL|XPASS): |Unhandled (CPU )?exception|assert failed/i.test(line),
  );
  return {
    name,
    verdict: verdictOf(end, failures.length),
    end: endText(end),
    passed: count('PASS'),
    failed: failures.length,
    skipped: count('SKIP'),
    expected: count('XFAIL') + count('KFAIL'),
    failures,
    text,
  };
}

function verdictOf(end: MachineEnd, failed: number): Outcome['verdict'] {
  if (end.reason === 'limit') return 'timeout';
  if (end.reason !== 'exit') return 'fail';
  if (end.exitCode === exitSkip) return 'skip';
  return end.exitCode === exitPass && failed === 0 ? 'pass' : 'fail';
}

function endText(end: MachineEnd): string {
  if (end.reason === 'exit') return `exit ${end.exitCode}`;
  return end.reason === 'problem' ? end.problem : end.reason;
}
