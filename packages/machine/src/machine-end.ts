/** Why a run of a machine ended. */
export type MachineEnd =
  /** The guest wrote to the exit port; `exitCode` is 2 × value + 1, as QEMU's isa-debug-exit has it. */
  | { readonly reason: 'exit'; readonly exitCode: number }
  /** The guest switched the machine off, or asked for a reset: `reset` begins anew. */
  | { readonly reason: 'poweroff' | 'reset' }
  /** All instructions of the run have retired, or somebody called `stop`: it goes on in the next run. */
  | { readonly reason: 'limit' }
  /** In real time: all processors wait; the next timer is due at `until`, in nanoseconds of guest time, or never. */
  | { readonly reason: 'idle'; readonly until: number }
  /** Halted with nothing that could wake it, or shut down by a triple fault. */
  | { readonly reason: 'halted' | 'shutdown' }
  /** Something that the engine cannot do. */
  | { readonly reason: 'problem'; readonly problem: string };
