export { EngineOptionError, memoryHash, profileText, regionText, stateHash } from '@nest86/cpu';
export {
  CpuidFeatureError,
  CpuidModel,
  type CpuidModelInit,
  CpuidOptionError,
  type CpuModelData,
  cpuidEntries,
  cpuModels,
  type DynamicBits,
  type ModelRequest,
  type ResolvedModel,
  resolveModel,
} from '@nest86/cpuid';
export {
  type BlockStore,
  CopyOnWriteStore,
  SeededRandom,
  VirtioBlock,
  type VirtioDevice,
  VirtioEntropy,
} from '@nest86/devices';
export { BareMachine, type BareMachineOptions } from './bare-machine.ts';
export {
  bareRequest,
  boardFeatures,
  boardRequest,
  featuresOnRequest,
  findModel,
  furtherEngineFeatures,
  maxModel,
  modelNames,
} from './cpu-features.ts';
export { defaultFeatures, defaultModel } from './default-model.ts';
export type { BytePort } from './gdb/gdb-stub.ts';
export { type DebuggerEvents, MachineDebugger } from './gdb/machine-debugger.ts';
export { type BootImage, readBootImage } from './load/boot-image.ts';
export { type ElfSegment, ImageError } from './load/elf.ts';
export { LockstepMachine, type LockstepOptions } from './lockstep/lockstep-machine.ts';
export { Machine, type MachineOptions, type StartRequest } from './machine.ts';
export type { MachineEnd } from './machine-end.ts';
export {
  MachineMsrs,
  type MachineMsrsOptions,
  type MachineMsrsState,
  MsrSnapshotError,
  type UnknownMsr,
} from './msr/machine-msrs.ts';
export { Mtrrs, type MtrrsState } from './msr/mtrrs.ts';
export type { MachineObserver } from './observer.ts';
export { MachineOptionError } from './option-error.ts';
export { codeBytes, type ProcessorView } from './processors/code-bytes.ts';
export { deviceText, type SnapshotConfiguration } from './snapshot/configuration.ts';
export { SnapshotError, type SnapshotRefusal } from './snapshot/error.ts';
export { readSnapshot, type SnapshotCompressor, writeSnapshot } from './snapshot/file.ts';
export type { SnapshotPart } from './snapshot/ram-image.ts';
export type { Snapshot, SnapshotAbout } from './snapshot/snapshot.ts';
