export { EngineOptionError, memoryHash, profileText, regionText, stateHash } from '@nest86/cpu';
export { CpuidFeatureError, CpuidModel, type CpuidModelInit } from '@nest86/cpuid';
export {
  BareMachine,
  type BareMachineOptions,
  type MachineEnd,
  MachineOptionError,
} from './bare-machine.ts';
export { defaultFeatures, defaultModel } from './default-model.ts';
export { type ElfSegment, ImageError } from './load/elf.ts';
export { type BootImage, readBootImage } from './load/multiboot.ts';
export { LockstepMachine } from './lockstep/lockstep-machine.ts';
