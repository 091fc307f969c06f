/** Why an address could not be translated. */
export const Fault = {
  none: 0,
  /** #PF; `errorCode` is its error code. */
  page: 1,
  /** VM exit; `errorCode` is the exit qualification. */
  eptViolation: 2,
  /** VM exit. */
  eptMisconfiguration: 3,
  /** VM exit; `errorCode` and `errorCodeHigh` are EXITINFO1. */
  nestedPage: 4,
  /** The page-modification log is full: VM exit before the access. */
  pageModificationLog: 5,
  /** The linear address is not canonical: #GP or #SS, as the caller knows. */
  nonCanonical: 6,
  /** Register writes only: #GP(0), nothing has changed. */
  generalProtection: 7,
} as const;

/**
 * Outcome of a translation. Callers own one and reuse it for ever; nothing is allocated. Fields that the outcome does not speak of
 * keep anything.
 */
export class Translation {
  /** {@link Fault} */
  fault = 0;
  errorCode = 0;
  errorCodeHigh = 0;
  /** Guest-physical address at which the second stage stopped: page, and offset in it. */
  guestPage = 0;
  guestOffset = 0;
  /** EPT violation: bit 63 of the last entry; clear, the violation may be turned into #VE (SDM vol. 3, 26.5.7.1). */
  suppressVe = false;

  /** Page of 4 KiB that holds the address, after both stages. */
  page = 0;
  /** log2 of the size of the page that may be cached: the smaller of both stages'. */
  shift = 12;
  /** log2 of the guest's page size; INVLPG drops all of it. */
  guestShift = 12;
  /** Bits of `Rights` and the fields beside them. */
  rights = 0;

  /** Level of the entry at which a walk ended: 1 page table, 2 page directory … */
  level = 0;
  /** Reserved bits that were set, if those were the reason. */
  reservedLow = 0;
  reservedHigh = 0;

  // What `Mmu.translate` adds.
  /** Offset of the page in the memory's buffer, -1 if it is neither RAM nor ROM. */
  offset = -1;
  /** Bits of `Fast`: how a fast TLB may use the translation at the privilege of this access. */
  fast = 0;
  /** The page is the APIC-access page of the context: its accesses are virtualized and never fast. */
  apicAccess = false;
}
