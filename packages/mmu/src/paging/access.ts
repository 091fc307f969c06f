/**
 * Kinds of access: one of read, write and execute, and bits that may go with it (SDM vol. 3, 4.6). An access without `user` is
 * supervisor-mode.
 */
export const Access = {
  read: 0,
  write: 1,
  execute: 2,
  /** User-mode: made at CPL 3, or to the user shadow stack by WRUSS. */
  user: 4,
  /** A supervisor access that the processor makes by itself, at any CPL: descriptor tables, TSS. EFLAGS.AC does not help it past SMAP. */
  implicit: 8,
  /** To a shadow stack, with `read` or `write`. */
  shadowStack: 16,
} as const;

/**
 * What a translation allows, as cached: the bits of all levels combined, not yet judged. WP, SMEP, SMAP, NXE, PKRU and PKRS may change
 * without a flush, so they are applied at each use (`denied`).
 */
export const Rights = {
  /** R/W is 1 on each level. */
  write: 1,
  /** U/S is 1 on each level: a user-mode address. */
  user: 2,
  /** XD is 1 on some level. */
  noExecute: 4,
  /** D of the last entry. */
  dirty: 8,
  global: 16,
  /** R/W is 1 on each level but the last, where R/W is 0 and D is 1 (SDM vol. 1, 17.2 and vol. 3, 4.6). */
  shadowStack: 32,
  // What the second stage allows; all set where there is none.
  stageRead: 64,
  stageWrite: 128,
  /** For supervisor-mode addresses; for all, without mode-based execute control. */
  stageExecute: 256,
  stageUserExecute: 512,
  /** Pages for the supervisor shadow stack (EPT, bit 60). */
  stageShadowStack: 0x400,
  /** D of the last entry of the second stage, or it keeps none. */
  stageDirty: 0x800,
} as const;

// Fields of the rights beside their bits.
export const protectionKeyShift = 12;
/** PAT, PCD and PWT of the last entry: index of the field of the PAT MSR. */
export const patIndexShift = 16;
/** EPT: memory type. NPT: index into the host's PAT. */
export const stageMemoryTypeShift = 19;
/** EPT: ignore the guest's PAT. */
export const stageIgnorePat: number = 1 << 22;
/** The translation went through a second stage, so the two fields above mean something. */
export const stagePresent: number = 1 << 23;

/** The guest-physical page is `PagingContext.apicGuestPage`. */
export const apicGuestRight: number = 1 << 24;

/** No second stage: it forbids nothing and has nothing to keep. */
export const stageAllowsAll: number =
  Rights.stageRead |
  Rights.stageWrite |
  Rights.stageExecute |
  Rights.stageUserExecute |
  Rights.stageShadowStack |
  Rights.stageDirty;

/** The registers that judge rights, as bits; made by `PagingContext.update`. */
export const Judge = {
  paging: 1,
  wp: 2,
  smep: 4,
  smap: 8,
  nxe: 16,
  pke: 32,
  pks: 64,
  /** EFLAGS.AC */
  ac: 128,
  /** Fetches are told apart in error codes: SMEP, or PAE with NXE. */
  fetchCode: 256,
} as const;

/**
 * Judges an access by paging's rights, without the second stage (SDM vol. 3, 4.6; APM vol. 2, 5.6).
 *
 * @returns 0 if it is allowed, else bits of the error code: present, and protectionKey if a key forbids it, whatever else does
 */
export function denied(rights: number, access: number, judge: number, pkru: number, pkrs: number): number {
  if ((judge & Judge.paging) === 0) return 0;
  const byUser = (access & Access.user) !== 0;
  const userPage = (rights & Rights.user) !== 0;
  if ((access & Access.execute) !== 0) {
    if (byUser ? !userPage : userPage && (judge & Judge.smep) !== 0) return 1;
    return (rights & Rights.noExecute) !== 0 && (judge & Judge.nxe) !== 0 ? 1 : 0;
  }
  let wrong = 0;
  const writeObeys = (access & Access.write) !== 0 && (byUser || (judge & Judge.wp) !== 0);
  if ((access & Access.shadowStack) !== 0) {
    if (byUser !== userPage || (rights & Rights.shadowStack) === 0) wrong = 1;
  } else {
    if (byUser) {
      if (!userPage) wrong = 1;
    } else if (
      userPage &&
      (judge & Judge.smap) !== 0 &&
      ((access & Access.implicit) !== 0 || (judge & Judge.ac) === 0)
    )
      wrong = 1;
    if (writeObeys && (rights & Rights.write) === 0) wrong = 1;
  }
  if ((judge & (userPage ? Judge.pke : Judge.pks)) !== 0) {
    const key = (userPage ? pkru : pkrs) >>> (2 * ((rights >>> protectionKeyShift) & 15));
    if ((key & 1) !== 0 || ((key & 2) !== 0 && writeObeys)) wrong = 0x21;
  }
  return wrong;
}

/**
 * Everything that a privilege may do with a page, by both stages: `denied` and `stageDenied` at once, for ordinary accesses.
 *
 * @returns bits 0 read, 1 write, 2 execute
 */
export function allowedKinds(
  rights: number,
  byUser: boolean,
  judge: number,
  pkru: number,
  pkrs: number,
  modeBased: boolean,
): number {
  const user = (rights & Rights.user) !== 0;
  let kinds =
    ((rights >>> 6) & 3) |
    ((rights & (modeBased && user ? Rights.stageUserExecute : Rights.stageExecute)) !== 0 ? 4 : 0);
  if ((judge & Judge.paging) === 0) return kinds;
  if (byUser) {
    if (!user) return 0;
    if ((rights & Rights.write) === 0) kinds &= ~2;
  } else {
    if (user && (judge & Judge.smep) !== 0) kinds &= ~4;
    if (user && (judge & (Judge.smap | Judge.ac)) === Judge.smap) kinds &= ~3;
    if ((rights & Rights.write) === 0 && (judge & Judge.wp) !== 0) kinds &= ~2;
  }
  if ((rights & Rights.noExecute) !== 0 && (judge & Judge.nxe) !== 0) kinds &= ~4;
  if ((judge & (user ? Judge.pke : Judge.pks)) !== 0) {
    const key = (user ? pkru : pkrs) >>> (2 * ((rights >>> protectionKeyShift) & 15));
    if ((key & 1) !== 0) kinds &= ~3;
    else if ((key & 2) !== 0 && (byUser || (judge & Judge.wp) !== 0)) kinds &= ~2;
  }
  return kinds;
}

/** Judges an access by what the second stage allows. */
export function stageDenied(
  rights: number,
  access: number,
  modeBased: boolean,
  shadowStacks: boolean,
): boolean {
  if ((access & Access.execute) !== 0) {
    const user = modeBased && (rights & Rights.user) !== 0;
    return (rights & (user ? Rights.stageUserExecute : Rights.stageExecute)) === 0;
  }
  // SDM vol. 3, 29.3.3.2: with bit 7 of the EPTP, supervisor shadow stacks may lie on pages marked for them and on no others.
  if (shadowStacks && (access & (Access.shadowStack | Access.user)) === Access.shadowStack)
    return (rights & Rights.stageShadowStack) === 0;
  return (rights & ((access & Access.write) !== 0 ? Rights.stageWrite : Rights.stageRead)) === 0;
}
