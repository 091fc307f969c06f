import type { PagingContext } from '@nest86/mmu';
import { Activity, Segment, type StateField, stateOffset } from '../state/layout.ts';
import { setSegmentCache } from '../state/segment-cache.ts';
import type { VcpuState } from '../state/vcpu-state.ts';

/** The state after RESET (SDM vol. 3, table 10-1): real mode at F000:FFF0 with CS's base at FFFF0000h. */
export function resetState(state: VcpuState, context: PagingContext, signature: number): void {
  state.bytes.fill(0);
  state.flags = 2;
  state.setPair('gpr', signature, 0, 2);
  for (const segment of [Segment.es, Segment.ss, Segment.ds, Segment.fs, Segment.gs])
    setSegmentCache(state, segment, { selector: 0, base: 0, limit: 0xffff, attributes: 0x93 });
  const base = 0xffff0000 | 0;
  setSegmentCache(state, Segment.cs, { selector: 0xf000, base, limit: 0xffff, attributes: 0x9b });
  // Real mode writes and reads through CS alike.
  state.set('segmentRights', 3, Segment.cs);
  setSegmentCache(state, Segment.ldtr, { selector: 0, base: 0, limit: 0xffff, attributes: 0x82 });
  setSegmentCache(state, Segment.tr, { selector: 0, base: 0, limit: 0xffff, attributes: 0x8b });
  for (const table of [0, 1]) state.set('tableLimit', 0xffff, table);
  state.setPair('rip', 0xfff0, 0);
  state.set('mxcsr', 0x1f80);
  state.set('x87Control', 0x40);
  state.setPair('xcr0', 1, 0);
  state.setPair('pat', 0x00070406, 0x00070406);
  state.setPair('debug', 0xffff0ff0 | 0, 0, 6);
  state.setPair('debug', 0x400, 0, 7);
  state.setPair('apicBase', 0xfee00900 | 0, 0);
  state.setPair('miscEnable', 1, 0);
  state.set('smbase', 0x30000);
  state.set('activity', Activity.running);
  context.set({ cr0: 0x60000010, cr3: 0, cr4: 0, efer: 0, pkru: 0, pkrs: 0, ac: false });
}

/** What INIT leaves as it was (SDM vol. 3, table 10-1): from each of these fields on, so many bytes. */
const kept: readonly (readonly [first: StateField, behind: StateField])[] = [
  ['mxcsr', 'floatFlags'],
  ['x87', 'cr2'],
  ['tscAux', 'rip'],
];

/** CR0.CD and CR0.NW. */
const cacheBits = 0x6000_0000;

/**
 * The state after INIT (SDM vol. 3, table 10-1): as after RESET, but x87 and vector registers, PKRU, XCR0, model-specific registers and CR0's
 * cache bits stay. EFER is cleared, since paging is off.
 */
export function initializeState(state: VcpuState, context: PagingContext, signature: number): void {
  const saved = kept.map(([first, behind]) => state.bytes.slice(stateOffset[first], stateOffset[behind]));
  const cr0 = (context.cr0 & cacheBits) | 0x10;
  const { pkru, pkrs } = context;
  resetState(state, context, signature);
  for (const [index, [first]] of kept.entries()) state.bytes.set(saved[index], stateOffset[first]);
  context.set({ cr0, pkru, pkrs });
}
