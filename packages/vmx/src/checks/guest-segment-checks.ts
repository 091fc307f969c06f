import { Entry, Secondary } from '../capabilities/controls.ts';
import { Cell } from '../vmcs/fields.ts';
import type { EntryChecks } from './findings.ts';

/** Segment registers by number: ES CS SS DS FS GS LDTR TR; fields follow each other in the same order. */
const Register = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5, ldtr: 6, tr: 7 } as const;
const names = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const;
const unusable = 0x1_0000;
const section = '27.3.1.2';

const selectorOf = (n: number): number => Cell.guestEsSelector + 2 * n;
const baseOf = (n: number): number => Cell.guestEsBase + 2 * n;
const limitOf = (n: number): number => Cell.guestEsLimit + 2 * n;
const rightsOf = (n: number): number => Cell.guestEsRights + 2 * n;

/** 27.3.1.2. */
export function checkGuestSegments(checks: EntryChecks): void {
  const { vmcs } = checks;
  const isVirtual8086 = (vmcs.low(Cell.guestRflags) & 0x2_0000) !== 0;
  checkSelectors(checks, isVirtual8086);
  checkBases(checks, isVirtual8086);
  if (isVirtual8086) {
    for (let n: number = Register.es; n <= Register.gs; n++) {
      checks.expect(vmcs.low(limitOf(n)) === 0xffff, section, 'virtual-8086 guest: limits are FFFFh');
      checks.expect(vmcs.low(rightsOf(n)) === 0xf3, section, 'virtual-8086 guest: access rights are F3h');
    }
  } else for (let n: number = Register.es; n <= Register.gs; n++) checkRights(checks, n);
  checkSystemSegments(checks);
}

function checkSelectors(checks: EntryChecks, isVirtual8086: boolean): void {
  const { vmcs, secondary } = checks;
  checks.expect((vmcs.low(selectorOf(Register.tr)) & 4) === 0, section, 'guest TR selector: TI is 0');
  if (isUsable(checks, Register.ldtr))
    checks.expect((vmcs.low(selectorOf(Register.ldtr)) & 4) === 0, section, 'guest LDTR selector: TI is 0');
  if (!isVirtual8086 && (secondary & Secondary.unrestrictedGuest) === 0)
    checks.expect(
      ((vmcs.low(selectorOf(Register.ss)) ^ vmcs.low(selectorOf(Register.cs))) & 3) === 0,
      section,
      'guest SS selector: RPL equal to that of CS, but for unrestricted guests',
    );
}

function checkBases(checks: EntryChecks, isVirtual8086: boolean): void {
  const { vmcs } = checks;
  if (isVirtual8086)
    for (let n: number = Register.es; n <= Register.gs; n++)
      checks.expect(
        vmcs.low(baseOf(n)) === (vmcs.low(selectorOf(n)) & 0xffff) << 4 && vmcs.high(baseOf(n)) === 0,
        section,
        'virtual-8086 guest: bases are the selectors, shifted left by 4',
      );
  for (const n of [Register.tr, Register.fs, Register.gs])
    checks.expect(checks.isCanonical(baseOf(n)), section, 'guest TR, FS and GS bases: canonical');
  if (isUsable(checks, Register.ldtr))
    checks.expect(checks.isCanonical(baseOf(Register.ldtr)), section, 'guest LDTR base: canonical');
  checks.expect(vmcs.high(baseOf(Register.cs)) === 0, section, 'guest CS base: bits 63:32 are 0');
  for (const n of [Register.ss, Register.ds, Register.es])
    if (isUsable(checks, n))
      checks.expect(vmcs.high(baseOf(n)) === 0, section, 'guest SS, DS and ES bases: bits 63:32 are 0');
}

function isUsable({ vmcs }: EntryChecks, n: number): boolean {
  return (vmcs.low(rightsOf(n)) & unusable) === 0;
}

function demand(checks: EntryChecks, n: number, isRight: boolean, rule: string): void {
  if (!isRight) checks.expect(false, section, `guest ${names[n]} access rights: ${rule}`);
}

/** ES CS SS DS FS GS of a guest that is not in virtual-8086 mode. */
function checkRights(checks: EntryChecks, n: number): void {
  const { vmcs, entry, secondary } = checks;
  const rights = vmcs.low(rightsOf(n));
  const type = rights & 15;
  const level = (rights >>> 5) & 3;
  const isUnrestricted = (secondary & Secondary.unrestrictedGuest) !== 0;
  const selectorLevel = vmcs.low(selectorOf(n)) & 3;
  const stackRights = vmcs.low(rightsOf(Register.ss));
  const stackLevel = (stackRights >>> 5) & 3;
  const usable = n === Register.cs || (rights & unusable) === 0;
  if (n === Register.cs) {
    demand(
      checks,
      n,
      type === 9 || type === 11 || type === 13 || type === 15 || (type === 3 && isUnrestricted),
      'type',
    );
    if (type === 3) demand(checks, n, level === 0, 'DPL 0 of a data segment');
    else if (type === 9 || type === 11) demand(checks, n, level === stackLevel, 'DPL equal to that of SS');
    else if (type === 13 || type === 15) demand(checks, n, level <= stackLevel, 'DPL not above that of SS');
  } else if (n === Register.ss) {
    if (usable) demand(checks, n, type === 3 || type === 7, 'type');
    if (!isUnrestricted) demand(checks, n, level === selectorLevel, 'DPL equal to RPL');
    const isReal = (vmcs.low(Cell.guestCr0) & 1) === 0;
    if ((vmcs.low(rightsOf(Register.cs)) & 15) === 3 || isReal)
      demand(checks, n, level === 0, 'DPL 0 in real-address mode');
  } else if (usable) {
    demand(checks, n, (type & 1) !== 0, 'accessed');
    demand(checks, n, (type & 8) === 0 || (type & 2) !== 0, 'readable code');
    // Not of conforming code.
    if (!isUnrestricted && type <= 11) demand(checks, n, level >= selectorLevel, 'DPL not below RPL');
  }
  if (!usable) return;
  demand(checks, n, (rights & 0x10) !== 0, 'S is 1');
  demand(checks, n, (rights & 0x80) !== 0, 'present');
  demand(checks, n, (rights & 0xfffe_0f00) === 0, 'reserved bits');
  if (n === Register.cs)
    demand(
      checks,
      n,
      (entry & Entry.longMode) === 0 || (rights & 0x2000) === 0 || (rights & 0x4000) === 0,
      'D/B is 0 in 64-bit code',
    );
  demand(checks, n, granularityFits(vmcs.low(limitOf(n)), rights), 'G as the limit wants it');
}

/** Bits 11:0 of the limit not all 1: G is 0. Any of bits 31:20 is 1: G is 1. */
function granularityFits(limit: number, rights: number): boolean {
  const isPages = (rights & 0x8000) !== 0;
  if ((limit & 0xfff) !== 0xfff && isPages) return false;
  return (limit & (0xfff0_0000 | 0)) === 0 || isPages;
}

function checkSystemSegments(checks: EntryChecks): void {
  const { vmcs, entry } = checks;
  const isLong = (entry & Entry.longMode) !== 0;
  const task = vmcs.low(rightsOf(Register.tr));
  const type = task & 15;
  checks.expect(
    type === 11 || (type === 3 && !isLong),
    section,
    'guest TR access rights: a busy TSS, of 64 bits in IA-32e mode',
  );
  checks.expect(
    (task & 0x90) === 0x80 && (task & (0xfffe_0f00 | unusable)) === 0,
    section,
    'guest TR access rights: S 0, present, usable, reserved bits 0',
  );
  checks.expect(
    granularityFits(vmcs.low(limitOf(Register.tr)), task),
    section,
    'guest TR access rights: G as the limit wants it',
  );
  if (!isUsable(checks, Register.ldtr)) return;
  const local = vmcs.low(rightsOf(Register.ldtr));
  checks.expect(
    (local & 15) === 2 && (local & 0x90) === 0x80 && (local & 0xfffe_0f00) === 0,
    section,
    'guest LDTR access rights: type 2, S 0, present, reserved bits 0',
  );
  checks.expect(
    granularityFits(vmcs.low(limitOf(Register.ldtr)), local),
    section,
    'guest LDTR access rights: G as the limit wants it',
  );
}
