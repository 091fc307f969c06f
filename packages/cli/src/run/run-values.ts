import type { CpuChoice } from '../cpu/cpu-option.ts';

/** Options of `nest86 run`, as they were given or with their defaults. */
export interface RunValues {
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  readonly append: string;
  /** Bytes. */
  readonly memory: number;
  readonly smp: number;
  readonly cpu: CpuChoice | 'help';
  readonly disk: { readonly head: string } | undefined;
  readonly clock: 'deterministic' | 'realtime';
  readonly seed: number;
  readonly accel: 'jit' | 'interp' | 'lockstep';
  readonly tlb: 'set-associative' | 'exact' | 'chaos' | 'none';
  readonly stats: boolean;
  readonly profile: boolean;
  /** Linear address. */
  readonly 'dump-region': bigint | 'hot' | undefined;
  /** TCP port. */
  readonly gdb: number | undefined;
  readonly 'no-reboot': boolean;
  readonly expect: string | undefined;
  /** Seconds. */
  readonly timeout: number | undefined;
}
