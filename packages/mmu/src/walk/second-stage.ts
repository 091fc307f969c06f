import type { PagingContext } from '../paging/context.ts';

/** Extended page tables: the EPTP and the controls and capabilities that govern them (SDM vol. 3, 25.6.11 and 29.3). */
export interface Ept {
  readonly kind: 'ept';
  /** Page of the first table: EPTP[51:12]. */
  rootPage: number;
  /** Levels of tables, 4 or 5: EPTP[5:3] + 1. */
  levels: number;
  /** EPTP[6]. Walks of guest page tables then count as writes (29.3.5). */
  accessedDirty: boolean;
  /** EPTP[7]: supervisor shadow stacks only on pages marked for them. */
  shadowStacks: boolean;
  /** Secondary control 22: bit 10 of an entry allows fetches from user-mode addresses, bit 2 from the others. */
  modeBasedExecute: boolean;
  /** IA32_VMX_EPT_VPID_CAP[0]: entries may allow execution without reading. */
  executeOnly: boolean;
  /** IA32_VMX_EPT_VPID_CAP[17] */
  pages1G: boolean;
  /** IA32_VMX_EPT_VPID_CAP[22]: qualification bits 11:9. */
  advancedInformation: boolean;
  /** Interned guest-physical context of the TLB backend, -1 for none. */
  tlbContext: number;
  /** Page-modification logging: called before D of a page is set; false if the log is full (29.3.6). */
  logDirty: ((guestPage: number) => boolean) | null;
}

/** Nested page tables: the host's paging, applied to guest-physical addresses (APM vol. 2, 15.25). */
export interface Npt {
  readonly kind: 'npt';
  /** nCR3, and the host's CR0, CR4 and EFER as at VMRUN. Its `judge` sees each access as one of a user. */
  readonly paging: PagingContext;
  /** Interned guest-physical context of the TLB backend, -1 for none. */
  tlbContext: number;
}

export type SecondStage = Ept | Npt;

/** An EPTP's fields. Capabilities are those of a current processor unless given. */
export function eptFrom(eptp: number | bigint, options: Partial<Ept> = {}): Ept {
  const value = BigInt(eptp);
  return {
    kind: 'ept',
    rootPage: Number((value >> 12n) & 0xff_ffff_ffffn),
    levels: Number((value >> 3n) & 7n) + 1,
    accessedDirty: (value & 0x40n) !== 0n,
    shadowStacks: (value & 0x80n) !== 0n,
    modeBasedExecute: false,
    executeOnly: true,
    pages1G: true,
    advancedInformation: true,
    tlbContext: -1,
    logDirty: null,
    ...options,
  };
}

/** Bits of the exit qualification of an EPT violation (SDM vol. 3, table 28-7). */
export const EptViolation = {
  read: 1,
  write: 2,
  fetch: 4,
  /** AND of the entries' permission bits. */
  readable: 8,
  writable: 16,
  executable: 32,
  userExecutable: 64,
  /** The guest-linear-address field holds an address. */
  linearValid: 128,
  /** The access was to the address that the linear one stands for, not to a paging structure on the way. */
  final: 256,
  userAddress: 512,
  writeAddress: 1024,
  executeDisableAddress: 2048,
  shadowStackAccess: 0x2000,
  shadowStackPage: 0x4000,
} as const;

/** Upper half of EXITINFO1 of a nested page fault (APM vol. 2, 15.25.6): bits 32 and 33. */
export const NestedFault = { final: 1, structure: 2 } as const;
