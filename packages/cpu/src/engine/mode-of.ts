import type { PagingContext } from '@nest86/mmu';
import type { CodeMode, CodeModeInit, CodeModes } from '../records/code-mode.ts';
import { Segment, stateOffset } from '../state/layout.ts';
import { attributeBig, attributeLong } from '../state/segment-cache.ts';
import type { VcpuState } from '../state/vcpu-state.ts';

/** Bits of RFLAGS, CR0, CR4, EFER and segment attributes that decide how code is decoded and checked. */
const flagVm = 0x20000;
const flagAlignment = 0x40000;
const cr0Protection = 1;
const cr0Emulation = 4;
const cr0TaskSwitched = 8;
const cr0AlignmentMask = 0x40000;
const cr4Osfxsr = 0x200;
const cr4La57 = 0x1000;
const cr4Osxsave = 0x40000;
const eferLma = 0x400;
/** XCR0: SSE and AVX. */
const xcr0Avx = 6;

/**
 * Finds the code mode at each change of privilege or context: of 64-bit code by a number, without making an object.
 */
export class ModeFinder {
  /** By the bits of `decide64`, for the present intercepts. */
  private long: (CodeMode | undefined)[] = [];
  private intercepts = 0;
  private readonly byIntercepts = new Map<number, (CodeMode | undefined)[]>();

  constructor(private readonly modes: CodeModes) {
    this.chooseIntercepts(0);
  }

  /** How the processor executes code now. @param intercepts those of `codeIntercepts` that hold */
  of(state: VcpuState, context: PagingContext, intercepts: number): CodeMode {
    const { words } = state;
    if (intercepts !== this.intercepts) this.chooseIntercepts(intercepts);
    if ((context.efer & eferLma) === 0 || (words[codeAttributes] & attributeLong) === 0)
      return this.modes.of(codeModeOf(state, context, intercepts));
    const bits = decide64(state, context);
    return (this.long[bits] ??= this.modes.of(codeModeOf(state, context, intercepts)));
  }

  /** There are few: as many as sets of `codeIntercepts`. */
  private chooseIntercepts(intercepts: number): void {
    let long = this.byIntercepts.get(intercepts);
    if (long === undefined) {
      long = new Array(32).fill(undefined);
      this.byIntercepts.set(intercepts, long);
    }
    this.intercepts = intercepts;
    this.long = long;
  }
}

const codeAttributes: number = (stateOffset.segmentAttributes >> 2) + Segment.cs;
const cplCell: number = stateOffset.cpl >> 2;
const flagsCell: number = stateOffset.systemFlags >> 2;
const xcr0Cell: number = stateOffset.xcr0 >> 2;

/** All that `codeModeOf` depends on in 64-bit code, as five bits: LA57, alignment checks, x87, SSE, AVX. */
function decide64({ words }: VcpuState, { cr0, cr4 }: PagingContext): number {
  const flags = words[flagsCell];
  const hasX87 = (cr0 & (cr0TaskSwitched | cr0Emulation)) === 0;
  const checksAlignment =
    words[cplCell] === 3 && (cr0 & cr0AlignmentMask) !== 0 && (flags & flagAlignment) !== 0;
  const hasAvx =
    (cr0 & cr0TaskSwitched) === 0 && (cr4 & cr4Osxsave) !== 0 && (words[xcr0Cell] & xcr0Avx) === xcr0Avx;
  return (
    ((cr4 & cr4La57) !== 0 ? 1 : 0) |
    (checksAlignment ? 2 : 0) |
    (hasX87 ? 4 : 0) |
    (hasX87 && (cr4 & cr4Osfxsr) !== 0 ? 8 : 0) |
    (hasAvx ? 16 : 0)
  );
}

function codeModeOf(state: VcpuState, context: PagingContext, intercepts: number): CodeModeInit {
  const { cr0, cr4, efer } = context;
  const flags = state.get('systemFlags');
  const attributes = state.get('segmentAttributes', Segment.cs);
  const is64 = (efer & eferLma) !== 0 && (attributes & attributeLong) !== 0;
  const stackIs32 = (state.get('segmentAttributes', Segment.ss) & attributeBig) !== 0;
  const hasX87 = (cr0 & (cr0TaskSwitched | cr0Emulation)) === 0;
  return {
    bits: is64 ? 64 : (attributes & attributeBig) !== 0 ? 32 : 16,
    stackAddressBits: is64 ? 64 : stackIs32 ? 32 : 16,
    isFlat: is64 || (isFlat(state, Segment.es) && isFlat(state, Segment.ss) && isFlat(state, Segment.ds)),
    linearBits: (cr4 & cr4La57) !== 0 ? 57 : 48,
    checksAlignment:
      state.get('cpl') === 3 && (cr0 & cr0AlignmentMask) !== 0 && (flags & flagAlignment) !== 0,
    codeLimit: is64 ? 0xffffffff : state.get('segmentLimit', Segment.cs) >>> 0,
    codeBase: is64 ? 0 : state.low('segmentBase', Segment.cs) >>> 0,
    intercepts,
    hasX87,
    hasSse: hasX87 && (cr4 & cr4Osfxsr) !== 0,
    hasAvx:
      (cr0 & cr0TaskSwitched) === 0 &&
      (cr0 & cr0Protection) !== 0 &&
      (flags & flagVm) === 0 &&
      (cr4 & cr4Osxsave) !== 0 &&
      (state.low('xcr0') & xcr0Avx) === xcr0Avx,
  };
}

/** All 4 GiB from 0, readable and writable. */
function isFlat(state: VcpuState, segment: number): boolean {
  return (
    state.low('segmentBase', segment) === 0 &&
    state.get('segmentFirst', segment) === 0 &&
    state.get('segmentLast', segment) === -1 &&
    (state.get('segmentRights', segment) & 3) === 3
  );
}
