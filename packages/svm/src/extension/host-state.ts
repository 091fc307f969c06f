import { Segment, stateOffset, type VirtualizationUnit, writeSegmentCache } from '@nest86/cpu/virtualization';
import type { PagingContext } from '@nest86/mmu';

const segments: readonly number[] = [Segment.es, Segment.cs, Segment.ss, Segment.ds];
const flagVirtual8086 = 0x2_0000;

// Cells of the state, as words.
const general: number = stateOffset.gpr >> 2;
const tableBase: number = stateOffset.tableBase >> 2;
const tableLimit: number = stateOffset.tableLimit >> 2;
const cplCell: number = stateOffset.cpl >> 2;
const dr7: number = (stateOffset.debug >> 2) + 14;
/** RAX, RSP; GDTR and IDTR; as they are in the state. */
const plain: readonly number[] = [
  ...[general, general + 1, general + 8, general + 9],
  ...[tableBase, tableBase + 1, tableBase + 2, tableBase + 3, tableLimit, tableLimit + 1],
];
/** Of each segment: selector, base, limit, attributes. */
const cached: readonly number[] = segments.flatMap((segment) => [
  (stateOffset.segmentSelector >> 2) + segment,
  (stateOffset.segmentBase >> 2) + 2 * segment,
  (stateOffset.segmentBase >> 2) + 2 * segment + 1,
  (stateOffset.segmentLimit >> 2) + segment,
  (stateOffset.segmentAttributes >> 2) + segment,
]);
const cells: Int32Array = Int32Array.from([...plain, ...cached]);
const segmentsAt: number = plain.length;

/**
 * The host's registers while a guest runs (APM vol. 2, 15.5.1 and 15.6). The page that VM_HSAVE_PA names stays as it is: its content is the
 * implementation's own.
 */
export class HostState {
  /** Words of `cells`, and RFLAGS. */
  readonly words: Int32Array = new Int32Array(cells.length + 1);
  /** Control registers; also the address space of the host. */
  context: PagingContext | undefined;
  /** Where the host goes on: behind VMRUN. */
  ripLow = 0;
  ripHigh = 0;

  /** RFLAGS.IF. */
  get takesInterrupts(): boolean {
    return (this.words[cells.length] & 0x200) !== 0;
  }

  save(unit: VirtualizationUnit): void {
    const { words } = this;
    const { state } = unit;
    this.context = unit.context;
    this.ripLow = unit.nextLow;
    this.ripHigh = unit.nextHigh;
    for (let i = 0; i < cells.length; i++) words[i] = state.words[cells[i]];
    words[cells.length] = state.flags;
  }

  /** Registers but the control registers, which are the context's. CPL is 0, RFLAGS.VM is 0, breakpoints are off. */
  load(unit: VirtualizationUnit): void {
    const { words } = this;
    const { state } = unit;
    unit.nextLow = this.ripLow;
    unit.nextHigh = this.ripHigh;
    for (let i = 0; i < segmentsAt; i++) state.words[cells[i]] = words[i];
    for (let i = 0, at = segmentsAt; i < segments.length; i++, at += 5)
      writeSegmentCache(
        state,
        segments[i],
        words[at],
        words[at + 1],
        words[at + 2],
        words[at + 3],
        words[at + 4],
      );
    state.flags = words[cells.length] & ~flagVirtual8086;
    state.words[cplCell] = 0;
    state.words[dr7] = 0x400;
    state.words[dr7 + 1] = 0;
  }
}
