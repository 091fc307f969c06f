export { memoryHash, stateHash } from '@nest86/cpu';
export { BareMachine, type BareMachineOptions, type MachineEnd } from './bare-machine.ts';
export { ImageError, isElf } from './load/elf.ts';
export { type BootImage, bootInformation, readBootImage } from './load/multiboot.ts';
