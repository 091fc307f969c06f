import { describe, expect, test } from 'vitest';
import {
  Access,
  Cr4,
  createTlb,
  eptFrom,
  Fault,
  Invept,
  Invpcid,
  Invvpid,
  PagingContext,
  TlbEntry,
  TlbOptionError,
} from '../src/index.ts';
import { G, Machine, modes, P, U, W } from './oracle/machine.ts';
import { invlpg, stale, V, word } from './oracle/stale.ts';

const { read, write } = Access;
const none = 0x8000_0001 | 0;

describe('S0: INVLPG, PCID, INVPCID', () => {
  test('S0-06 INVLPG: the page for this PCID, global entries, not another PCID; pieces of large pages', () => {
    const { machine } = stale(P | W | U | G, 'exact', Cr4.pcide);
    const cr3 = machine.context.cr3Low;
    machine.mmu.writeCr3(machine.context, cr3 | 1, 1 << 31, machine.out);
    expect(machine.reach(V), 'global: any PCID').toBe(7);
    invlpg(machine, V);
    expect(machine.reach(V)).toBe(8);
    const local = stale(P | W | U, 'exact', Cr4.pcide).machine;
    local.mmu.writeCr3(local.context, local.context.cr3Low | 1, 1 << 31, local.out);
    invlpg(local, V);
    expect(local.reach(V)).toBe(8);
    local.mmu.writeCr3(local.context, local.context.cr3Low & ~1, 1 << 31, local.out);
    expect(local.reach(V), "PCID 0's entry was not touched").toBe(7);
  });

  test('S0-06 INVLPG of an address that is not canonical does nothing', () => {
    const { machine } = stale();
    machine.mmu.invlpg(machine.context, word(V), 0x8000);
    expect(machine.reach(V)).toBe(7);
  });

  test('S0-06 one INVLPG drops every piece of a large page over smaller ones of the second stage', () => {
    const machine = new Machine({ pages: 1024 });
    const root = machine.table();
    const linear = 0x20_0000n;
    machine.map(root, linear, 0n, P | W, { level: 2 });
    for (const [table, next] of [
      [300, 301],
      [301, 302],
      [302, 303],
    ] as const)
      machine.write64(table, 0, (BigInt(next) << 12n) | 7n);
    for (let page = 0; page < 512; page++) machine.write64(303, page, (BigInt(page) << 12n) | 0x37n);
    machine.context.set({ ...modes.level4, cr3: root * 4096 });
    machine.context.secondStage = eptFrom((300n << 12n) | 0x1en);
    machine.mmu.enter(machine.context, { owner: 'vmx', vpidOrAsid: 1, eptpOrNcr3: 300 });
    for (const page of [0n, 5n, 511n]) expect(machine.reach(linear + (page << 12n))).toBe(Number(page));
    const found = () =>
      [0, 5, 511].map((page) =>
        machine.tlb.probe(machine.context.tlbContext, word(linear) + page * 4096, 0, new TlbEntry()),
      );
    expect(found()).toEqual([true, true, true]);
    invlpg(machine, linear + 0x7000n);
    expect(found()).toEqual([false, false, false]);
  });

  test('S0-07 PCIDE, PG, PAE, LA57: which writes raise #GP', () => {
    const machine = new Machine();
    machine.start();
    const { mmu, context, out } = machine;
    const cr4 = (value: number, reserved = 0) => mmu.writeCr4(context, value, reserved, out);
    const long = modes.level4.cr4;
    expect(cr4(long | (1 << 11), 1 << 11), 'S3-07').toBe(Fault.generalProtection);
    expect(cr4(long & ~Cr4.pae)).toBe(Fault.generalProtection);
    expect(cr4(long | Cr4.la57)).toBe(Fault.generalProtection);
    context.cr3Low |= 0x18;
    expect(cr4(long | Cr4.pcide)).toBe(Fault.generalProtection);
    context.cr3Low &= ~0xfff;
    expect(cr4(long | Cr4.pcide)).toBe(Fault.none);
    expect(mmu.writeCr0(context, 1, false, out), 'PG off under PCIDE').toBe(Fault.generalProtection);
    expect(cr4(long)).toBe(Fault.none);
    expect(mmu.writeCr0(context, 1, true, out), '64-bit code').toBe(Fault.generalProtection);
    expect(mmu.writeCr0(context, none & ~1, false, out), 'PG without PE').toBe(Fault.generalProtection);
    expect(mmu.writeCr0(context, none | (1 << 29), false, out), 'NW without CD').toBe(
      Fault.generalProtection,
    );
    expect(cr4(long | Cr4.cet)).toBe(Fault.none);
    expect(mmu.writeCr0(context, none, false, out), 'WP off under CET').toBe(Fault.generalProtection);
    expect(cr4(long)).toBe(Fault.none);
    expect(mmu.writeCr0(context, 1, false, out)).toBe(Fault.none);
    expect(context.efer & 0x400, 'LMA').toBe(0);
    expect(cr4(long | Cr4.pcide), 'outside long mode').toBe(Fault.generalProtection);
    expect(cr4(0x90)).toBe(Fault.none);
    expect(mmu.writeCr0(context, none, false, out), 'LME without PAE').toBe(Fault.generalProtection);
  });

  test('S0-07 PCIDE 1→0 drops everything, 0→1 nothing', () => {
    const { machine } = stale(P | W | G);
    const { mmu, context, out } = machine;
    expect(mmu.writeCr4(context, modes.level4.cr4 | Cr4.pcide, 0, out)).toBe(Fault.none);
    expect(machine.reach(V)).toBe(7);
    mmu.writeCr3(context, context.cr3Low | 5, 0, out);
    expect(mmu.writeCr4(context, modes.level4.cr4, 0, out)).toBe(Fault.none);
    expect(machine.reach(V)).toBe(8);
  });

  test('S0-08 bit 63 of CR3: keeps the new PCID, is not stored, #GP without PCIDE', () => {
    const { machine } = stale(P | W, 'exact', Cr4.pcide);
    const { mmu, context, out } = machine;
    const cr3 = context.cr3Low;
    mmu.writeCr3(context, cr3 | 1, 1 << 31, out);
    expect([context.cr3High, machine.reach(V)]).toEqual([0, 8]);
    mmu.writeCr3(context, cr3, 1 << 31, out);
    expect(machine.reach(V)).toBe(7);
    mmu.writeCr3(context, cr3, 0, out);
    expect(machine.reach(V)).toBe(8);
    context.set({ cr4: modes.level4.cr4 });
    expect(mmu.writeCr3(context, cr3, 1 << 31, out)).toBe(Fault.generalProtection);
    expect(mmu.writeCr3(context, cr3, 1 << 14, out), 'S3-06 MAXPHYADDR is 46').toBe(Fault.generalProtection);
    expect(mmu.writeCr3(context, cr3, 1 << 30, out)).toBe(Fault.generalProtection);
    expect(mmu.writeCr3(context, cr3, 1 << 13, out)).toBe(Fault.none);
  });

  test('S0-08 MOV to CR3 without PCIDE drops all but global entries', () => {
    for (const [flags, expected] of [
      [P, 8],
      [P | G, 7],
    ] as const) {
      const { machine } = stale(flags);
      machine.mmu.writeCr3(machine.context, machine.context.cr3Low, 0, machine.out);
      expect(machine.reach(V)).toBe(expected);
    }
    const { machine } = stale(P | G);
    machine.context.set({ cr4: modes.level4.cr4 & ~Cr4.pge });
    expect(machine.reach(V), 'CR4.PGE was on when it was cached').toBe(7);
  });

  test('S0-09 INVPCID: descriptor matrix, and which types keep global entries', () => {
    const call = (type: number, descriptor: number[], cr4: number, flags: bigint = P) => {
      const { machine } = stale(flags, 'exact', cr4);
      const fault = machine.mmu.invpcid(machine.context, type, descriptor);
      return fault === Fault.none ? machine.reach(V) : '#GP';
    };
    const at = [word(V), word(V >> 32n)];
    const { pcide } = Cr4;
    expect([0, 1, 2, 3].map((type) => call(type, [0, 0, ...at], pcide))).toEqual([8, 8, 8, 8]);
    expect([0, 1, 2, 3].map((type) => call(type, [0, 0, ...at], pcide, P | G))).toEqual([7, 7, 8, 7]);
    expect(
      [0, 1, 2, 3].map((type) => call(type, [9, 0, ...at], pcide)),
      'another PCID',
    ).toEqual([7, 7, 8, 8]);
    expect(call(4, [0, 0, ...at], pcide)).toBe('#GP');
    expect(call(0, [0x1000, 0, ...at], pcide)).toBe('#GP');
    expect(call(2, [0, 1, ...at], pcide)).toBe('#GP');
    expect(
      [0, 1, 2, 3].map((type) => call(type, [9, 0, ...at], 0)),
      'PCIDE=0',
    ).toEqual(['#GP', '#GP', 8, 8]);
    expect(
      [0, 1].map((type) => call(type, [0, 0, 0, 0x8000], pcide)),
      'not canonical',
    ).toEqual(['#GP', 8]);
    expect(Invpcid.allWithGlobals).toBe(2);
  });

  test('S0-13 INVLPG in root concerns VPID 0 only', () => {
    const machine = new Machine();
    const root = machine.start();
    const place = machine.map(root, V, 0x7000n, P | G);
    const guest = new PagingContext({ ...modes.level4, cr3: root * 4096 });
    machine.mmu.enter(guest, { owner: 'vmx', vpidOrAsid: 3 });
    expect([machine.reach(V), machine.reach(V, read, guest)]).toEqual([7, 7]);
    machine.write64(...place, 0x8000n | P | G);
    invlpg(machine, V);
    expect([machine.reach(V), machine.reach(V, read, guest)]).toEqual([8, 7]);
    machine.mmu.invlpg(guest, word(V), word(V >> 32n));
    expect(machine.reach(V, read, guest)).toBe(8);
  });
});

describe('S2: CR0, CR4, INIT', () => {
  test.each([
    ['intel', 'PGE', Cr4.pge, 8, 8],
    ['intel', 'PSE', Cr4.pse, 7, 7],
    ['intel', 'SMEP 0→1', Cr4.smep, 8, 8],
    ['intel', 'PKE 0→1', Cr4.pke, 7, 7],
    ['intel', 'SMAP 0→1', Cr4.smap, 7, 7],
    ['amd', 'PGE', Cr4.pge, 8, 8],
    ['amd', 'PSE', Cr4.pse, 8, 8],
    ['amd', 'SMEP 0→1', Cr4.smep, 8, 8],
    ['amd', 'PKE 0→1', Cr4.pke, 8, 8],
    ['amd', 'SMAP 0→1', Cr4.smap, 7, 7],
  ] as const)('S2-20 %s: %s', (vendor, _, bit, local, global) => {
    for (const [flags, expected] of [
      [P, local],
      [P | G, global],
    ] as const) {
      const { machine } = stale(flags, 'exact', 0, { vendor });
      machine.mmu.writeCr4(machine.context, machine.context.cr4, 0, machine.out);
      expect(machine.reach(V), 'the same value').toBe(7);
      machine.mmu.writeCr4(machine.context, machine.context.cr4 ^ bit, 0, machine.out);
      expect(machine.reach(V)).toBe(expected);
    }
  });

  test('S2-20 SMEP 0→1 keeps other PCIDs; PG 1→0 drops everything', () => {
    const { machine } = stale(P | W, 'exact', Cr4.pcide);
    const { mmu, context, out } = machine;
    mmu.writeCr3(context, context.cr3Low | 1, 1 << 31, out);
    mmu.writeCr4(context, context.cr4 | Cr4.smep, 0, out);
    mmu.writeCr3(context, context.cr3Low & ~1, 1 << 31, out);
    expect(machine.reach(V)).toBe(7);
    const { machine: other } = stale(P | G);
    other.mmu.writeCr0(other.context, 1 | (1 << 16), false, other.out);
    other.mmu.writeCr0(other.context, modes.level4.cr0, false, other.out);
    expect(other.reach(V)).toBe(8);
  });

  test('S2-20 SMM drops everything, MTRR writes do on AMD', () => {
    for (const [vendor, cause, expected] of [
      ['intel', 'smm', 8],
      ['intel', 'mtrr', 7],
      ['amd', 'mtrr', 8],
      ['intel', 'a20', 8],
    ] as const) {
      const { machine } = stale(P | G, 'exact', 0, { vendor });
      machine.tlb.implicitFlush(cause);
      expect(machine.reach(V)).toBe(expected);
    }
  });

  const afterInit = (
    policy: 'all' | 'amdTable' | 'az28',
    flags: bigint,
    cr4: number,
    use: (machine: Machine) => number | string,
  ) => {
    const { machine } = stale(flags, 'exact', 0, { initFlush: policy });
    const { cr0 } = machine.context;
    machine.context.set({ cr0: 0x10, cr3: machine.context.cr3Low, cr4: 0, efer: 0 });
    machine.mmu.enter(machine.context);
    machine.tlb.init(cr0, cr4);
    return use(machine);
  };
  const reenter = (machine: Machine) => {
    machine.mmu.writeCr4(machine.context, modes.level4.cr4, 0, machine.out);
    machine.context.efer = 0x900;
    machine.mmu.writeCr3(machine.context, machine.context.cr3Low, 0, machine.out);
    machine.mmu.writeCr0(machine.context, modes.level4.cr0, false, machine.out);
    return machine.reach(V);
  };
  const peek = ({ tlb, context }: Machine) => {
    const entry = new TlbEntry();
    return tlb.probe(context.tlbContext, word(V), word(V >> 32n), entry) ? entry.page : 'nothing';
  };

  test('S2-01, S2-02, S2-03: what an INIT leaves, and its cures', () => {
    expect(afterInit('all', P | G, 0x80, peek)).toBe('nothing');
    expect(afterInit('amdTable', P, 0x80, peek)).toBe(7);
    expect(afterInit('az28', P | G, 0x80, peek)).toBe(7);
    expect(afterInit('az28', P | G, 0, peek), 'CR4.PGE was 0').toBe('nothing');
    expect(afterInit('az28', P, 0x80, peek)).toBe('nothing');
    for (const policy of ['all', 'az28'] as const) expect(afterInit(policy, P | G, 0x80, reenter)).toBe(8);
    expect(() => createTlb('exact', { initFlush: 'some' as 'all' })).toThrow(
      'one of all, amdTable, az28 is allowed',
    );
  });

  test('S2-03 az28: a look-up with paging off meets the survivor', () => {
    for (const [consult, expected] of [
      [true, 7],
      [false, 1],
    ] as const) {
      const machine = new Machine({ options: { initFlush: 'az28', az28ConsultWithPgOff: consult } });
      const root = machine.start();
      machine.map(root, 0x1000n, 0x7000n, P | G);
      expect(machine.reach(0x1000n)).toBe(7);
      const { cr0, cr4 } = machine.context;
      machine.context.set({ cr0: 0x10, cr4: 0, efer: 0 });
      machine.tlb.init(cr0, cr4);
      expect(machine.reach(0x1000n)).toBe(expected);
      machine.mmu.writeCr0(machine.context, 0x11, false, machine.out);
      expect(machine.reach(0x1000n), 'CR0.PE is a cure').toBe(1);
    }
  });

  test('T-02 none refuses what needs a memory', () => {
    expect(() => createTlb('none', { initFlush: 'az28' })).toThrow(TlbOptionError);
    expect(() => createTlb('none', { cap: 3 })).toThrow(
      'option "cap" of TLB none: one of vendor, initFlush, contexts is allowed',
    );
    expect(() => createTlb('lru')).toThrow('one of set-associative, exact, chaos, none is allowed');
    expect(() => createTlb('exact', { sets: 4 })).toThrow(TlbOptionError);
    expect(() => createTlb('set-associative', { sets: 3 })).toThrow('a power of two');
  });
});

describe('S4: ASIDs and VPIDs', () => {
  const twoGuests = (vendor: 'intel' | 'amd' = 'amd') => {
    const machine = new Machine({ options: { vendor } });
    const root = machine.start();
    const place = machine.map(root, V, 0x7000n, P | G);
    const guests = [1, 2].map((vpidOrAsid) => {
      const context = new PagingContext({ ...modes.level4, cr3: root * 4096 });
      machine.mmu.enter(context, { owner: vendor === 'amd' ? 'svm' : 'vmx', vpidOrAsid });
      return context;
    });
    const all = () => [machine.context, ...guests].map((context) => machine.reach(V, read, context));
    expect(all()).toEqual([7, 7, 7]);
    machine.write64(...place, 0x8000n | P | G);
    return { machine, guests, all };
  };

  test('S4-60, S4-63, S4-67: host and ASIDs are apart, global entries too; INVLPGA names one', () => {
    const { machine, all } = twoGuests();
    expect(all()).toEqual([7, 7, 7]);
    machine.tlb.invlpga(2, word(V), word(V >> 32n));
    expect(all()).toEqual([7, 7, 8]);
    machine.tlb.invlpga(9, word(V), word(V >> 32n));
    expect(all()).toEqual([7, 7, 8]);
  });

  test('S4-62 TLB_CONTROL: one ASID without and with global entries, all with the host', () => {
    const { machine, all } = twoGuests();
    machine.tlb.tlbControl('asidNonGlobal', 1);
    expect(all()).toEqual([7, 7, 7]);
    machine.tlb.tlbControl('asid', 1);
    expect(all()).toEqual([7, 8, 7]);
    machine.tlb.tlbControl('all', 1);
    expect(all()).toEqual([8, 8, 8]);
  });

  test('S4-64, S4-65: transitions and register writes of a guest leave the others alone', () => {
    const { machine, guests, all } = twoGuests();
    machine.mmu.transition(machine.context, guests[0]);
    machine.mmu.transition(guests[0], machine.context);
    expect(all()).toEqual([7, 7, 7]);
    machine.mmu.writeCr4(guests[0], guests[0].cr4 ^ Cr4.pge, 0, machine.out);
    expect(all()).toEqual([7, 8, 7]);
    const kvm = new Machine({ options: { vendor: 'amd', flushOnTransition: 'kvm' } });
    const root = kvm.start();
    const place = kvm.map(root, V, 0x7000n, P);
    kvm.reach(V);
    kvm.write64(...place, 0x8000n | P);
    const guest = new PagingContext(modes.level4);
    kvm.mmu.enter(guest, { owner: 'svm', vpidOrAsid: 1 });
    kvm.mmu.transition(kvm.context, guest);
    expect(kvm.reach(V)).toBe(8);
  });

  test('S4-66 SMM covers all ASIDs; S4-68 an old ASID still has its entries', () => {
    const { machine, guests, all } = twoGuests();
    machine.mmu.enter(guests[0], { owner: 'svm', vpidOrAsid: 5 });
    expect(all()).toEqual([7, 8, 7]);
    machine.mmu.enter(guests[0], { owner: 'svm', vpidOrAsid: 1 });
    expect(all()).toEqual([7, 7, 7]);
    machine.tlb.implicitFlush('smm');
    expect(all()).toEqual([8, 8, 8]);
  });

  test('S4-70 posted flushes are done before tags change', () => {
    const { machine, guests, all } = twoGuests();
    machine.mmu.post((tlb) => tlb.tlbControl('asid', 2));
    expect(all()).toEqual([7, 7, 7]);
    machine.mmu.enter(guests[0], { owner: 'svm', vpidOrAsid: 1 });
    expect(all()).toEqual([7, 7, 8]);
  });

  test('S4-72 INVVPID matrix; VPID 0 is dropped by transitions without VPIDs', () => {
    const after = (type: number, vpid: number) => {
      const { machine, all } = twoGuests('intel');
      machine.tlb.invvpid(type, vpid, word(V), word(V >> 32n));
      return all();
    };
    expect(after(Invvpid.address, 1)).toEqual([7, 8, 7]);
    expect(after(Invvpid.context, 2)).toEqual([7, 7, 8]);
    expect(after(Invvpid.all, 1)).toEqual([7, 8, 8]);
    expect(after(Invvpid.contextExceptGlobals, 1)).toEqual([7, 7, 7]);
    const { machine, guests, all } = twoGuests('intel');
    machine.mmu.transition(machine.context, guests[0]);
    expect(all()).toEqual([7, 7, 7]);
    const bare = new PagingContext(modes.level4);
    machine.mmu.enter(bare, { owner: 'vmx', vpidOrAsid: 0 });
    machine.mmu.transition(machine.context, bare);
    expect(all()).toEqual([8, 7, 7]);
  });

  test('S4-69, S4-72, D12: edits of the second stage show after INVEPT, an ASID flush, or a hypercall', () => {
    const machine = new Machine();
    const root = machine.table();
    machine.map(root, V, 0x7000n, P | W | 0x20n, { above: 0x27n });
    for (const [table, next] of [
      [200, 201],
      [201, 202],
      [202, 203],
    ] as const)
      machine.write64(table, 0, (BigInt(next) << 12n) | 7n);
    for (let page = 0; page < 200; page++) machine.write64(203, page, (BigInt(page) << 12n) | 0x37n);
    machine.context.set({ ...modes.level4, cr3: root * 4096 });
    machine.context.secondStage = eptFrom((200n << 12n) | 0x1en);
    machine.mmu.enter(machine.context, { owner: 'vmx', vpidOrAsid: 1, eptpOrNcr3: 200 });
    const move = (to: bigint) => machine.write64(203, 7, (to << 12n) | 0x37n);
    expect(machine.reach(V)).toBe(7);
    move(9n);
    expect(machine.reach(V)).toBe(7);
    machine.tlb.invvpid(Invvpid.context, 1, 0, 0);
    expect(machine.reach(V), 'the guest-physical mapping is still cached').toBe(7);
    machine.tlb.invept(Invept.context, 201);
    expect(machine.reach(V), 'another root').toBe(7);
    machine.tlb.invept(Invept.context, 200);
    expect(machine.reach(V)).toBe(9);
    move(10n);
    machine.tlb.setGuestIdentity(1, 55n, 2);
    machine.tlb.hvFlush({ vmId: 55n, vpIds: [3] });
    machine.tlb.hvFlush({ vmId: 54n });
    machine.tlb.hvFlush({ vmId: 55n, vpIds: [2], gvaList: [V] });
    expect(machine.reach(V), 'S1-56 concerns linear addresses').toBe(9);
    machine.tlb.hvFlushGpa(200, [0x7000n]);
    expect(machine.reach(V), 'S1-57').toBe(10);
    // An EPT violation drops what it would have used (29.4.3.1), so mapping the page again needs no INVEPT.
    machine.write64(203, 7, (10n << 12n) | 0x31n);
    machine.tlb.invept(Invept.global, 0);
    expect(machine.reach(V)).toBe(10);
    expect(machine.access(V, write)).toBe(Fault.eptViolation);
    move(11n);
    expect(machine.reach(V)).toBe(11);
  });

  test('more contexts than fit: numbers are recycled, those in use are not', () => {
    const machine = new Machine({ options: { contexts: 16 } });
    const root = machine.start();
    machine.map(root, V, 0x7000n, P);
    machine.context.set({ cr4: modes.level4.cr4 | Cr4.pcide });
    for (let pcid = 0; pcid < 4096; pcid++) {
      expect(machine.mmu.writeCr3(machine.context, root * 4096 + pcid, 0, machine.out)).toBe(Fault.none);
      expect(machine.reach(V)).toBe(7);
    }
  });
});
