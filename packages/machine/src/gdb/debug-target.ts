/*
 * What the gdb stub asks of whoever it debugs. Threads are processors, numbered from 1; addresses are linear, as the processor that is asked sees
 * them at the moment.
 */

export type DebugStopKind = 'software' | 'hardware' | 'write' | 'read' | 'access';

/** A breakpoint (`software` and `hardware` differ in name only) or a watched range. */
export interface DebugStop {
  readonly kind: DebugStopKind;
  readonly address: bigint;
  /** Of a breakpoint without meaning. */
  readonly bytes: number;
}

/** Why everything stands still. */
export type StopReport =
  /** At a breakpoint: ahead of the instruction; of watched data: behind it. `address` is the stop's own. */
  | { readonly kind: DebugStopKind; readonly thread: number; readonly address: bigint }
  /** `problem`: something that the engine cannot do; `breakpoint` of which `RIP` is not the linear address, as in 16-bit code. */
  | {
      readonly kind: 'step' | 'breakpoint' | 'interrupt' | 'shutdown' | 'problem';
      readonly thread: number;
    };

/** Who goes on. */
export interface ResumePlan {
  /** The thread of which an instruction, or the delivery of an event, is the end; 0: none. */
  readonly step: number;
  /** Whether a thread goes on beside. */
  readonly continues: (thread: number) => boolean;
}

/** A register as gdb knows it. */
export interface RegisterDescription {
  readonly name: string;
  readonly bits: number;
  /** In the target description. */
  readonly type: string;
}

export interface DebugTarget {
  readonly threads: number;
  /** The thread that runs, or ran last. */
  readonly current: number;
  /** Of the target description, XML. */
  readonly description: string;
  /** By number, in the order of the description. */
  readonly registers: readonly RegisterDescription[];
  /** One line about a thread. */
  describeThread(thread: number): string;
  readRegister(thread: number, number: number): bigint;
  /** False if the register cannot have this value, or cannot be written at all. */
  writeRegister(thread: number, number: number, value: bigint): boolean;
  /** Up to where nothing is mapped, or no RAM. Devices are not read. @param isPhysical the address is one of RAM */
  readMemory(thread: number, address: bigint, length: number, isPhysical: boolean): Uint8Array;
  /** All or nothing; pages that the guest may not write are written, too. */
  writeMemory(thread: number, address: bigint, bytes: Uint8Array, isPhysical: boolean): boolean;
  /** The breakpoints and watched ranges of all threads, from now on. */
  setStops(stops: readonly DebugStop[]): void;
  resume(plan: ResumePlan): void;
  /** What `monitor` is for: answers what is printed. */
  command(thread: number, text: string): string;
}
