import { type Processor, Segment, setSegmentCache } from '@nest86/cpu';
import type { PagingContext, PhysicalMemory } from '@nest86/mmu';
import type { BootPlan } from './boot-plan.ts';

/** What a boot plan is carried out on. */
export interface BootTarget {
  readonly physical: PhysicalMemory;
  /** Just reset. */
  readonly processor: Processor;
  readonly context: PagingContext;
}

/** Writes what the plan says into RAM and puts the processor at the kernel's first instruction. */
export function carryOut({ writes, entry }: BootPlan, { physical, processor, context }: BootTarget): void {
  for (const { address, bytes, memorySize } of writes) {
    physical.writeBytes(address, bytes);
    physical.writeBytes(address + bytes.length, new Uint8Array(memorySize - bytes.length));
  }
  const { state } = processor;
  setSegmentCache(state, Segment.cs, entry.code);
  for (const segment of [Segment.es, Segment.ss, Segment.ds, Segment.fs, Segment.gs])
    setSegmentCache(state, segment, entry.data);
  setSegmentCache(state, Segment.tr, entry.task);
  state.setPair('tableBase', entry.gdtr.base, 0, 0);
  state.set('tableLimit', entry.gdtr.limit, 0);
  state.setPair('gpr', entry.eax, 0, 0);
  state.setPair('gpr', entry.ebx, 0, 3);
  state.setPair('gpr', entry.esi, 0, 6);
  state.setPair('rip', entry.rip | 0, 0);
  const { cr0, cr3, cr4, efer } = entry;
  context.set({ cr0, cr3, cr4, efer });
  processor.stateChanged();
}
