import { Access, Fault, type Mmu, PageKind, PagingContext, Translation } from '@nest86/mmu';

const pageSize = 4096;
const lma = 0x400;
/** WP of CR0; SMEP, SMAP, PKE, PKS of CR4: what keeps a supervisor from reading what is mapped. */
const cr0Wp = 0x1_0000;
const cr4Guards = 0x170_0000;

/** Memory as a debugger sees it: whatever is mapped, without leave, and without a trace in tables and TLB. Only RAM and ROM, no device. */
export class DebugMemory {
  private readonly out = new Translation();

  /** @param context of the code that runs */
  constructor(
    private readonly mmu: Mmu,
    private readonly context: () => PagingContext,
  ) {}

  /** Physical address of a linear one, or -1. */
  physical(linear: bigint): number {
    const context = this.context();
    const look = new PagingContext({
      cr0: context.cr0 & ~cr0Wp,
      cr4: context.cr4 & ~cr4Guards,
      efer: context.efer,
    });
    look.cr3Low = context.cr3Low;
    look.cr3High = context.cr3High;
    look.pdptes.set(context.pdptes);
    look.pdptesInMemory = context.pdptesInMemory;
    look.secondStage = context.secondStage;
    look.update();
    const low = Number(BigInt.asIntN(32, linear));
    const high = (context.efer & lma) === 0 ? 0 : Number(BigInt.asIntN(32, linear >> 32n));
    const fault = this.mmu.probe(look, low, high, Access.read, this.out);
    return fault === Fault.none ? this.out.page * pageSize + (low & (pageSize - 1)) : -1;
  }

  read(address: bigint, length: number, isPhysical: boolean): Uint8Array {
    const { memory } = this.mmu;
    const bytes = new Uint8Array(length);
    let done = 0;
    for (const { at, size } of this.pieces(address, length, isPhysical)) {
      if (memory.offsetOf(Math.floor(at / pageSize)) < 0) break;
      memory.readBytes(at, bytes.subarray(done, done + size));
      done += size;
    }
    return bytes.subarray(0, done);
  }

  /** All or nothing. */
  write(address: bigint, bytes: Uint8Array, isPhysical: boolean): boolean {
    const { memory } = this.mmu;
    const pieces = [...this.pieces(address, bytes.length, isPhysical)];
    const found = pieces.reduce((sum, { size }) => sum + size, 0);
    const isRam = pieces.every(({ at }) => memory.kindOf(Math.floor(at / pageSize)) === PageKind.ram);
    if (found < bytes.length || !isRam) return false;
    let done = 0;
    for (const { at, size } of pieces) {
      memory.writeBytes(at, bytes.subarray(done, done + size));
      done += size;
    }
    return true;
  }

  /** Physical pieces of a range, each in one page, up to where nothing is mapped. */
  private *pieces(
    address: bigint,
    length: number,
    isPhysical: boolean,
  ): Generator<{ readonly at: number; readonly size: number }> {
    for (let done = 0; done < length; ) {
      const linear = BigInt.asUintN(64, address + BigInt(done));
      const size = Math.min(pageSize - (Number(linear) & (pageSize - 1)), length - done);
      const at = isPhysical ? (linear < 2n ** 52n ? Number(linear) : -1) : this.physical(linear);
      if (at < 0) return;
      yield { at, size };
      done += size;
    }
  }
}
