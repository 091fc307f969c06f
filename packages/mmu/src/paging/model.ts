import { PagingOptionError } from '../errors.ts';

export interface PagingModelInit {
  /** Decides reserved bits and which register writes drop what. Default `intel`. */
  readonly vendor?: 'intel' | 'amd';
  /** MAXPHYADDR (CPUID 80000008h.EAX[7:0]), 32 to 52. Default 46. */
  readonly physicalBits?: number;
  /** 1 GiB pages (CPUID 80000001h.EDX[26]). Off, PS of a PDPTE is reserved. Default true. */
  readonly pages1G?: boolean;
  /** PSE-36 (CPUID 1.EDX[17]): 4 MiB pages above 4 GiB. Default true. */
  readonly pse36?: boolean;
}

/** What a processor's paging can do: what CPUID says, as data. Make one and share it. */
export class PagingModel {
  readonly vendor: 'intel' | 'amd';
  readonly physicalBits: number;
  readonly pages1G: boolean;
  readonly pse36: boolean;
  /** In the high half of an entry: the bits 51:MAXPHYADDR. */
  readonly reservedHigh: number;
  /** In a PDE that maps 4 MiB: bits that must be 0. Bits 20:13 hold address bits 39:32 as far as those exist (SDM vol. 3, table 4-4). */
  readonly reservedPse: number;
  /** AMD reserves bit 8 in PML4E and PML5E (APM vol. 2, 5.3.3; fixed in KVM as "AMD ignores it in PDEs and PDPEs"). */
  readonly reservedTop: number;

  /** @throws PagingOptionError for a value that no processor has */
  constructor({ vendor = 'intel', physicalBits = 46, pages1G = true, pse36 = true }: PagingModelInit = {}) {
    if (vendor !== 'intel' && vendor !== 'amd')
      throw new PagingOptionError(`vendor "${vendor}": intel or amd is allowed`);
    if (!Number.isInteger(physicalBits) || physicalBits < 32 || physicalBits > 52)
      throw new PagingOptionError(`physicalBits ${physicalBits}: 32 to 52 is allowed`);
    this.vendor = vendor;
    this.physicalBits = physicalBits;
    this.pages1G = pages1G;
    this.pse36 = pse36;
    this.reservedHigh = 0xfffff & (-1 << (physicalBits - 32));
    const addressBits = pse36 ? Math.min(physicalBits, 40) : 32;
    this.reservedPse = 0x3f_e000 & (-1 << (13 + addressBits - 32));
    this.reservedTop = vendor === 'amd' ? 1 << 8 : 0;
  }
}
