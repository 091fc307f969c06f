import type { PagingContext } from '@nest86/mmu';
import type { SvmExtension } from './svm-extension.ts';
import { GuestSpace } from './transition.ts';

/** What a processor keeps of SVM besides its registers, between two instructions (virtualization.md D13). */
export interface SvmState {
  readonly version: 1;
  readonly isGuest: boolean;
  /** GIF. */
  readonly isOpen: boolean;
  /** Offset of the guest's VMCB in the backing memory. */
  readonly vmcb: number;
  readonly virtual: number;
  readonly msrs: readonly number[];
  readonly pauses: readonly number[];
  /** The host's registers while a guest runs. */
  readonly host: {
    readonly words: Int32Array;
    readonly ripLow: number;
    readonly ripHigh: number;
    readonly context: readonly number[];
    readonly pdptes: Int32Array;
  };
  readonly space: {
    readonly asid: number;
    readonly isNested: boolean;
    readonly patLow: number;
    readonly patHigh: number;
    /** Control registers of the nested paging. */
    readonly nested: readonly number[];
  };
}

/** A snapshot that no processor of this kind made. */
export class SvmSnapshotError extends RangeError {
  override readonly name: string = 'SvmSnapshotError';
}

function registersOf({ cr0, cr3Low, cr3High, cr4, efer, pkru }: PagingContext): number[] {
  return [cr0, cr3Low, cr3High, cr4, efer, pkru];
}

function loadRegisters(context: PagingContext, saved: readonly number[]): void {
  [context.cr0, context.cr3Low, context.cr3High, context.cr4, context.efer, context.pkru] = saved;
  context.update();
}

export function saveSvm(svm: SvmExtension): SvmState {
  const { unit, controls, host, space } = svm;
  const { asid, isNested, patLow, patHigh, npt } = space;
  const context = host.context ?? unit.context;
  return {
    version: 1,
    isGuest: controls.isGuest,
    isOpen: svm.isOpen,
    vmcb: controls.isGuest ? svm.vmcbAt - unit.mmu.memory.base : 0,
    virtual: svm.virtual,
    msrs: svm.msrs.save(),
    pauses: svm.pauses.save(),
    host: {
      words: host.words.slice(),
      ripLow: host.ripLow,
      ripHigh: host.ripHigh,
      context: registersOf(context),
      pdptes: context.pdptes.slice(),
    },
    space: { asid, isNested, patLow, patHigh, nested: registersOf(npt.paging) },
  };
}

/**
 * Before the processor's own state, which goes into the context of whoever runs; behind memory and TLB.
 * @throws SvmSnapshotError for what no processor saves; nothing has changed then
 */
export function restoreSvm(svm: SvmExtension, saved: SvmState): void {
  const { unit, controls, host } = svm;
  const { mmu } = unit;
  const { memory } = mmu;
  if (saved.version !== 1)
    throw new SvmSnapshotError(`SVM state of version ${saved.version}: 1 is understood`);
  const isPlaced = Number.isInteger(saved.vmcb) && saved.vmcb % 4096 === 0;
  if (!isPlaced || saved.vmcb < 0 || saved.vmcb / 4096 >= memory.pages)
    throw new SvmSnapshotError(`SVM state: VMCB at ${saved.vmcb}`);
  if (saved.host.words.length !== host.words.length || saved.host.pdptes.length !== 8)
    throw new SvmSnapshotError("SVM state: the host's registers");
  const hostContext = controls.isGuest && host.context !== undefined ? host.context : unit.context;
  const space = new GuestSpace();
  svm.space = space;
  svm.isOpen = saved.isOpen;
  svm.vmcbAt = memory.base + saved.vmcb;
  svm.virtual = saved.virtual;
  svm.msrs.restore(saved.msrs);
  svm.pauses.restore(saved.pauses);
  host.words.set(saved.host.words);
  host.ripLow = saved.host.ripLow;
  host.ripHigh = saved.host.ripHigh;
  host.context = hostContext;
  // Numbers in the TLB are looked up anew.
  hostContext.tlbContext = -1;
  controls.clear();
  controls.isGuest = saved.isGuest;
  if (saved.isGuest) {
    const { context, npt } = space;
    const { asid, isNested, patLow, patHigh, nested } = saved.space;
    space.asid = asid;
    space.isNested = isNested;
    space.patLow = patLow;
    space.patHigh = patHigh;
    context.owner = { owner: 'svm', vpidOrAsid: asid, stage: isNested ? 'combined' : 'linear' };
    context.secondStage = isNested ? npt : null;
    context.pdptesInMemory = isNested;
    loadRegisters(npt.paging, nested);
    loadRegisters(hostContext, saved.host.context);
    hostContext.pdptes.set(saved.host.pdptes);
    unit.switchContext(context);
    mmu.enter(hostContext);
  } else unit.switchContext(hostContext);
  svm.controlsChanged();
}
