import { Segment, type VirtualizationUnit, writeSegmentCache } from '@nest86/cpu/virtualization';
import type { PagingContext } from '@nest86/mmu';

const segments: readonly number[] = [Segment.es, Segment.cs, Segment.ss, Segment.ds];
const wordsPerSegment = 5;
/** Words: RAX, RSP, RFLAGS, tables, segments. */
const size: number = 5 + 6 + segments.length * wordsPerSegment;
const flagVirtual8086 = 0x2_0000;

/**
 * The host's registers while a guest runs (APM vol. 2, 15.5.1 and 15.6). The page that VM_HSAVE_PA names stays as it is: its content is the
 * implementation's own.
 */
export class HostState {
  readonly words: Int32Array = new Int32Array(size);
  /** Control registers; also the address space of the host. */
  context: PagingContext | undefined;
  /** Where the host goes on: behind VMRUN. */
  ripLow = 0;
  ripHigh = 0;

  /** RFLAGS.IF. */
  get takesInterrupts(): boolean {
    return (this.words[4] & 0x200) !== 0;
  }

  save(unit: VirtualizationUnit): void {
    const { words } = this;
    const { state } = unit;
    this.context = unit.context;
    this.ripLow = unit.nextLow;
    this.ripHigh = unit.nextHigh;
    words[0] = state.low('gpr', 0);
    words[1] = state.high('gpr', 0);
    words[2] = state.low('gpr', 4);
    words[3] = state.high('gpr', 4);
    words[4] = state.flags;
    for (let table = 0; table < 2; table++) {
      words[5 + 3 * table] = state.low('tableBase', table);
      words[6 + 3 * table] = state.high('tableBase', table);
      words[7 + 3 * table] = state.get('tableLimit', table);
    }
    for (let i = 0, at = 11; i < segments.length; i++, at += wordsPerSegment) {
      const segment = segments[i];
      words[at] = state.get('segmentSelector', segment);
      words[at + 1] = state.low('segmentBase', segment);
      words[at + 2] = state.high('segmentBase', segment);
      words[at + 3] = state.get('segmentLimit', segment);
      words[at + 4] = state.get('segmentAttributes', segment);
    }
  }

  /** Registers but the control registers, which are the context's. CPL is 0, RFLAGS.VM is 0, breakpoints are off. */
  load(unit: VirtualizationUnit): void {
    const { words } = this;
    const { state } = unit;
    unit.nextLow = this.ripLow;
    unit.nextHigh = this.ripHigh;
    state.setPair('gpr', words[0], words[1], 0);
    state.setPair('gpr', words[2], words[3], 4);
    state.flags = words[4] & ~flagVirtual8086;
    for (let table = 0; table < 2; table++) {
      state.setPair('tableBase', words[5 + 3 * table], words[6 + 3 * table], table);
      state.set('tableLimit', words[7 + 3 * table], table);
    }
    for (let i = 0, at = 11; i < segments.length; i++, at += wordsPerSegment)
      writeSegmentCache(
        state,
        segments[i],
        words[at],
        words[at + 1],
        words[at + 2],
        words[at + 3],
        words[at + 4],
      );
    state.set('cpl', 0);
    state.setPair('debug', 0x400, 0, 7);
  }
}
