import type { Random } from './random.ts';
import type { ReferenceAccess, ReferenceStage, ReferenceState } from './reference-walker.ts';

/** Pages 0 to 47: guest tables in both entry sizes; 48 to 63: tables of the second stage. */
export const guestPages = 48;
export const stagePages = 16;
const total = guestPages + stagePages;

const pg = 0x8000_0001 | 0;

/** Fills memory with entries that mostly lead on, and have each oddity now and then. */
export function fillTables(random: Random, memory: Uint8Array, state: ReferenceState): void {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.length);
  const wide = state.cr0 >= 0 || (state.cr4 & 0x20) !== 0;
  for (let offset = 0; offset < guestPages * 4096; offset += wide ? 8 : 4) {
    if (wide) view.setBigUint64(offset, entry64(random, 0, guestPages), true);
    else view.setUint32(offset, entry32(random), true);
  }
  for (let offset = guestPages * 4096; offset < total * 4096; offset += 8) {
    // Most guest-physical addresses are low: their first slots matter.
    const ept = state.stage?.kind === 'ept';
    if (!ept && state.stage !== undefined && (state.stage.cr4 & 0x20) === 0) {
      view.setUint32(offset, entry32(random), true);
      view.setUint32(offset + 4, entry32(random), true);
    } else view.setBigUint64(offset, ept ? eptEntry(random) : entry64(random, 0, total), true);
  }
}

function entry64(random: Random, from: number, to: number): bigint {
  let entry = BigInt(from + random.below(to - from)) << 12n;
  if (random.chance(0.97)) entry |= 1n;
  if (random.chance(0.85)) entry |= 2n;
  if (random.chance(0.8)) entry |= 4n;
  if (random.chance(0.15)) {
    entry |= 0x80n;
    if (random.chance(0.7)) entry &= ~0x1f_e000n;
  }
  entry |= BigInt(random.below(16)) << 3n;
  if (random.chance(0.3)) entry |= 1n << 8n;
  entry |= BigInt(random.below(8)) << 9n;
  if (random.chance(0.05)) entry |= 1n << BigInt(32 + random.below(20));
  if (random.chance(0.1)) entry |= BigInt(random.below(128)) << 52n;
  if (random.chance(0.3)) entry |= BigInt(random.below(16)) << 59n;
  if (random.chance(0.15)) entry |= 1n << 63n;
  return entry;
}

function entry32(random: Random): number {
  let entry = random.below(guestPages) << 12;
  if (random.chance(0.97)) entry |= 1;
  if (random.chance(0.85)) entry |= 2;
  if (random.chance(0.8)) entry |= 4;
  if (random.chance(0.2)) {
    entry |= 0x80;
    if (random.chance(0.7)) entry &= ~0x3f_e000;
    if (random.chance(0.3)) entry |= random.below(256) << 13;
  }
  entry |= random.below(16) << 3;
  if (random.chance(0.3)) entry |= 1 << 8;
  if (random.chance(0.1)) entry |= random.below(1024) << 22;
  return entry >>> 0;
}

function eptEntry(random: Random): bigint {
  let entry =
    BigInt(random.chance(0.7) ? guestPages + random.below(stagePages) : random.below(guestPages)) << 12n;
  entry |= random.chance(0.85) ? 7n : BigInt(random.below(8));
  if (random.chance(0.7)) entry |= 1n << 10n;
  if (random.chance(0.25)) {
    entry |= 0x80n;
    if (random.chance(0.9)) entry &= ~0x1f_f000n;
    entry |= BigInt(random.of([0, 6, 6, 1, 2])) << 3n;
  } else if (random.chance(0.05)) entry |= BigInt(random.below(16)) << 3n;
  entry |= BigInt(random.below(8)) << 8n;
  if (random.chance(0.02)) entry |= 1n << BigInt(32 + random.below(20));
  if (random.chance(0.4)) entry |= 1n << 60n;
  if (random.chance(0.4)) entry |= 1n << 63n;
  return entry;
}

export function randomState(random: Random, stageKind?: 'ept' | 'npt'): ReferenceState {
  const mode = random.below(stageKind === undefined ? 4 : 5);
  const bits = (mask: number): number => random.below(2 ** 32) & mask;
  // PSE, PGE, SMEP, SMAP, PKE, CET, PKS
  const cr4 = bits((1 << 4) | (1 << 7) | (1 << 20) | (1 << 21) | (1 << 22) | (1 << 23) | (1 << 24));
  const modes: [cr0: number, cr4: number, efer: number][] = [
    [pg, 0, 0],
    [pg, 0x20, 0],
    [pg, 0x20, 0x500],
    [pg, 0x1020, 0x500],
    [1, 0, 0],
  ];
  const [cr0, modeCr4, efer] = modes[mode];
  const vendor =
    stageKind === 'npt' ? 'amd' : stageKind === 'ept' ? 'intel' : random.of(['intel', 'amd'] as const);
  const cr3 = BigInt(random.below(guestPages) * 4096 + random.below(4096));
  const state: ReferenceState = {
    cr0: cr0 | (random.chance(0.6) ? 1 << 16 : 0),
    cr3: mode === 1 ? cr3 & ~31n : cr3,
    cr4: cr4 | modeCr4,
    efer: efer | (random.chance(0.7) ? 1 << 11 : 0),
    pkru: random.chance(0.5) ? 0 : bits(0x5555_5555 << random.below(2)),
    pkrs: random.chance(0.5) ? 0 : bits(0x5555_5555 << random.below(2)),
    ac: random.chance(0.5),
    pdptes: [0, 1, 2, 3].map(() => BigInt(random.below(guestPages) * 4096 + (random.chance(0.9) ? 1 : 0))),
    vendor,
    maxphyaddr: random.of([36, 39, 40, 46, 52]),
    pages1G: random.chance(0.7),
    pse36: random.chance(0.7),
  };
  if (stageKind !== undefined) state.stage = randomStage(random, stageKind);
  return state;
}

function randomStage(random: Random, kind: 'ept' | 'npt'): ReferenceStage {
  const root = BigInt((guestPages + random.below(stagePages)) * 4096);
  const levels = random.chance(0.8) ? 3n : 4n;
  const [cr4, efer] = random.of([
    [0x20, 0x500],
    [0x20, 0xd00],
    [0x1020, 0xd00],
    [0x10, 0],
    [0x0010_0020, 0xd00],
  ] as const);
  return {
    kind,
    pointer: kind === 'npt' ? root : root | (levels << 3n) | (BigInt(random.below(4)) << 6n) | 6n,
    modeBased: random.chance(0.5),
    executeOnly: random.chance(0.6),
    pages1G: random.chance(0.6),
    advanced: random.chance(0.5),
    cr0: pg | (random.chance(0.5) ? 1 << 16 : 0),
    cr4,
    efer,
  };
}

export function randomAccess(random: Random): ReferenceAccess {
  const kind = random.of(['read', 'write', 'execute'] as const);
  const user = random.chance(0.5);
  const shadowStack = kind !== 'execute' && random.chance(0.2);
  return {
    kind,
    user,
    implicit: !user && !shadowStack && kind !== 'execute' && random.chance(0.2),
    shadowStack,
  };
}

/** Canonical addresses of the mode; few enough that entries are met again. */
export function randomLinear(random: Random, state: ReferenceState): bigint {
  const offset = BigInt(random.below(4096));
  if (state.cr0 >= 0) return BigInt(random.below(guestPages * 4096 * 2));
  if ((state.efer & 0x400) === 0) return (BigInt(random.below(2 ** 20)) << 12n) | offset;
  const bits = (state.cr4 & 0x1000) !== 0 ? 57 : 48;
  return BigInt.asUintN(64, BigInt.asIntN(bits, random.bits64() & ~0xfffn)) | offset;
}
