import type { ContextTag } from '../tlb/contexts.ts';
import type { SecondStage } from '../walk/second-stage.ts';
import { Judge } from './access.ts';
import { Cr0, Cr4, Efer, PagingMode } from './registers.ts';

/** A context's tag but for the PCID. */
export type TlbOwner = Omit<ContextTag, 'pcid'>;

/** A processor outside any guest. */
export const hostOwner: TlbOwner = { owner: 'host', vpidOrAsid: 0 };

/** Registers, as numbers or, for those of 64 bits, as bigint. What is left out is 0. */
export interface PagingRegisters {
  cr0?: number;
  cr3?: number | bigint;
  cr4?: number;
  efer?: number;
  pkru?: number;
  pkrs?: number;
  /** EFLAGS.AC */
  ac?: boolean;
  /** PDPTE registers, for PAE paging. */
  pdptes?: readonly bigint[];
}

/**
 * The registers that translation depends on. Owners write the fields and call `update`; nothing here is checked, since what a
 * register may hold is decided when it is written (`cr3Fault` and its neighbours).
 */
export class PagingContext {
  cr0 = 0;
  cr3Low = 0;
  cr3High = 0;
  cr4 = 0;
  efer = 0;
  pkru = 0;
  pkrs = 0;
  ac = false;
  /** Four PDPTE registers, low and high halves. PAE paging uses these and not what memory holds (SDM vol. 3, 4.4.1). */
  readonly pdptes: Int32Array = new Int32Array(8);
  /** PAE paging reads PDPTEs from memory at each walk: AMD, in a guest with nested paging (APM vol. 2, 15.25.10). */
  pdptesInMemory = false;
  /** EPT or NPT, if translations go through one. */
  secondStage: SecondStage | null = null;
  /** Interned context of the TLB backend, -1 for none: nothing is cached. `Mmu.enter` sets it. */
  tlbContext = -1;
  /** Whose translations these are; the PCID comes from CR3. */
  owner: TlbOwner = hostOwner;
  /** APIC-access page after both stages (SDM vol. 3, 30.4), -1 for none. */
  apicAccessPage = -1;
  /** The same by its guest-physical address, as AVIC has it (APM vol. 2, 15.29), -1 for none. */
  apicGuestPage = -1;

  // What `update` derives.
  /** {@link PagingMode} */
  mode: number = PagingMode.none;
  /** Page of the first table. */
  rootPage = 0;
  /** Bits of {@link Judge}. */
  judge = 0;

  constructor(registers?: PagingRegisters) {
    if (registers !== undefined) this.set(registers);
  }

  /** Writes registers, and updates. For set-up and tests; engines write fields. */
  set(registers: PagingRegisters): this {
    const { cr0, cr3, cr4, efer, pkru, pkrs, ac, pdptes } = registers;
    if (cr0 !== undefined) this.cr0 = cr0 | 0;
    if (cr3 !== undefined) {
      const value = BigInt(cr3);
      this.cr3Low = Number(BigInt.asIntN(32, value));
      this.cr3High = Number(BigInt.asIntN(32, value >> 32n));
    }
    if (cr4 !== undefined) this.cr4 = cr4 | 0;
    if (efer !== undefined) this.efer = efer | 0;
    if (pkru !== undefined) this.pkru = pkru | 0;
    if (pkrs !== undefined) this.pkrs = pkrs | 0;
    if (ac !== undefined) this.ac = ac;
    for (const [i, entry] of (pdptes ?? []).slice(0, 4).entries()) {
      this.pdptes[2 * i] = Number(BigInt.asIntN(32, entry));
      this.pdptes[2 * i + 1] = Number(BigInt.asIntN(32, entry >> 32n));
    }
    this.update();
    return this;
  }

  /** Derives mode, root and judging bits. Call it after writing registers, before the next translation. */
  update(): void {
    const { cr0, cr4, efer } = this;
    this.mode = pagingMode(cr0, cr4, efer);
    const high = this.mode >= PagingMode.level4 ? this.cr3High & 0xfffff : 0;
    this.rootPage = high * 0x10_0000 + (this.cr3Low >>> 12);
    this.judge = 0;
    if (this.mode === PagingMode.none) return;
    const pae = this.mode !== PagingMode.legacy;
    const nxe = pae && (efer & Efer.nxe) !== 0;
    const long = this.mode >= PagingMode.level4;
    this.judge =
      Judge.paging |
      ((cr0 & Cr0.wp) !== 0 ? Judge.wp : 0) |
      ((cr4 & Cr4.smep) !== 0 ? Judge.smep : 0) |
      ((cr4 & Cr4.smap) !== 0 ? Judge.smap : 0) |
      (nxe ? Judge.nxe : 0) |
      (long && (cr4 & Cr4.pke) !== 0 ? Judge.pke : 0) |
      (long && (cr4 & Cr4.pks) !== 0 ? Judge.pks : 0) |
      (this.ac ? Judge.ac : 0) |
      (nxe || (cr4 & Cr4.smep) !== 0 ? Judge.fetchCode : 0);
  }
}

/** SDM vol. 3, 4.1.1. */
export function pagingMode(cr0: number, cr4: number, efer: number): number {
  if ((cr0 & Cr0.pg) === 0) return PagingMode.none;
  if ((cr4 & Cr4.pae) === 0) return PagingMode.legacy;
  if ((efer & Efer.lma) === 0) return PagingMode.pae;
  return (cr4 & Cr4.la57) !== 0 ? PagingMode.level5 : PagingMode.level4;
}
