import type { CpuChoice } from '../cpu/cpu-option.ts';

/** Options of `nest86 run` that a snapshot answers, where they were not given. */
export interface MachineSize {
  /** Bytes. */
  readonly memory: number;
  readonly smp: number;
  readonly clock: 'deterministic' | 'realtime';
}

/** Options of `nest86 run`, as they were given or with their defaults. */
export interface RunValues extends MachineSize {
  readonly kernel: string | undefined;
  /** File of a snapshot. */
  readonly restore: string | undefined;
  readonly initrd: string | undefined;
  readonly append: string;
  readonly cpu: CpuChoice | 'help';
  readonly disk: { readonly head: string } | undefined;
  readonly seed: number;
  readonly accel: 'jit' | 'interp' | 'lockstep';
  readonly tlb: 'set-associative' | 'exact' | 'chaos' | 'none';
  readonly stats: boolean;
  readonly profile: boolean;
  /** Linear address. */
  readonly 'dump-region': bigint | 'hot' | undefined;
  /** TCP port. */
  readonly gdb: number | undefined;
  /** File for an event trace. */
  readonly trace: string | undefined;
  /** File for a snapshot. */
  readonly save: string | undefined;
  /** Instructions of all processors. */
  readonly 'save-at': number | undefined;
  readonly 'no-reboot': boolean;
  readonly expect: string | undefined;
  /** Seconds. */
  readonly timeout: number | undefined;
}
