import { describe, expect, test } from 'vitest';
import { Access, Cr4, eptFrom, Fault, Invept } from '../src/index.ts';
import { high, low, Machine, modes, P, U, W, XD } from './oracle/machine.ts';
import { Random, seed } from './oracle/random.ts';

/**
 * A guest that flushes as it must cannot tell backends apart: the same outcome of each access and the same A and D bits. Among the pages are
 * large and global ones, and the registers change under what is cached.
 */
function run(tlb: string, staged: boolean, round: number): { outcomes: string[]; memory: Uint8Array } {
  const random = new Random(seed * 31 + round);
  const machine = new Machine({
    tlb,
    options: tlb === 'chaos' ? { seed: round, interval: 2 } : {},
    pages: 768,
  });
  const root = machine.table();
  const outcomes: string[] = [];
  const pages = [0n, 1n, 2n, 512n, 515n, 262_144n, 262_150n].map(
    (page) => 0xffff_8000_0000_0000n + (page << 12n),
  );
  const flags = () =>
    (random.chance(0.9) ? P : 0n) |
    (random.chance(0.7) ? W : 0n) |
    (random.chance(0.7) ? U : 0n) |
    (random.chance(0.2) ? XD : 0n) |
    (random.chance(0.3) ? 0x100n : 0n);
  const eptLeaf = (page: number) =>
    (BigInt(page) << 12n) | 0x30n | (random.chance(0.8) ? 7n : random.of([0n, 1n, 3n, 5n]));
  for (const linear of pages) machine.map(root, linear, BigInt(random.below(256)) << 12n, flags());
  if (staged) {
    for (const [table, next] of [
      [600, 601],
      [601, 602],
      [602, 603],
    ] as const)
      machine.write64(table, 0, (BigInt(next) << 12n) | 7n);
    for (let page = 0; page < 512; page++)
      machine.write64(603, page, page < 200 ? (BigInt(page) << 12n) | 0x37n : eptLeaf(page));
    machine.context.secondStage = eptFrom((600n << 12n) | (random.chance(0.5) ? 0x5en : 0x1en));
  }
  machine.context.set({ ...modes.level4, cr3: root * 4096 });
  machine.mmu.enter(
    machine.context,
    staged ? { owner: 'vmx', vpidOrAsid: 1, eptpOrNcr3: 600 } : { owner: 'host', vpidOrAsid: 0 },
  );
  for (let step = 0; step < 400; step++) {
    const linear = random.of(pages);
    const choice = random.below(20);
    if (choice === 0) {
      const level = random.chance(0.8) ? 1 : 2;
      const [table, index] = machine.entry(root, 4, linear, level);
      const entry = machine.read64(table, index);
      // Another page, or another set of rights for what is below.
      const frame = level === 1 ? BigInt(random.below(512)) << 12n : entry & 0xffff_ffff_f000n;
      machine.write64(table, index, frame | flags());
      // Globals and every page below an entry above the last.
      if (level === 1) machine.mmu.invlpg(machine.context, low(linear), high(linear));
      else machine.mmu.invpcid(machine.context, 2, [0, 0, 0, 0]);
    } else if (choice === 1 && staged) {
      const page = 200 + random.below(312);
      machine.write64(603, page, eptLeaf(page));
      machine.tlb.invept(Invept.context, 600);
    } else if (choice === 2) {
      const cr4 =
        modes.level4.cr4 | (random.chance(0.3) ? Cr4.smap : 0) | (random.chance(0.3) ? Cr4.smep : 0);
      machine.mmu.writeCr4(machine.context, cr4, 0, machine.out);
      machine.context.set({ cr0: random.chance(0.5) ? -0x7ffe_ffff : -0x7fff_ffff, ac: random.chance(0.5) });
    } else if (choice === 3) machine.mmu.writeCr3(machine.context, root * 4096, 0, machine.out);
    else {
      const access =
        random.of([Access.read, Access.write, Access.execute]) | (random.chance(0.5) ? Access.user : 0);
      const fault = machine.access(linear | BigInt(random.below(4096)), access);
      const { out } = machine;
      outcomes.push(
        fault === Fault.none
          ? `${out.page}`
          : `${fault} ${out.errorCode.toString(16)} ${fault === Fault.page ? '' : out.guestPage}`,
      );
    }
  }
  return { outcomes, memory: machine.memory.bytes };
}

describe(`T-01: all backends give the same to a guest that flushes (SEED=${seed})`, () => {
  test.each([
    ['one stage', false],
    ['EPT', true],
  ] as const)('%s', (_, staged) => {
    for (let round = 0; round < 25; round++) {
      const none = run('none', staged, round);
      expect(new Set(none.outcomes).size).toBeGreaterThan(5);
      for (const tlb of ['exact', 'set-associative', 'chaos']) {
        const { outcomes, memory } = run(tlb, staged, round);
        const differs = outcomes.findIndex((outcome, i) => outcome !== none.outcomes[i]);
        expect(
          differs,
          `${tlb}, round ${round}: ${outcomes[differs]}, without a TLB ${none.outcomes[differs]}`,
        ).toBe(-1);
        expect(Buffer.compare(memory, none.memory), `${tlb}, round ${round}: A and D`).toBe(0);
      }
    }
  });
});
