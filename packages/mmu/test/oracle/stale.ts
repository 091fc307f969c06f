import { expect } from 'vitest';
import type { TlbOptions } from '../../src/index.ts';
import { Machine, modes, P, U, W } from './machine.ts';

/** The page that these tests are about. */
export const V = 0x40_0000_1000n;

/** V leads to page 7, then its entry is changed to page 8 without a flush. */
export function stale(
  flags: bigint = P | W | U,
  tlb = 'exact',
  cr4 = 0,
  options: TlbOptions = {},
): { machine: Machine; root: number; place: [page: number, index: number] } {
  const machine = new Machine({ tlb, options });
  const root = machine.start();
  machine.context.set({ cr4: modes.level4.cr4 | cr4 });
  machine.mmu.enter(machine.context);
  const place = machine.map(root, V, 0x7000n, flags);
  expect(machine.reach(V)).toBe(7);
  machine.write64(...place, 0x8000n | flags);
  return { machine, root, place };
}

/** The low 32 bits as an int32. */
export const word = (address: bigint): number => Number(BigInt.asIntN(32, address));
/** As the instruction. */
export const invlpg = ({ mmu, context }: Machine, address: bigint): void =>
  mmu.invlpg(context, word(address), word(address >> 32n));
