import { describe, expect, test } from 'vitest';
import {
  Access,
  Cr4,
  createTlb,
  eptFrom,
  Fast,
  Fault,
  PagingContext,
  Rights,
  TlbEntry,
} from '../src/index.ts';
import { D, Machine, modes, P, U, W, XD } from './oracle/machine.ts';
import { invlpg, stale, V, word } from './oracle/stale.ts';

const { read, write, execute, user } = Access;
const none = 0x8000_0001 | 0;

describe('T-01, S2-21: what is cached stays until it is flushed', () => {
  test.each([
    ['exact', 7],
    ['set-associative', 7],
    ['none', 8],
  ] as const)('%s', (tlb, expected) => {
    expect(stale(P | W, tlb).machine.reach(V)).toBe(expected);
    expect(createTlb(tlb).strictRetention).toBe(tlb === 'exact');
    expect(createTlb(tlb).fastPath).toBe(tlb !== 'none');
  });

  test('chaos loses early, and equally for an equal seed', () => {
    const trace = (seed: number) => {
      const machine = new Machine({ tlb: 'chaos', options: { seed, interval: 2 } });
      const root = machine.start();
      const seen: number[] = [];
      for (let i = 0; i < 20; i++) machine.map(root, V + BigInt(i * 4096), 0x7000n, P);
      for (let i = 0; i < 20; i++) machine.access(V + BigInt(i * 4096));
      for (let i = 0; i < 20; i++)
        seen.push(
          machine.tlb.probe(machine.context.tlbContext, word(V) + i * 4096, word(V >> 32n), new TlbEntry())
            ? 1
            : 0,
        );
      return seen.join('');
    };
    expect(trace(3)).toBe(trace(3));
    expect(trace(3)).toContain('0');
    expect(trace(3)).not.toBe(trace(4));
  });

  test('E: look-ups and probes do not change what is evicted', () => {
    const run = (hits: boolean) => {
      const machine = new Machine({ tlb: 'set-associative', options: { sets: 1, ways: 4 } });
      const root = machine.start();
      for (let i = 0; i < 8; i++) machine.map(root, V + BigInt(i * 4096), 0x7000n, P);
      for (let i = 0; i < 8; i++) {
        machine.access(V + BigInt(i * 4096));
        if (hits) for (let n = 0; n < 5; n++) machine.access(V + BigInt(Math.max(0, i - 2) * 4096));
      }
      return JSON.stringify(machine.tlb.save(), (_, value) =>
        ArrayBuffer.isView(value) ? [...(value as Int32Array)] : value,
      );
    };
    expect(run(true)).toBe(run(false));
  });

  test('exact reports when its cap is reached', () => {
    let capped = 0;
    const machine = new Machine({ options: { cap: 4, onCap: () => capped++ } });
    const root = machine.start();
    for (let i = 0; i < 6; i++) machine.map(root, V + BigInt(i * 4096), 0x7000n, P);
    for (let i = 0; i < 6; i++) machine.access(V + BigInt(i * 4096));
    expect(capped).toBe(2);
  });
});

describe('T-03: paging-structure caches', () => {
  test('a stale entry above the last one is used until INVLPG of any page', () => {
    const { machine, root } = stale();
    const other = V + 0x2000n;
    machine.map(root, other, 0x9000n, P);
    const [table, index] = machine.entry(root, 4, V, 2);
    const moved = machine.table();
    machine.write64(moved, Number((other >> 12n) & 511n), 0xa000n | P);
    machine.write64(table, index, (BigInt(moved) << 12n) | P | W | U);
    expect(machine.reach(other), 'by the old table').toBe(9);
    expect(machine.reach(V)).toBe(7);
    invlpg(machine, 0x12_3000n);
    expect(machine.reach(other), 'the page itself is still cached').toBe(9);
    invlpg(machine, other);
    expect(machine.reach(other)).toBe(10);
  });

  test('INVPCID type 0 drops those of its address only', () => {
    const { machine, root } = stale();
    const far = V + 0x8000_0000n;
    machine.map(root, far, 0x9000n, P);
    expect(machine.reach(far)).toBe(9);
    expect(machine.mmu.invpcid(machine.context, 0, [0, 0, word(V), word(V >> 32n)])).toBe(Fault.none);
    const probe = (at: bigint) =>
      machine.tlb.probeStructure(machine.context.tlbContext, word(at), word(at >> 32n), new TlbEntry());
    // PML4E, PDPTE and PDE of V are gone; the far page keeps what it does not share with V.
    expect([probe(V), probe(far), machine.reach(V), machine.reach(far)]).toEqual([0, 2, 8, 9]);
  });
});

describe('T-04, T-05: D, and permissions that grew', () => {
  test('T-04 D=0 walks on a write, D=1 does not look at memory', () => {
    const machine = new Machine();
    const root = machine.start();
    const place = machine.map(root, V, 0x7000n, P | W);
    expect(machine.reach(V)).toBe(7);
    machine.write64(...place, 0x8000n | P | W);
    expect(machine.reach(V)).toBe(7);
    expect(machine.reach(V, write), 'walks for D, and finds the new page').toBe(8);
    expect(machine.read64(...place) & D).toBe(D);
    machine.write64(...place, 0x9000n | P | W);
    expect(machine.reach(V, write)).toBe(8);
    expect(machine.read64(...place) & D).toBe(0n);
  });

  test('T-05 not-present entries are not cached; more rights are seen without a flush, fewer are not', () => {
    const machine = new Machine();
    const root = machine.start();
    const place = machine.map(root, V, 0x7000n, 0n);
    expect(machine.reach(V)).toBe('page 0');
    machine.write64(...place, 0x7000n | (1n << 50n) | P);
    expect(machine.reach(V)).toBe('page 9');
    machine.write64(...place, 0x7000n | P | XD);
    expect([
      machine.reach(V),
      machine.reach(V, write),
      machine.reach(V, user),
      machine.reach(V, execute),
    ]).toEqual([7, 'page 3', 'page 5', 'page 11']);
    machine.reach(V);
    machine.write64(...place, 0x7000n | P | W | U);
    expect([
      machine.reach(V, user),
      machine.reach(V, write | user),
      machine.reach(V, execute | user),
    ]).toEqual([7, 7, 7]);
    machine.write64(...place, 0x7000n | P);
    expect([machine.reach(V, user), machine.reach(V, write | user)], 'fewer').toEqual([7, 7]);
    invlpg(machine, V);
    expect(machine.reach(V, user)).toBe('page 5');
  });

  test('T-05 stale entries of higher levels cause no fault either', () => {
    const machine = new Machine();
    const root = machine.start();
    machine.map(root, V, 0x7000n, P | W | U, { above: P | W });
    machine.map(root, V + 4096n, 0x9000n, P | W | U);
    expect(machine.reach(V)).toBe(7);
    for (const level of [4, 3, 2]) {
      const [table, index] = machine.entry(root, 4, V, level);
      machine.write64(table, index, machine.read64(table, index) | U);
    }
    expect(machine.reach(V + 4096n, user)).toBe(9);
  });

  test.each(['ept', 'npt'] as const)('T-05 nor do stale entries of the second stage (%s)', (kind) => {
    const machine = new Machine({ model: { vendor: kind === 'npt' ? 'amd' : 'intel' } });
    const root = machine.table();
    machine.map(root, V, 0x7000n, P | W | U | 0x60n, { above: P | W | U | 0x20n });
    machine.map(root, V + 4096n, 0x9000n, P | W | U | 0x60n);
    for (const [table, next] of [
      [200, 201],
      [201, 202],
      [202, 203],
    ] as const)
      machine.write64(table, 0, (BigInt(next) << 12n) | 7n);
    machine.write64(202, 0, (203n << 12n) | 7n);
    for (let page = 0; page < 200; page++)
      machine.write64(203, page, (BigInt(page) << 12n) | (kind === 'ept' ? 0x37n : 7n));
    machine.context.set({ ...modes.level4, cr3: root * 4096 });
    const npt = new PagingContext({ ...modes.level4, cr3: 200 * 4096 });
    machine.context.secondStage =
      kind === 'ept' ? eptFrom((200n << 12n) | 0x1en) : { kind, paging: npt, tlbContext: -1 };
    machine.mmu.enter(machine.context, {
      owner: kind === 'ept' ? 'vmx' : 'svm',
      vpidOrAsid: 1,
      eptpOrNcr3: 200,
    });
    // Tables may be read and written, then nothing more may be written; that is what gets cached.
    expect(machine.reach(V)).toBe(7);
    machine.tlb.reset();
    const above = machine.read64(202, 0);
    if (kind === 'ept') {
      machine.write64(202, 0, above & ~2n);
      expect(machine.reach(V)).toBe(7);
      machine.write64(202, 0, above);
      machine.tlb.invpcid(machine.context.tlbContext, 2, 0, 0, 0);
      expect(machine.reach(V + 4096n, write)).toBe(9);
    } else {
      // XD, as guest page tables have to be writable.
      machine.write64(202, 0, above | XD);
      expect(machine.reach(V)).toBe(7);
      machine.write64(202, 0, above);
      machine.tlb.invpcid(machine.context.tlbContext, 2, 0, 0, 0);
      expect(machine.reach(V + 4096n, execute)).toBe(9);
    }
  });

  test('E: WP, SMEP, SMAP, NXE, PKRU apply to what is cached', () => {
    const machine = new Machine();
    const root = machine.start();
    machine.map(root, V, 0x7000n, P | U | D | (3n << 59n));
    expect(machine.reach(V)).toBe(7);
    const set = (registers: object) => machine.context.set({ ...modes.level4, ...registers });
    expect(machine.reach(V, write)).toBe('page 3');
    machine.reach(V);
    set({ cr0: none });
    expect(machine.reach(V, write)).toBe(7);
    set({ cr4: modes.level4.cr4 | Cr4.smap });
    expect(machine.reach(V)).toBe('page 1');
    set({ cr4: modes.level4.cr4 | Cr4.smap, ac: true });
    expect(machine.reach(V)).toBe(7);
    set({ cr4: modes.level4.cr4 | Cr4.smep, ac: false });
    expect([machine.reach(V), machine.reach(V, execute), machine.reach(V, execute | user)]).toEqual([
      7,
      'page 11',
      7,
    ]);
    set({ cr4: modes.level4.cr4 | Cr4.pke, pkru: 1 << 6 });
    expect(machine.reach(V, user)).toBe('page 25');
  });
});

test('a held context keeps its number and entries whatever else is interned', () => {
  for (const name of ['exact', 'none']) {
    const tlb = createTlb(name, { contexts: 16 });
    const tag = { owner: 'vmx', vpidOrAsid: 7, pcid: 3 } as const;
    const held = tlb.internContext(tag);
    tlb.holdContext(held);
    const entry = new TlbEntry();
    entry.page = 9;
    tlb.insert(held, 0x1000, 0, entry);
    for (let vpidOrAsid = 10; vpidOrAsid < 100; vpidOrAsid++) tlb.internContext({ owner: 'vmx', vpidOrAsid });
    expect(tlb.internContext(tag)).toBe(held);
    expect(tlb.probe(held, 0x1000, 0, entry)).toBe(name === 'exact');
    tlb.releaseContext(held);
    for (let vpidOrAsid = 10; vpidOrAsid < 100; vpidOrAsid++) tlb.internContext({ owner: 'vmx', vpidOrAsid });
    expect(tlb.probe(tlb.internContext(tag), 0x1000, 0, entry), 'recycled with its entries').toBe(false);
  }
});

describe('the façade', () => {
  test('fast bits: D, kind of memory, watches, privilege', () => {
    const machine = new Machine();
    const root = machine.start();
    machine.map(root, V, 0x7000n, P | W | U);
    const fast = (access: number) => {
      expect(machine.access(V, access)).toBe(Fault.none);
      return machine.out.fast;
    };
    expect(fast(read)).toBe(Fast.read | Fast.execute);
    expect(fast(write)).toBe(7);
    expect(machine.out.offset).toBe(7 * 4096);
    const watch = machine.memory.watch(() => {});
    watch.add(7);
    expect(fast(read)).toBe(Fast.read | Fast.execute);
    watch.dispose();
    const rom = machine.memory.addRegion({
      kind: 'rom',
      start: 0x7000,
      size: 4096,
      backing: 0x7000,
      priority: 1,
    });
    expect(fast(read)).toBe(Fast.read | Fast.execute);
    rom.remove();
    machine.context.set({ cr4: modes.level4.cr4 | Cr4.smep | Cr4.smap, ac: true });
    expect(fast(read)).toBe(Fast.read | Fast.write);
    machine.memory.addRegion({
      kind: 'mmio',
      start: 0x7000,
      size: 4096,
      priority: 2,
      handler: { read: () => 0, write: () => {} },
    });
    expect([fast(read), machine.out.offset]).toEqual([0, -1]);
    const slow = new Machine({ tlb: 'none' });
    const slowRoot = slow.start();
    slow.map(slowRoot, V, 0x7000n, P);
    slow.access(V);
    expect(slow.out.fast).toBe(0);
  });

  test('J: setting A and D is seen by watches', () => {
    const machine = new Machine();
    const root = machine.start();
    const [page] = machine.map(root, V, 0x7000n, P | W);
    const heard: number[] = [];
    machine.memory.watch((at) => heard.push(at)).add(page);
    machine.reach(V, write);
    expect(heard).toEqual([page]);
  });

  test('D7: the APIC-access page is told apart, in large pages too, and is never fast', () => {
    const machine = new Machine();
    const root = machine.start();
    machine.map(root, 0x20_0000n, 0n, P | W, { level: 2 });
    machine.context.apicAccessPage = 5;
    const apic = (linear: bigint) => {
      machine.access(linear, write);
      return [machine.out.apicAccess, machine.out.fast !== 0];
    };
    expect([apic(0x20_5000n), apic(0x20_6000n), apic(0x20_5000n)]).toEqual([
      [true, false],
      [false, true],
      [true, false],
    ]);
  });

  test('D7: AVIC knows its page by the guest-physical address', () => {
    const machine = new Machine({ model: { vendor: 'amd' }, options: { vendor: 'amd' } });
    const root = machine.table();
    machine.map(root, 0x20_0000n, 0n, P | W, { level: 2 });
    machine.write64(200, 0, (201n << 12n) | 7n);
    machine.write64(201, 0, (202n << 12n) | 7n);
    machine.write64(202, 0, 0x87n);
    machine.context.set({ ...modes.level4, cr3: root * 4096 });
    machine.context.secondStage = {
      kind: 'npt',
      paging: new PagingContext({ ...modes.level4, cr3: 200 * 4096 }),
      tlbContext: -1,
    };
    machine.context.apicGuestPage = 5;
    machine.mmu.enter(machine.context, { owner: 'svm', vpidOrAsid: 1 });
    const apic = (linear: bigint) => {
      expect(machine.access(linear, write)).toBe(Fault.none);
      return machine.out.apicAccess;
    };
    expect([apic(0x20_6000n), apic(0x20_5000n), apic(0x20_5000n), apic(0x20_6000n)]).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  test('shootdown drops whatever leads to a page', () => {
    const { machine } = stale();
    machine.tlb.shootdown(6);
    expect(machine.reach(V)).toBe(7);
    machine.tlb.shootdown(7);
    expect(machine.reach(V)).toBe(8);
  });

  test('leave gives tags back', () => {
    const { machine } = stale();
    machine.mmu.leave(machine.context);
    expect(machine.context.tlbContext).toBe(-1);
    expect(machine.reach(V), 'nothing is cached without tags').toBe(8);
  });
});

test('rights of a cached entry include what the second stage allows', () => {
  const { machine } = stale();
  expect(machine.out.rights & (Rights.stageRead | Rights.stageWrite | Rights.stageDirty)).toBe(
    Rights.stageRead | Rights.stageWrite | Rights.stageDirty,
  );
});
