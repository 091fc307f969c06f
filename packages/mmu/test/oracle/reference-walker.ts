/**
 * Paging as the manuals tell it, for comparison: BigInt, one step after another, no caches, nothing shared with the sources. Section
 * numbers: SDM vol. 3 unless said otherwise.
 */

export interface ReferenceStage {
  kind: 'ept' | 'npt';
  /** EPTP or nCR3. */
  pointer: bigint;
  // EPT
  modeBased: boolean;
  executeOnly: boolean;
  pages1G: boolean;
  advanced: boolean;
  // NPT: the host's registers
  cr0: number;
  cr4: number;
  efer: number;
}

export interface ReferenceState {
  cr0: number;
  cr3: bigint;
  cr4: number;
  efer: number;
  pkru: number;
  pkrs: number;
  ac: boolean;
  pdptes: bigint[];
  vendor: 'intel' | 'amd';
  maxphyaddr: number;
  pages1G: boolean;
  pse36: boolean;
  stage?: ReferenceStage;
}

export interface ReferenceAccess {
  kind: 'read' | 'write' | 'execute';
  user: boolean;
  implicit: boolean;
  shadowStack: boolean;
}

export type Outcome =
  | { result: 'ok'; address: bigint; size: bigint; rights: Record<string, boolean | number> }
  | { result: '#PF'; code: number }
  | { result: 'EPT violation'; qualification: number; gpa: bigint; suppressVe: boolean }
  | { result: 'EPT misconfiguration'; gpa: bigint }
  | { result: '#NPF'; info: bigint; gpa: bigint };

class Stop {
  readonly outcome: Outcome;
  constructor(outcome: Outcome) {
    this.outcome = outcome;
  }
}

const bit = (value: bigint, n: number): boolean => ((value >> BigInt(n)) & 1n) === 1n;
const flag = (register: number, n: number): boolean => ((register >>> n) & 1) === 1;
const field = (value: bigint, high: number, low: number): bigint =>
  (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);

/** Physical memory: bytes from address 0; ones beyond. */
export class ReferenceMemory {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  read(address: bigint, size: 4 | 8): bigint {
    if (address + BigInt(size) > BigInt(this.bytes.length)) return (1n << BigInt(8 * size)) - 1n;
    return size === 8
      ? this.view.getBigUint64(Number(address), true)
      : BigInt(this.view.getUint32(Number(address), true));
  }
  write(address: bigint, size: 4 | 8, value: bigint): void {
    if (address + BigInt(size) > BigInt(this.bytes.length)) return;
    if (size === 8) this.view.setBigUint64(Number(address), value, true);
    else this.view.setUint32(Number(address), Number(value), true);
  }
}

type StageUse = 'final' | 'structure' | 'update';

export function referenceWalk(
  memory: ReferenceMemory,
  state: ReferenceState,
  linear: bigint,
  access: ReferenceAccess,
): Outcome {
  try {
    return walkGuest(memory, state, linear, access);
  } catch (stop) {
    if (stop instanceof Stop) return stop.outcome;
    throw stop;
  }
}

interface Format {
  /** Lowest linear-address bit that the level's index uses, and its width; tables from the top. */
  levels: { shift: number; width: number; name: string }[];
  entrySize: 4 | 8;
}

const nine = (shift: number, name: string) => ({ shift, width: 9, name });
const formats: Record<string, Format> = {
  '32-bit': {
    entrySize: 4,
    levels: [
      { shift: 22, width: 10, name: 'PDE' },
      { shift: 12, width: 10, name: 'PTE' },
    ],
  },
  PAE: { entrySize: 8, levels: [nine(21, 'PDE'), nine(12, 'PTE')] },
  '4-level': {
    entrySize: 8,
    levels: [nine(39, 'PML4E'), nine(30, 'PDPTE'), nine(21, 'PDE'), nine(12, 'PTE')],
  },
  '5-level': {
    entrySize: 8,
    levels: [nine(48, 'PML5E'), nine(39, 'PML4E'), nine(30, 'PDPTE'), nine(21, 'PDE'), nine(12, 'PTE')],
  },
};

function modeOf({ cr0, cr4, efer }: { cr0: number; cr4: number; efer: number }): string {
  if (!flag(cr0, 31)) return 'none';
  if (!flag(cr4, 5)) return '32-bit';
  if (!flag(efer, 10)) return 'PAE';
  return flag(cr4, 12) ? '5-level' : '4-level';
}

function walkGuest(
  memory: ReferenceMemory,
  s: ReferenceState,
  linear: bigint,
  access: ReferenceAccess,
): Outcome {
  const mode = modeOf(s);
  if (mode === 'none') {
    const everything = { write: true, user: true, nx: false };
    const { address, size } = throughStage(memory, s, linear, access, 'final', everything);
    const rights = { write: true, user: true, nx: false, dirty: true, global: false, key: 0, pat: 0 };
    return { result: 'ok', address, size, rights };
  }
  const { levels, entrySize } = formats[mode];
  const nxe = mode !== '32-bit' && flag(s.efer, 11);

  const fail = (extra: { present: boolean; reserved?: boolean; key?: boolean }): never => {
    // 4.7
    let code = 0;
    if (extra.present) code |= 1;
    if (access.kind === 'write') code |= 2;
    if (access.user) code |= 4;
    if (extra.reserved) code |= 8;
    if (access.kind === 'execute' && (flag(s.cr4, 20) || nxe)) code |= 16;
    if (extra.key) code |= 32;
    if (access.shadowStack) code |= 64;
    throw new Stop({ result: '#PF', code });
  };

  let table = mode === 'PAE' || mode === '32-bit' ? field(s.cr3, 31, 12) << 12n : field(s.cr3, 51, 12) << 12n;
  if (mode === 'PAE') {
    const pdpte = s.pdptes[Number(field(linear, 31, 30))];
    if (!bit(pdpte, 0)) fail({ present: false });
    table = field(pdpte, 51, 12) << 12n;
  }
  const above = { write: true, user: true, nx: false };
  for (const [i, { shift, width, name }] of levels.entries()) {
    const gpa = table + field(linear, shift + width - 1, shift) * BigInt(entrySize);
    const host = throughStage(memory, s, gpa, access, 'structure', above).address;
    const entry = memory.read(host, entrySize);
    if (!bit(entry, 0)) fail({ present: false });
    const last = i === levels.length - 1;
    const ps = bit(entry, 7);
    const maps =
      last || (ps && (name === 'PDE' ? mode !== '32-bit' || flag(s.cr4, 4) : name === 'PDPTE' && s.pages1G));

    // Reserved bits: 4.3 table 4-4, 4.4.2, 4.5.4; APM vol. 2, 5.3.
    let reserved = false;
    const must0 = (high: number, low: number): void => {
      if (high >= low && field(entry, high, low) !== 0n) reserved = true;
    };
    if (mode === '32-bit') {
      if (maps && !last) {
        const m = s.pse36 ? Math.min(s.maxphyaddr, 40) : 32;
        must0(21, m - 32 + 13);
      }
    } else {
      must0(51, s.maxphyaddr);
      if (mode === 'PAE') must0(62, 52);
      if (!nxe) must0(63, 63);
      if (name === 'PML5E' || name === 'PML4E') {
        must0(7, 7);
        if (s.vendor === 'amd') must0(8, 8);
      }
      if (name === 'PDPTE' && !s.pages1G) must0(7, 7);
      if (maps && !last) must0(shift - 1, 13);
    }
    if (reserved) fail({ present: true, reserved: true });

    const setBits = (bits: bigint): void => {
      if ((entry & bits) === bits) return;
      throughStage(memory, s, gpa, access, 'update', above);
      memory.write(host, entrySize, entry | bits);
    };
    const write = bit(entry, 1);
    const user = bit(entry, 2);
    const nx = entrySize === 8 && bit(entry, 63);
    if (!maps) {
      setBits(1n << 5n);
      above.write &&= write;
      above.user &&= user;
      above.nx ||= nx;
      table = mode === '32-bit' ? field(entry, 31, 12) << 12n : field(entry, 51, 12) << 12n;
      continue;
    }

    // 4.6
    const page = { write: above.write && write, user: above.user && user, nx: above.nx || nx };
    const shadowStackPage = above.write && !write && bit(entry, 6);
    const long = mode === '4-level' || mode === '5-level';
    const key = long ? Number(field(entry, 62, 59)) : 0;
    const wp = flag(s.cr0, 16);
    let allowed: boolean;
    if (access.kind === 'execute') {
      if (access.user) allowed = page.user && !(page.nx && nxe);
      else allowed = !(page.user && flag(s.cr4, 20)) && !(page.nx && nxe);
    } else if (access.shadowStack) allowed = shadowStackPage && page.user === access.user;
    else if (access.user) allowed = page.user && (access.kind === 'read' || page.write);
    else {
      const smapOk = !page.user || !flag(s.cr4, 21) || (s.ac && !access.implicit);
      allowed = smapOk && (access.kind === 'read' || page.write || !wp);
    }
    let keyDenies = false;
    if (long && access.kind !== 'execute' && flag(s.cr4, page.user ? 22 : 24)) {
      const register = page.user ? s.pkru : s.pkrs;
      if (flag(register, 2 * key)) keyDenies = true;
      if (flag(register, 2 * key + 1) && access.kind === 'write' && (access.user || wp)) keyDenies = true;
    }
    if (!allowed || keyDenies) fail({ present: true, key: keyDenies });
    setBits(access.kind === 'write' ? 0x60n : 0x20n);

    const low = BigInt(shift);
    let frame = field(entry, 51, shift) << low;
    if (mode === '32-bit') {
      frame = field(entry, 31, shift) << low;
      if (!last) frame |= field(entry, 20, 13) << 32n;
    }
    const gpaFinal = frame | (linear & ((1n << low) - 1n));
    const final = throughStage(memory, s, gpaFinal, access, 'final', page);
    return {
      result: 'ok',
      address: final.address,
      size: final.size < 1n << low ? final.size : 1n << low,
      rights: {
        ...page,
        dirty: bit(entry, 6) || access.kind === 'write',
        global: bit(entry, 8) && flag(s.cr4, 7),
        key,
        pat: Number(field(entry, 4, 3)) | (bit(entry, last ? 7 : 12) ? 4 : 0),
      },
    };
  }
  throw new Error('unreachable');
}

function throughStage(
  memory: ReferenceMemory,
  s: ReferenceState,
  gpa: bigint,
  access: ReferenceAccess,
  use: StageUse,
  page: { write: boolean; user: boolean; nx: boolean },
): { address: bigint; size: bigint } {
  if (s.stage === undefined) return { address: gpa, size: 1n << 62n };
  return s.stage.kind === 'ept'
    ? walkEpt(memory, s, s.stage, gpa, access, use, page)
    : walkNpt(memory, s, s.stage, gpa, access, use);
}

/** 29.3 */
function walkEpt(
  memory: ReferenceMemory,
  s: ReferenceState,
  e: ReferenceStage,
  gpa: bigint,
  access: ReferenceAccess,
  use: StageUse,
  page: { write: boolean; user: boolean; nx: boolean },
): { address: bigint; size: bigint } {
  const ad = bit(e.pointer, 6);
  const sss = bit(e.pointer, 7);
  const levels = Number(field(e.pointer, 5, 3)) + 1;
  const wantRead = use !== 'final' || access.kind === 'read';
  const wantWrite = use === 'final' ? access.kind === 'write' : use === 'update' || ad;
  const wantExecute = use === 'final' && access.kind === 'execute';
  let r = true;
  let w = true;
  let wAbove = true;
  let x = true;
  let xu = true;
  const violation = (entry: bigint | undefined, mapped: bigint | undefined): never => {
    let q = 0;
    if (wantRead) q |= 1;
    if (wantWrite) q |= 2;
    if (wantExecute) q |= 4;
    if (r) q |= 8;
    if (w) q |= 16;
    if (x) q |= 32;
    if (e.modeBased && xu) q |= 64;
    q |= 128;
    if (use === 'final') {
      q |= 256;
      if (e.advanced) {
        if (page.user) q |= 512;
        if (page.write) q |= 1024;
        if (page.nx) q |= 2048;
      }
      if (access.shadowStack) q |= 1 << 13;
    }
    if (sss && mapped !== undefined && bit(mapped, 60)) q |= 1 << 14;
    throw new Stop({
      result: 'EPT violation',
      qualification: q,
      gpa,
      suppressVe: entry !== undefined && bit(entry, 63),
    });
  };
  if (levels === 4 && gpa >> 48n !== 0n) {
    r = w = x = xu = false;
    violation(undefined, undefined);
  }
  let table = field(e.pointer, 51, 12) << 12n;
  for (let level = levels; ; level--) {
    const shift = 12 + 9 * (level - 1);
    const address = table + field(gpa, shift + 8, shift) * 8n;
    const entry = memory.read(address, 8);
    const [er, ew, ex, exu] = [bit(entry, 0), bit(entry, 1), bit(entry, 2), bit(entry, 10)];
    if (!(er || ew || ex || (e.modeBased && exu))) {
      r = w = x = xu = false;
      violation(entry, undefined);
    }
    const maps = level === 1 || (level <= 3 && bit(entry, 7));
    // 29.3.3.1
    let bad = !er && (ew || ((ex || (e.modeBased && exu)) && !e.executeOnly));
    if (s.maxphyaddr < 52 && field(entry, 51, s.maxphyaddr) !== 0n) bad = true;
    if (maps) {
      if ([2n, 3n, 7n].includes(field(entry, 5, 3))) bad = true;
      if (level > 1 && field(entry, shift - 1, 12) !== 0n) bad = true;
      if (level === 3 && !e.pages1G) bad = true;
    } else if (field(entry, level >= 4 ? 7 : 6, 3) !== 0n) bad = true;
    if (bad) throw new Stop({ result: 'EPT misconfiguration', gpa });
    r &&= er;
    w &&= ew;
    x &&= ex;
    xu &&= exu;
    if (!maps) {
      wAbove &&= ew;
      if (ad) memory.write(address, 8, entry | (1n << 8n));
      table = field(entry, 51, 12) << 12n;
      continue;
    }
    let allowed: boolean;
    if (sss && use === 'final' && access.shadowStack && !access.user && access.kind !== 'execute')
      allowed = r && wAbove && bit(entry, 60);
    else
      allowed =
        (!wantRead || r) && (!wantWrite || w) && (!wantExecute || (e.modeBased && page.user ? xu : x));
    if (!allowed) violation(entry, entry);
    if (ad) memory.write(address, 8, entry | (1n << 8n) | (wantWrite ? 1n << 9n : 0n));
    const low = BigInt(shift);
    return { address: (field(entry, 51, shift) << low) | (gpa & ((1n << low) - 1n)), size: 1n << low };
  }
}

/** APM vol. 2, 15.25 */
function walkNpt(
  memory: ReferenceMemory,
  s: ReferenceState,
  n: ReferenceStage,
  gpa: bigint,
  access: ReferenceAccess,
  use: StageUse,
): { address: bigint; size: bigint } {
  const kind = use === 'final' ? access.kind : 'write';
  const host: ReferenceState = {
    ...s,
    cr0: n.cr0,
    cr3: n.pointer,
    cr4: n.cr4,
    efer: n.efer,
    pkru: 0,
    pkrs: 0,
    pdptes: [],
  };
  delete host.stage;
  const reach = { '32-bit': 32n, '4-level': 48n, '5-level': 57n }[modeOf(host)]!;
  const nested: ReferenceAccess = { kind, user: true, implicit: false, shadowStack: false };
  let outcome: Outcome;
  if (gpa >> reach !== 0n) {
    const nxe = modeOf(host) !== '32-bit' && flag(n.efer, 11);
    outcome = {
      result: '#PF',
      code: 4 | (kind === 'write' ? 2 : 0) | (kind === 'execute' && (nxe || flag(n.cr4, 20)) ? 16 : 0),
    };
  } else outcome = referenceWalk(memory, host, gpa, nested);
  if (outcome.result === 'ok') return outcome;
  if (outcome.result !== '#PF') throw new Error(outcome.result);
  const shadow = use === 'final' && access.shadowStack ? 64 : 0;
  const where = use === 'final' ? 1n << 32n : 1n << 33n;
  throw new Stop({ result: '#NPF', info: BigInt(outcome.code | shadow) | where, gpa });
}
