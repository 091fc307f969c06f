import { describe, expect, test } from 'vitest';
import { Access, type Ept, eptFrom, Fault, type Npt, PagingContext } from '../src/index.ts';
import { A, D, Machine, modes, P, U, W, XD } from './oracle/machine.ts';

const { read, write, execute, user, shadowStack } = Access;
const WB = 6n << 3n;
const r = 1n;
const w = 2n;
const x = 4n;
const xu = 1n << 10n;
const guestLinear = 0x1000n;
const guestPage = 7;

/** A guest with 4-level tables whose pages 0 to 255 an EPT maps one to one; `at` is the EPT entry of the page that `guestLinear` leads to. */
function eptMachine(options: Partial<Ept> & { eptp?: bigint; guestFlags?: bigint } = {}) {
  const { eptp = 0x1en, guestFlags = P | W | U | A | D, ...rest } = options;
  const machine = new Machine({ tlb: 'none', pages: 512 });
  const root = machine.table();
  const guest = machine.map(root, guestLinear, BigInt(guestPage) << 12n, guestFlags, {
    above: P | W | U | A,
  });
  const eptRoot = 300;
  for (const [table, next] of [
    [300, 301],
    [301, 302],
    [302, 303],
  ] as const)
    machine.write64(table, 0, (BigInt(next) << 12n) | r | w | x | xu);
  for (let page = 0; page < 256; page++)
    machine.write64(303, page, (BigInt(page) << 12n) | r | w | x | xu | WB);
  machine.context.set({ ...modes.level4, cr3: root * 4096 });
  const ept = eptFrom((BigInt(eptRoot) << 12n) | eptp, { advancedInformation: false, ...rest });
  machine.context.secondStage = ept;
  machine.mmu.enter(machine.context, { owner: 'vmx', vpidOrAsid: 1, eptpOrNcr3: eptRoot });
  const set = (page: number, flags: bigint) => machine.write64(303, page, (BigInt(page) << 12n) | flags);
  return { machine, root, guest, ept, set, tablePage: guest[0] };
}

describe('EPT', () => {
  test('all permission combinations × access kinds, with and without execute-only and mode-based execution', () => {
    let checked = 0;
    for (const modeBasedExecute of [false, true])
      for (const executeOnly of [false, true])
        for (const pageUser of [false, true]) {
          const { machine, set } = eptMachine({
            modeBasedExecute,
            executeOnly,
            guestFlags: P | W | A | D | (pageUser ? U : 0n),
          });
          for (let bits = 0n; bits < 16n; bits++)
            for (const access of [read, write, execute]) {
              const flags = (bits & 7n) | ((bits & 8n) !== 0n ? xu : 0n);
              set(guestPage, flags | WB);
              const [er, ew, ex, exu] = [r, w, x, xu].map((bit) => (flags & bit) !== 0n);
              const byUser = pageUser ? user : 0;
              const qualification =
                0x180 | [1, 2, 4][access] | (Number(flags & 7n) * 8) | (modeBasedExecute && exu ? 64 : 0);
              const present = er || ew || ex || (modeBasedExecute && exu);
              let expected: number | string = guestPage;
              if (present && !er && (ew || !executeOnly)) expected = 'eptMisconfiguration';
              else if (
                access === read ? !er : access === write ? !ew : modeBasedExecute && pageUser ? !exu : !ex
              )
                expected = `eptViolation ${(present ? qualification : 0x180 | [1, 2, 4][access]).toString(16)}`;
              const result = machine.reach(guestLinear, access | byUser);
              expect(
                String(result).replace(/(eptMisconfiguration).*/, '$1'),
                `${flags.toString(16)} ${access}`,
              ).toBe(String(expected));
              checked++;
            }
        }
    expect(checked).toBe(384);
  });

  test('qualification: guest page tables, as kvm-unit-tests expects (ept_access_test_paddr_*)', () => {
    for (const accessedDirty of [false, true]) {
      const eptp = accessedDirty ? 0x5en : 0x1en;
      const both = 0x83;
      // Not there: with A and D flags the walk counts as a write.
      const gone = eptMachine({ eptp });
      gone.set(gone.tablePage, 0n);
      expect(gone.machine.reach(guestLinear)).toBe(
        `eptViolation ${(accessedDirty ? both : 0x81).toString(16)}`,
      );
      expect(gone.machine.out.guestPage * 4096 + gone.machine.out.guestOffset).toBe(
        gone.tablePage * 4096 + 8,
      );
      // Read-only: A has to be set.
      for (const [flags, access] of [
        [P | W | U, read],
        [P | W | U | A, write],
      ] as const) {
        const fresh = eptMachine({ eptp, guestFlags: flags });
        fresh.set(fresh.tablePage, r | WB);
        expect(fresh.machine.reach(guestLinear, access)).toBe(`eptViolation ${(both | 8).toString(16)}`);
        expect(fresh.machine.read64(...fresh.guest)).toBe(0x7000n | flags);
      }
      // Read-only and nothing to set.
      const done = eptMachine({ eptp });
      done.set(done.tablePage, r | WB);
      expect(done.machine.reach(guestLinear, write)).toBe(
        accessedDirty ? `eptViolation ${(both | 8).toString(16)}` : guestPage,
      );
    }
  });

  test('qualification: advanced information, shadow stacks, #VE', () => {
    for (const [flags, bits] of [
      [P | A, 0],
      [P | U | A, 0x200],
      [P | W | A, 0x400],
      [P | XD | A, 0x800],
      [P | W | U | XD | A, 0xe00],
    ] as const) {
      const { machine, set } = eptMachine({ advancedInformation: true, guestFlags: flags });
      set(guestPage, w << 60n);
      expect(machine.reach(guestLinear)).toBe(`eptViolation ${(0x181 | bits).toString(16)}`);
      expect(machine.out.suppressVe).toBe(false);
      set(guestPage, 1n << 63n);
      machine.reach(guestLinear);
      expect(machine.out.suppressVe).toBe(true);
    }
    const { machine, set } = eptMachine({ guestFlags: P | D | A });
    set(guestPage, x | WB);
    expect(machine.reach(guestLinear, write | shadowStack)).toBe('eptViolation 21a2');
  });

  test('EPTP[7]: supervisor shadow stacks need R throughout, W above, bit 60 in the last entry', () => {
    const sss = 1n << 60n;
    const allowed = (flags: bigint, above: bigint, access: number, guestFlags: bigint) => {
      const { machine, set } = eptMachine({ eptp: 0x9en, guestFlags });
      machine.write64(302, 0, (303n << 12n) | above);
      set(guestPage, flags | WB);
      // The tables of the guest need nothing but reading: A and D are set.
      return machine.reach(guestLinear, access | shadowStack);
    };
    const supervisor = P | D | A;
    expect(allowed(r | sss, r | w | x, write, supervisor)).toBe(guestPage);
    expect(allowed(r | sss, r | w | x, read, supervisor)).toBe(guestPage);
    expect(allowed(r | w | sss, r | w | x, write, supervisor)).toBe(guestPage);
    expect(allowed(r | w, r | w | x, write, supervisor)).toBe('eptViolation 219a');
    expect(allowed(r | sss, r | x, write, supervisor)).toBe('eptViolation 618a');
    expect(allowed(r | sss, r | w | x, write | user, supervisor | U), "a user's is an ordinary write").toBe(
      'eptViolation 618a',
    );
    expect(allowed(r | w, r | w | x, write | user, supervisor | U)).toBe(guestPage);
  });

  test('misconfigurations: reserved bits, memory types, sizes', () => {
    const { machine, set, ept } = eptMachine();
    const misconfigured = () => machine.access(guestLinear) === Fault.eptMisconfiguration;
    for (let type = 0n; type < 8n; type++) {
      set(guestPage, r | w | x | (type << 3n));
      expect(misconfigured(), `memory type ${type}`).toBe([2n, 3n, 7n].includes(type));
    }
    for (let bit = 8n; bit < 12n; bit++) {
      set(guestPage, r | w | x | WB | (1n << bit));
      expect(misconfigured(), `ignored bit ${bit}`).toBe(false);
    }
    for (const bit of [46n, 51n]) {
      set(guestPage, r | WB | (1n << bit));
      expect(misconfigured(), `bit ${bit}`).toBe(true);
    }
    for (const bit of [52n, 57n, 61n, 62n]) {
      set(guestPage, r | WB | (1n << bit));
      expect(misconfigured(), `ignored bit ${bit}`).toBe(false);
    }
    set(guestPage, r | w | x | WB);
    for (const [table, bits] of [
      [300, [3n, 6n, 7n]],
      [301, [3n, 6n]],
      [302, [3n, 6n]],
    ] as const)
      for (const bit of bits) {
        const entry = machine.read64(table, 0);
        machine.write64(table, 0, entry | (1n << bit));
        expect(misconfigured(), `table ${table} bit ${bit}`).toBe(true);
        expect([machine.out.guestPage, machine.out.level]).toEqual([16, 304 - table]);
        machine.write64(table, 0, entry);
      }
    machine.write64(301, 0, 0x80n | r | w | x | WB);
    expect(machine.reach(guestLinear), '1 GiB').toBe(guestPage);
    ept.pages1G = false;
    expect(misconfigured()).toBe(true);
    machine.write64(301, 0, (302n << 12n) | 7n);
    machine.write64(302, 0, 0x80n | r | w | x | WB);
    expect(machine.reach(guestLinear), '2 MiB').toBe(guestPage);
    machine.write64(302, 0, 0x1080n | r | w | x | WB);
    expect(misconfigured()).toBe(true);
  });

  test('A and D of EPT entries: guest page tables become dirty, data by writes', () => {
    const { machine, set, tablePage, root } = eptMachine({ eptp: 0x5en });
    const bits = (page: number) => machine.read64(303, page) & 0x300n;
    expect(machine.reach(guestLinear, read)).toBe(guestPage);
    expect([bits(guestPage), bits(tablePage), bits(root), bits(9)]).toEqual([0x100n, 0x300n, 0x300n, 0n]);
    for (const table of [300, 301, 302]) expect(machine.read64(table, 0) & 0x300n).toBe(0x100n);
    expect(machine.reach(guestLinear, write)).toBe(guestPage);
    expect(bits(guestPage)).toBe(0x300n);
    set(guestPage, r | x | WB);
    expect(machine.reach(guestLinear, write)).toBe('eptViolation 1aa');
    expect(bits(guestPage), 'a violation leaves the last entry alone').toBe(0n);
  });

  test('page-modification logging is asked before D is set; a full log stops the access', () => {
    const { machine, ept, tablePage } = eptMachine({ eptp: 0x5en });
    const logged: number[] = [];
    ept.logDirty = (page) => page !== guestPage && logged.push(page) > 0;
    expect(machine.access(guestLinear, write)).toBe(Fault.pageModificationLog);
    expect(machine.read64(303, guestPage) & 0x300n).toBe(0n);
    expect(logged).toContain(tablePage);
    ept.logDirty = () => true;
    expect(machine.access(guestLinear, write)).toBe(Fault.none);
  });

  test('guest-physical addresses beyond four levels', () => {
    const { machine, guest } = eptMachine();
    machine.write64(...guest, (1n << 45n) | P | A);
    expect(machine.reach(guestLinear)).toBe('eptViolation 181');
    const wide = new Machine({ tlb: 'none', model: { physicalBits: 52 } });
    wide.context.set({ cr0: 1 });
    expect(eptFrom((5n << 12n) | 0x26n).levels).toBe(5);
  });

  test('a #PF of the guest comes before what lies behind it', () => {
    const { machine, set } = eptMachine({ guestFlags: P | A });
    set(guestPage, 0n);
    expect(machine.reach(guestLinear, user)).toBe('page 5');
  });

  test('without paging in the guest, each address is a user one that may be written', () => {
    const { machine, set } = eptMachine({ advancedInformation: true, modeBasedExecute: true });
    machine.context.set({ cr0: 1 });
    machine.mmu.enter(machine.context);
    expect(machine.reach(0x9123n, write)).toBe(9);
    set(9, r | x | WB);
    expect(machine.reach(0x9123n, execute)).toBe('eptViolation 7ac');
    set(9, 0n);
    expect(machine.reach(0x9123n, read)).toBe('eptViolation 781');
  });

  test('loading PDPTEs has no linear address and reads, even with A and D flags', () => {
    const { machine, set } = eptMachine({ eptp: 0x5en });
    machine.context.set({ ...modes.pae, cr3: 0x9000 });
    machine.mmu.enter(machine.context);
    set(9, w << 60n);
    expect(machine.mmu.writeCr3(machine.context, 0x9020, 0, machine.out)).toBe(Fault.eptViolation);
    expect([machine.out.errorCode, machine.out.guestPage, machine.out.guestOffset]).toEqual([1, 9, 0x20]);
    set(9, r | WB);
    expect(machine.mmu.writeCr3(machine.context, 0x9020, 0, machine.out)).toBe(Fault.none);
    expect(machine.read64(303, 9) & 0x300n).toBe(0x100n);
  });
});

/** As `eptMachine`, over nested page tables in the host's 4-level paging. */
function nptMachine(guestFlags: bigint = P | W | U | A | D) {
  const machine = new Machine({ tlb: 'none', pages: 512, model: { vendor: 'amd' } });
  const root = machine.table();
  const guest = machine.map(root, guestLinear, BigInt(guestPage) << 12n, guestFlags, {
    above: P | W | U | A,
  });
  for (const [table, next] of [
    [300, 301],
    [301, 302],
    [302, 303],
  ] as const)
    machine.write64(table, 0, (BigInt(next) << 12n) | P | W | U);
  for (let page = 0; page < 256; page++) machine.write64(303, page, (BigInt(page) << 12n) | P | W | U);
  const npt: Npt = {
    kind: 'npt',
    paging: new PagingContext({ ...modes.level4, cr3: 300 * 4096 }),
    tlbContext: -1,
  };
  machine.context.set({ ...modes.level4, cr3: root * 4096 });
  machine.context.secondStage = npt;
  machine.mmu.enter(machine.context, { owner: 'svm', vpidOrAsid: 1 });
  const set = (page: number, flags: bigint) => machine.write64(303, page, (BigInt(page) << 12n) | flags);
  const info = () => (BigInt(machine.out.errorCodeHigh) << 32n) | BigInt(machine.out.errorCode);
  return { machine, root, guest, npt, set, info, tablePage: guest[0] };
}

describe('NPT', () => {
  test('all permission combinations × access kinds, for data and for guest page tables', () => {
    const { machine, set, info, tablePage } = nptMachine();
    let checked = 0;
    for (const [page, table] of [
      [guestPage, false],
      [tablePage, true],
    ] as const) {
      for (let bits = 0; bits < 16; bits++)
        for (const access of [read, write, execute, read | user, write | user, execute | user]) {
          const [p, rw, us, nx] = [1, 2, 4, 8].map((bit) => (bits & bit) !== 0);
          set(page, (p ? P : 0n) | (rw ? W : 0n) | (us ? U : 0n) | (nx ? XD : 0n));
          const kind = table ? write : access & 3;
          const allowed = p && us && (kind !== write || rw) && (kind !== execute || !nx);
          const expected =
            (p ? 1n : 0n) |
            (kind === write ? 2n : 0n) |
            4n |
            (kind === execute ? 16n : 0n) |
            (table ? 1n << 33n : 1n << 32n);
          const fault = machine.access(guestLinear, access);
          expect(fault).toBe(allowed ? Fault.none : Fault.nestedPage);
          if (!allowed) {
            expect(info()).toBe(expected);
            expect(machine.out.guestPage * 4096 + machine.out.guestOffset).toBe(
              table ? page * 4096 + 8 : page * 4096,
            );
          }
          checked++;
        }
      set(page, P | W | U);
    }
    expect(checked).toBe(192);
  });

  test('EXITINFO1 as kvm-unit-tests expects: npt_rw_pfwalk, npt_rsvd, npt_rsvd_pfwalk, npt_us, npt_nx', () => {
    const { machine, set, info, root } = nptMachine();
    set(root, P | U);
    machine.access(guestLinear);
    expect([info(), machine.out.guestPage, machine.out.guestOffset]).toEqual([0x2_0000_0007n, root, 0]);
    set(root, P | W | U);
    const pml4e = machine.read64(300, 0);
    machine.write64(300, 0, pml4e | 0x100n);
    machine.access(guestLinear);
    expect(info()).toBe(0x2_0000_000fn);
    machine.write64(300, 0, pml4e);
    set(guestPage, P | W);
    machine.access(guestLinear);
    expect(info()).toBe(0x1_0000_0005n);
    set(guestPage, P | W | U | XD);
    machine.access(guestLinear, execute);
    expect(info()).toBe(0x1_0000_0015n);
    set(guestPage, (1n << 51n) | P | W | U);
    machine.access(guestLinear, execute);
    expect(info()).toBe(0x1_0000_001dn);
  });

  test('guest page tables become dirty in the nested tables, data by writes', () => {
    const { machine, tablePage } = nptMachine();
    const bits = (page: number) => machine.read64(303, page) & (A | D);
    expect(machine.reach(guestLinear)).toBe(guestPage);
    expect([bits(tablePage), bits(guestPage)]).toEqual([A | D, A]);
    expect(machine.reach(guestLinear, write)).toBe(guestPage);
    expect(bits(guestPage)).toBe(A | D);
  });

  test('the smaller page of both stages is what may be cached', () => {
    const { machine, guest, root } = nptMachine();
    machine.write64(302, 0, P | W | U | (1n << 7n));
    expect([machine.reach(guestLinear), machine.out.shift]).toEqual([guestPage, 12]);
    machine.map(root, 0x20_0000n, 0n, P | W | U, { level: 2 });
    expect([machine.reach(0x20_3000n), machine.out.shift, machine.out.guestShift]).toEqual([3, 21, 21]);
    machine.write64(302, 0, (303n << 12n) | P | W | U);
    expect([machine.reach(0x20_3000n), machine.out.shift, machine.out.guestShift]).toEqual([3, 12, 21]);
    expect(guest[1]).toBe(1);
  });

  test("guest-physical addresses beyond the host's mode", () => {
    const { machine, guest, npt, info } = nptMachine();
    npt.paging.set({ ...modes.legacy, cr3: 300 * 4096 });
    machine.view.setUint32(300 * 4096, 0x87, true);
    machine.view.setUint32(300 * 4096 + 4, 0, true);
    expect(machine.reach(guestLinear)).toBe(guestPage);
    machine.write64(...guest, (1n << 32n) | P | A);
    expect(machine.access(guestLinear, write | user)).toBe(Fault.page);
    machine.write64(...guest, (1n << 32n) | P | W | U | A | D);
    expect([machine.access(guestLinear, write), info()]).toEqual([Fault.nestedPage, 0x1_0000_0006n]);
  });
});
