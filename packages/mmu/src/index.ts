export { MemoryMapError, PagingOptionError, SnapshotError, TlbOptionError } from './errors.ts';
export { Fast, Mmu, type MmuParts } from './mmu.ts';
export {
  Access,
  denied,
  patIndexShift,
  protectionKeyShift,
  Rights,
  stageIgnorePat,
  stageMemoryTypeShift,
  stagePresent,
} from './paging/access.ts';
export { cr0Faults, cr3Faults, cr4Faults, invpcidFaults, isCanonical } from './paging/checks.ts';
export {
  hostOwner,
  PagingContext,
  type PagingRegisters,
  pagingMode,
  type TlbOwner,
} from './paging/context.ts';
export { PagingModel, type PagingModelInit } from './paging/model.ts';
export { Cr0, Cr4, Efer, PageFaultCode, PagingMode, Pte } from './paging/registers.ts';
export { DirtyTracker, PageWatch, type WriteObserver } from './physical-memory/page-watch.ts';
export {
  type MemoryListener,
  PhysicalMemory,
  type PhysicalMemoryInit,
} from './physical-memory/physical-memory.ts';
export {
  type BackedRegion,
  type MmioHandler,
  type MmioRegion,
  PageKind,
  pageSize,
  type Region,
  type RegionHandle,
  type ReservedRegion,
} from './physical-memory/regions.ts';
export {
  type TranslateOptions,
  type TranslationReport,
  translate,
  type WalkStep,
} from './report/translate.ts';
export {
  type HypervisorFlush,
  type ImplicitFlush,
  type InitFlush,
  Invept,
  Invpcid,
  Invvpid,
  type TlbBackend,
  type TlbListener,
  type TlbSnapshot,
} from './tlb/backend.ts';
export {
  type ChaosOptions,
  ChaosTlb,
  createTlb,
  type ExactOptions,
  ExactTlb,
  NoTlb,
  type NoTlbOptions,
  type SetAssociativeOptions,
  SetAssociativeTlb,
  type TlbName,
  type TlbOptions,
} from './tlb/backends.ts';
export { type ContextTag, Stage } from './tlb/contexts.ts';
export { TlbEntry, type WalkCaches } from './tlb/entry.ts';
export type { TaggedTlbOptions } from './tlb/tagged-tlb.ts';
export type { WalkObserver } from './walk/observer.ts';
export { PageWalker } from './walk/page-walker.ts';
export {
  type Ept,
  EptViolation,
  eptFrom,
  NestedFault,
  type Npt,
  type SecondStage,
} from './walk/second-stage.ts';
export { Fault, Translation } from './walk/translation.ts';
