import { describe, expect, test } from 'vitest';
import {
  Access,
  Cr4,
  denied,
  Fault,
  PagingContext,
  PagingMode,
  PagingModel,
  PagingOptionError,
  Rights,
} from '../src/index.ts';
import { allowedKinds, stageDenied } from '../src/paging/access.ts';
import { A, D, G, Machine, modes, P, PS, U, W, XD } from './oracle/machine.ts';
import { Random } from './oracle/random.ts';

const { read, write, execute, user, implicit, shadowStack } = Access;

test('modes by registers (SDM vol. 3, 4.1.1)', () => {
  const modeOf = (registers: object) => new PagingContext(registers).mode;
  expect(modeOf({ cr0: 1, cr4: 0xa0, efer: 0xd00 })).toBe(PagingMode.none);
  expect(modeOf(modes.legacy)).toBe(PagingMode.legacy);
  expect(modeOf(modes.pae)).toBe(PagingMode.pae);
  expect(modeOf(modes.level4)).toBe(PagingMode.level4);
  expect(modeOf(modes.level5)).toBe(PagingMode.level5);
});

test('without paging, addresses are physical', () => {
  const machine = new Machine();
  machine.context.set({ cr0: 1 });
  machine.mmu.enter(machine.context);
  expect(machine.reach(0x5123n, write)).toBe(5);
  expect([machine.out.offset, machine.out.fast]).toEqual([5 * 4096, 7]);
  expect(machine.reach(0xffff_f000n, execute)).toBe(0xfffff);
  expect([machine.out.offset, machine.out.fast]).toEqual([-1, 0]);
});

describe('32-bit paging', () => {
  const start = (model = {}) => {
    const machine = new Machine({ model });
    machine.start('legacy');
    const pde = (index: number, value: number) => machine.view.setUint32(16 * 4096 + index * 4, value, true);
    const pte = (index: number, value: number) => machine.view.setUint32(17 * 4096 + index * 4, value, true);
    machine.table();
    pde(0, (17 << 12) | 7);
    return { machine, pde, pte };
  };

  test('4 KiB: translation, A and D, error codes without I/D', () => {
    const { machine, pte } = start();
    pte(5, (0x33 << 12) | 7);
    expect(machine.reach(0x5abcn, read)).toBe(0x33);
    expect(machine.view.getUint32(16 * 4096, true)).toBe((17 << 12) | 0x27);
    expect(machine.view.getUint32(17 * 4096 + 20, true)).toBe((0x33 << 12) | 0x27);
    expect(machine.reach(0x5abcn, write | user)).toBe(0x33);
    expect(machine.view.getUint32(17 * 4096 + 20, true)).toBe((0x33 << 12) | 0x67);
    expect(machine.reach(0x6000n, execute | user)).toBe('page 4');
    machine.context.set({ cr4: modes.legacy.cr4 | Cr4.smep });
    expect(machine.reach(0x6000n, execute | user)).toBe('page 14');
  });

  test('4 MiB: PSE-36 addresses, reserved bits by MAXPHYADDR (S3-06), PS ignored without CR4.PSE', () => {
    const pde36 = ((0x3 << 22) | (0x05 << 13) | 0x87) >>> 0;
    const { machine, pde } = start({ physicalBits: 40 });
    pde(1, pde36);
    expect(machine.access(0x40_1000n)).toBe(Fault.none);
    expect([machine.out.shift, machine.out.page]).toEqual([22, 5 * 2 ** 20 + 3 * 1024 + 1]);
    const narrow = start({ physicalBits: 36 });
    narrow.pde(1, pde36 | (1 << 16));
    expect(narrow.machine.reach(0x40_1000n)).toBe((5 + 8) * 2 ** 20 + 3 * 1024 + 1);
    narrow.pde(2, pde36 | (1 << 17));
    expect(narrow.machine.reach(0x80_0000n)).toBe('page 9');
    const none = start({ pse36: false });
    none.pde(1, pde36);
    expect(none.machine.reach(0x40_1000n, write | user)).toBe('page f');
    none.machine.context.set({ cr4: 0x80 });
    none.pde(2, (17 << 12) | 0x87);
    none.pte(0, 0x1067);
    expect(none.machine.reach(0x80_0000n)).toBe(1);
  });
});

describe('PAE paging', () => {
  test('T-07 PDPTEs are registers: memory counts at MOV to CR3 only, reserved bits are #GP then', () => {
    const machine = new Machine();
    const table = machine.table();
    machine.write64(table, 4, (20n << 12n) | 1n);
    machine.context.set({ ...modes.pae, cr3: table * 4096 + 32 });
    machine.mmu.enter(machine.context);
    const cr3 = (value: number) => machine.mmu.writeCr3(machine.context, value, 0, machine.out);
    expect(cr3(table * 4096 + 32)).toBe(Fault.none);
    machine.write64(20, 0, (21n << 12n) | 7n);
    machine.write64(21, 3, (0x44n << 12n) | 7n);
    expect(machine.reach(0x3000n)).toBe(0x44);
    expect(machine.reach(0x4000_0000n)).toBe('page 0');
    machine.write64(table, 4, 0n);
    machine.write64(table, 5, (20n << 12n) | 1n);
    machine.tlb.reset();
    expect(machine.reach(0x3000n), 'the register still holds it').toBe(0x44);
    expect(machine.reach(0x4000_3000n)).toBe('page 0');
    expect(cr3(table * 4096 + 32)).toBe(Fault.none);
    expect([machine.reach(0x3000n), machine.reach(0x4000_3000n)]).toEqual(['page 0', 0x44]);
    for (const bit of [1n, 2n, 5n, 8n, 46n, 63n]) {
      machine.write64(table, 6, 1n | (1n << bit));
      expect(cr3(table * 4096 + 32), `bit ${bit}`).toBe(Fault.generalProtection);
      expect(machine.reach(0x4000_3000n), 'nothing has changed').toBe(0x44);
      machine.write64(table, 6, 1n << bit);
      expect(cr3(table * 4096 + 32), `not present, bit ${bit}`).toBe(Fault.none);
    }
  });

  test('T-07 AMD under nested paging reads PDPTEs at each walk and faults on their reserved bits', () => {
    const machine = new Machine();
    const table = machine.table();
    machine.context.set({ ...modes.pae, cr3: table * 4096 });
    machine.context.pdptesInMemory = true;
    machine.mmu.enter(machine.context);
    machine.write64(table, 0, (20n << 12n) | 1n);
    machine.write64(20, 0, 0x20_0000n | 0x87n);
    expect(machine.reach(0x3000n)).toBe(0x203);
    machine.write64(table, 1, (20n << 12n) | 5n);
    expect(machine.reach(0x4000_0000n, write)).toBe('page b');
  });

  test('bits 62:52 are reserved, XD without NXE too', () => {
    const machine = new Machine();
    const [root, directory] = [machine.table(), machine.table()];
    machine.write64(root, 0, (BigInt(directory) << 12n) | 1n);
    machine.context.set({ ...modes.pae, cr3: root * 4096 });
    machine.mmu.enter(machine.context);
    machine.mmu.writeCr3(machine.context, root * 4096, 0, machine.out);
    for (const bit of [46n, 51n, 52n, 59n, 62n, 13n, 20n]) {
      machine.write64(directory, 1, 0x20_0087n | (1n << bit));
      expect(machine.reach(0x20_0000n, user), `bit ${bit}`).toBe('page d');
    }
    machine.write64(directory, 1, 0x20_0087n | XD);
    expect(machine.reach(0x20_0000n, user | execute)).toBe('page 15');
    machine.context.set({ efer: 0 });
    machine.tlb.reset();
    expect(machine.reach(0x20_0000n, user)).toBe('page d');
    expect(machine.reach(0x20_0000n, user | execute)).toBe('page d');
  });
});

describe.each([
  ['level4', 4],
  ['level5', 5],
] as const)('%s paging', (mode, levels) => {
  const canonicalTop = levels === 4 ? 0xffff_8000_0000_0000n : 0xff00_0000_0000_0000n;

  test('each page size, at both ends of the address space', () => {
    const machine = new Machine();
    const root = machine.start(mode);
    for (const base of [0n, canonicalTop]) {
      machine.map(root, base + 0x1000n, 0x7000n, P, { levels });
      machine.map(root, base + 0x20_0000n, 0x4000_0000n, P, { levels, level: 2 });
      machine.map(root, base + 0x4000_0000n, 0x1_4000_0000n, P, { levels, level: 3 });
      expect([machine.reach(base + 0x1fffn), machine.out.shift]).toEqual([7, 12]);
      expect([machine.reach(base + 0x20_5000n), machine.out.shift]).toEqual([0x40005, 21]);
      expect([machine.reach(base + 0x4020_3000n), machine.out.shift]).toEqual([0x140203, 30]);
    }
    expect(machine.reach(0x1234_5678_9000n, write | user)).toBe('page 6');
  });

  test('addresses that are not canonical', () => {
    const machine = new Machine();
    machine.start(mode);
    expect(machine.access(canonicalTop - 1n)).toBe(Fault.nonCanonical);
    expect(machine.access(canonicalTop)).toBe(Fault.page);
    expect(machine.access((-canonicalTop & ((1n << 64n) - 1n)) - 1n)).toBe(Fault.page);
    expect(machine.access(-canonicalTop & ((1n << 64n) - 1n))).toBe(Fault.nonCanonical);
  });

  test('S3-06 reserved bits: MAXPHYADDR, PS where no page may be, low bits of large pages', () => {
    const machine = new Machine({ model: { physicalBits: 40, pages1G: false } });
    const root = machine.start(mode);
    const place = machine.map(root, 0x1000n, 0x7000n, P | U | W, { levels });
    for (const bit of [40n, 47n, 51n]) {
      machine.write64(...place, 0x7007n | (1n << bit));
      expect(machine.reach(0x1000n, user | write), `bit ${bit}`).toBe('page f');
    }
    for (const bit of [9n, 11n, 52n, 58n, 62n]) {
      machine.write64(...place, 0x7007n | (1n << bit));
      expect(machine.reach(0x1000n, user | write), `ignored bit ${bit}`).toBe(7);
      machine.tlb.reset();
    }
    machine.map(root, 0x4000_0000n, 0x4000_0000n, P, { levels, level: 3 });
    expect(machine.reach(0x4000_0000n), 'S3-09 1 GiB pages are enforced').toBe('page 9');
    for (const bit of [13n, 20n]) {
      machine.map(root, 0x20_0000n, 0x20_0000n | (1n << bit), P, { levels, level: 2 });
      expect(machine.reach(0x20_0000n)).toBe('page 9');
    }
    machine.map(root, 0x20_0000n, 0x20_1000n, P, { levels, level: 2 });
    expect(machine.reach(0x20_0000n), 'bit 12 is PAT').toBe(0x200);
    machine.write64(root, 1, P | PS);
    expect(machine.reach(1n << BigInt(3 + 9 * levels))).toBe('page 9');
  });

  test('AMD reserves bit 8 of the top levels, Intel ignores it', () => {
    for (const [vendor, expected] of [
      ['intel', 7],
      ['amd', 'page 9'],
    ] as const) {
      const machine = new Machine({ model: { vendor } });
      const root = machine.start(mode);
      machine.map(root, 0x1000n, 0x7000n, P, { levels });
      machine.write64(root, 0, machine.read64(root, 0) | G);
      expect(machine.reach(0x1000n)).toBe(expected);
    }
  });
});

describe('permissions', () => {
  /** Rights × access × registers, against the sentences of SDM vol. 3, 4.6.1, for data and fetches without keys and shadow stacks. */
  test('S2: WP, SMEP, SMAP, AC, NXE: all combinations', () => {
    const machine = new Machine();
    const root = machine.start();
    const place = machine.map(root, 0x1000n, 0x7000n, P);
    let checked = 0;
    for (let bits = 0; bits < 8; bits++)
      for (let registers = 0; registers < 32; registers++)
        for (const access of [
          read,
          write,
          execute,
          read | user,
          write | user,
          execute | user,
          read | implicit,
          write | implicit,
        ]) {
          const [pageWrite, pageUser, pageXd] = [bits & 1, bits & 2, bits & 4];
          const [wp, smep, smap, ac, nxe] = [1, 2, 4, 8, 16].map((bit) => (registers & bit) !== 0);
          if (pageXd && !nxe) continue;
          machine.tlb.reset();
          machine.context.set({
            cr0: (modes.level4.cr0 & ~(1 << 16)) | (wp ? 1 << 16 : 0),
            cr4: 0xa0 | (smep ? Cr4.smep : 0) | (smap ? Cr4.smap : 0),
            efer: 0x500 | (nxe ? 0x800 : 0),
            ac,
          });
          machine.write64(
            ...place,
            0x7000n | P | (pageWrite ? W : 0n) | (pageUser ? U : 0n) | (pageXd ? XD : 0n),
          );
          const byUser = (access & user) !== 0;
          let allowed = true;
          if (byUser && !pageUser) allowed = false;
          if ((access & write) !== 0 && !pageWrite && (byUser || wp)) allowed = false;
          if ((access & execute) !== 0 && (pageXd || (!byUser && pageUser && smep))) allowed = false;
          if (!byUser && pageUser && (access & execute) === 0 && smap && (!ac || (access & implicit) !== 0))
            allowed = false;
          const code =
            1 |
            ((access & write) !== 0 ? 2 : 0) |
            (byUser ? 4 : 0) |
            ((access & execute) !== 0 && (nxe || smep) ? 16 : 0);
          expect(machine.reach(0x1000n, access)).toBe(allowed ? 7 : `page ${code.toString(16)}`);
          checked++;
        }
    expect(checked).toBe(1536);
  });

  test('protection keys: user and supervisor pages, reads, writes, fetches, WP', () => {
    for (const [page, enable, register] of [
      [U, Cr4.pke, 'pkru'],
      [0n, Cr4.pks, 'pkrs'],
    ] as const) {
      const machine = new Machine();
      const root = machine.start();
      machine.map(root, 0x1000n, 0x7000n, P | W | page | (5n << 59n));
      const by = page === U ? user : 0;
      const with_ = (rights: number, cr4: number, cr0: number = modes.level4.cr0) => {
        machine.context.set({ cr0, cr4: 0xa0 | cr4, [register]: rights << 10 });
        return [read, write, execute].map((kind) => machine.reach(0x1000n, kind | by));
      };
      const u = by === user ? 4 : 0;
      expect(with_(3, 0)).toEqual([7, 7, 7]);
      expect(with_(0, enable)).toEqual([7, 7, 7]);
      expect(with_(2, enable)).toEqual([7, `page ${(0x23 | u).toString(16)}`, 7]);
      expect(with_(1, enable)).toEqual([
        `page ${(0x21 | u).toString(16)}`,
        `page ${(0x23 | u).toString(16)}`,
        7,
      ]);
      if (page === 0n) expect(with_(2, enable, modes.level4.cr0 & ~(1 << 16))).toEqual([7, 7, 7]);
    }
  });

  test('shadow stacks: R/W=0 and D=1 in the last entry, R/W=1 above, U/S as the access', () => {
    const machine = new Machine();
    const root = machine.start();
    machine.context.set({ cr4: modes.level4.cr4 | Cr4.cet });
    const at = (flags: bigint, above: bigint, access: number) => {
      const linear = 0x8000_0000n;
      machine.write64(root, 0, 0n);
      machine.map(root, linear, 0x7000n, P | flags, { above });
      machine.tlb.reset();
      return machine.reach(linear, access | shadowStack);
    };
    expect(at(D | U, P | W | U, read | user)).toBe(7);
    expect(at(D | U, P | W | U, write | user)).toBe(7);
    expect(at(D, P | W | U, write)).toBe(7);
    expect(at(D | U, P | W | U, write), 'supervisor on a user page').toBe('page 43');
    expect(at(D, P | W | U, write | user), 'user on a supervisor page').toBe('page 47');
    expect(at(D | W, P | W | U, write), 'an ordinary page').toBe('page 43');
    expect(at(0n, P | W | U, read), 'not dirty').toBe('page 41');
    expect(at(D, P | U, read), 'R/W=0 above').toBe('page 41');
    expect(machine.reach(0x9000_0000_0000n >> 1n, write | shadowStack | user), 'not present').toBe('page 46');
    expect(
      denied(Rights.shadowStack | Rights.user, write | user, machine.context.judge, 0, 0),
      'ordinary writes',
    ).toBe(1);
  });
});

test('allowedKinds says of all kinds at once what denied and stageDenied say of each', () => {
  const random = new Random(7);
  for (let n = 0; n < 50_000; n++) {
    const rights = random.below(2 ** 24);
    const judge = random.chance(0.9) ? random.below(512) | 1 : 0;
    const [pkru, pkrs] = [random.below(2 ** 32) | 0, random.below(2 ** 32) | 0];
    const modeBased = random.chance(0.5);
    for (const by of [0, user]) {
      const each = [read, write, execute].map((kind) => {
        const no =
          denied(rights, kind | by, judge, pkru, pkrs) !== 0 ||
          stageDenied(rights, kind | by, modeBased, false);
        return no ? 0 : [1, 2, 4][kind];
      });
      const kinds = allowedKinds(rights, by === user, judge, pkru, pkrs, modeBased);
      if (kinds !== each[0] + each[1] + each[2]) expect.fail(`rights ${rights} judge ${judge} by ${by}`);
    }
  }
});

describe('A and D', () => {
  test('are set where used; faults leave the last entry alone', () => {
    const machine = new Machine({ tlb: 'none' });
    const root = machine.start();
    const place = machine.map(root, 0x1000n, 0x7000n, P);
    const above = machine.entry(root, 4, 0x1000n, 2);
    expect(machine.reach(0x1000n, user)).toBe('page 5');
    expect([machine.read64(...place) & (A | D), machine.read64(...above) & A]).toEqual([0n, A]);
    expect(machine.reach(0x1000n, write)).toBe('page 3');
    expect(machine.reach(0x1000n)).toBe(7);
    expect(machine.read64(...place)).toBe(0x7000n | P | A);
    machine.write64(...place, 0x7000n | P | W);
    expect(machine.reach(0x1000n, write)).toBe(7);
    expect(machine.read64(...place)).toBe(0x7000n | P | W | A | D);
  });

  test('an entry that changes between reading and setting A starts the walk again', () => {
    const machine = new Machine({ tlb: 'none' });
    const root = machine.start();
    const place = machine.map(root, 0x1000n, 0x7000n, P | W);
    let changes = 0;
    machine.mmu.walker.observer = {
      entry(_stage, level) {
        if (level === 1 && changes++ === 0) machine.write64(...place, 0x8000n | P | W);
      },
    };
    expect(machine.reach(0x1000n, write)).toBe(8);
    expect([changes, machine.read64(...place)]).toEqual([2, 0x8000n | P | W | A | D]);
  });

  test('probe sets neither and caches nothing', () => {
    const machine = new Machine();
    const root = machine.start();
    machine.map(root, 0x1000n, 0x7000n, P | W);
    const before = machine.memory.bytes.slice();
    expect(machine.mmu.probe(machine.context, 0x1000, 0, write, machine.out)).toBe(Fault.none);
    expect([machine.out.page, machine.out.offset]).toEqual([7, 7 * 4096]);
    expect(Buffer.compare(machine.memory.bytes, before)).toBe(0);
    expect(machine.mmu.probe(machine.context, 0x9000, 0, read, machine.out)).toBe(Fault.page);
    machine.map(root, 0x1000n, 0x8000n, P | W);
    expect(machine.reach(0x1000n)).toBe(8);
  });

  test('page tables in ROM, MMIO and nowhere: no loop, no throw', () => {
    const machine = new Machine({ tlb: 'none' });
    machine.memory.addRegion({ kind: 'rom', start: 2 ** 30, size: 4 * 4096, backing: 100 * 4096 });
    machine.write64(100, 0, 0x4000_1000n | P | W);
    machine.write64(101, 0, 0x4000_2000n | P | W);
    machine.write64(102, 0, 0x4000_3000n | P | W);
    machine.write64(103, 0, 0x7000n | P | W);
    machine.start('level4', 2 ** 18);
    expect(machine.reach(0n, write)).toBe(7);
    expect(machine.read64(103, 0), 'ROM keeps no A and D').toBe(0x7000n | P | W);
    machine.start('level4', 2 ** 20);
    expect(machine.reach(0n, write), 'ones: reserved bits').toBe('page b');
    const log: number[][] = [];
    const handler = {
      read: (offset: number) => (log.push([offset]) > 0 && offset === 0 ? 0x83 : 0),
      write: (...call: number[]) => void log.push(call),
    };
    machine.memory.addRegion({ kind: 'mmio', start: 2 ** 31, size: 4096, handler });
    machine.context.set({ ...modes.legacy, cr3: 2 ** 31 });
    machine.mmu.enter(machine.context);
    expect(machine.reach(0n, read)).toBe(0);
    expect(log).toEqual([[0], [0, 4, 0xa3]]);
  });
});

test('models and contexts refuse what does not exist', () => {
  expect(() => new PagingModel({ vendor: 'via' as 'amd' })).toThrow(PagingOptionError);
  expect(() => new PagingModel({ physicalBits: 53 })).toThrow('32 to 52 is allowed');
  expect(() => new PagingModel({ physicalBits: 31 })).toThrow(PagingOptionError);
});
