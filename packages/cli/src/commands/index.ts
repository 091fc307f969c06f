import type { Command } from '../command.ts';

/** A sub-command by name. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Loaded only when asked for: `nest86 --help` does not wait for the decoder's tables. */
  load(): Promise<Command>;
}

/** All sub-commands, in the order of the help. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'decode',
    summary: 'disassemble machine code: hexadecimal digits, an ELF file or raw bytes',
    load: async () => (await import('./decode.ts')).decodeCommand,
  },
  {
    name: 'run',
    summary: 'run a guest: Linux, or a multiboot or PVH image, with a serial console',
    load: async () => (await import('./run.ts')).runCommand,
  },
  {
    name: 'cpuid',
    summary: 'show what CPUID tells a guest: models of processors, in words or numbers',
    load: async () => (await import('./cpuid.ts')).cpuidCommand,
  },
  {
    name: 'snapshot',
    summary: 'show what a saved machine is: its configuration, and the size of each part',
    load: async () => (await import('./snapshot.ts')).snapshotCommand,
  },
];
