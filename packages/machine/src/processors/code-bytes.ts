import { type Processor, Segment } from '@nest86/cpu';
import { Access, type Mmu, type PagingContext, Translation } from '@nest86/mmu';

/** A processor for those who look at it from outside. */
export interface ProcessorView {
  readonly processor: Processor;
  readonly mmu: Mmu;
  readonly context: PagingContext;
}

/** Bytes at RIP, as far as they are mapped; nothing is changed by looking. */
export function codeBytes({ processor, mmu, context }: ProcessorView, count: number): Uint8Array {
  const { state } = processor;
  const out = new Translation();
  const bytes: number[] = [];
  const is64 = (context.efer & 0x400) !== 0;
  const base = is64 ? 0 : state.low('segmentBase', Segment.cs);
  for (let i = 0; i < count; i++) {
    const low = (state.low('rip') + base + i) | 0;
    if (mmu.probe(context, low, is64 ? state.high('rip') : 0, Access.read, out) !== 0) break;
    if (out.offset < 0) break;
    bytes.push(mmu.memory.bytes[out.offset + (low & 0xfff)]);
  }
  return Uint8Array.from(bytes);
}
