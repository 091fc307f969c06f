import { hostVendor } from '../../test/harness/host-processor.ts';
import { type HostState, stateAt, stateBytes, stateOf } from '../../test/harness/host-state.ts';
import { isApproximate } from '../../test/harness/last-place.ts';
import { pick, type Random, randomNumbers } from '../../test/harness/random.ts';
import {
  aliasAddress,
  codeAddress,
  codePages,
  codeTable,
  constantAddress,
  dataAddress,
  pageSize,
  scratchAddress,
  scratchTable,
  stackTop,
} from './address-space.ts';
import type { Piece, PiecePool } from './pieces.ts';
import { type Fix, type Item, type Place, type Program, tableOffset } from './program.ts';

export interface GenerateOptions {
  /** For the host processor: nothing that it does otherwise, an end after so many blocks. */
  readonly forHost?: { readonly exit: number };
  readonly mostBlocks?: number;
}

const rcx = 1;
const rsp = 4;
const counters = 32;
const tableEntries = 16;
/** Of host programs, in the data page: blocks that may still begin, and where RCX is meanwhile. */
const fuelCell: number = dataAddress + 0x300;
const savedCell: number = dataAddress + 0x308;

/** A program from a seed: the same for the same pool and options. */
export function generate(seed: number, pool: PiecePool, options: GenerateOptions = {}): Program {
  return new Generator(seed, pool, options).program();
}

/** Instructions written by hand that need the engine's services, or leave for TypeScript. */
const services: readonly (readonly number[])[] = [
  [0x0f, 0xa2], // cpuid
  [0x0f, 0x31], // rdtsc
  [0x0f, 0x01, 0xf9], // rdtscp
  [0x0f, 0x01, 0xd0], // xgetbv
  [0x0f, 0xc7, 0xf0], // rdrand eax
  [0x9c], // pushfq
  [0xc8, 0x20, 0, 0], // enter 32, 0
  [0xc8, 0x10, 0, 2], // enter 16, 2
  [0x0f, 0x01, 0xe0], // smsw eax
  [0x0f, 0x00, 0xc0], // sldt eax
  [0x8c, 0xd8], // mov eax, ds
  [0x0f, 0x00, 0xe0], // verr ax
  [0xf3, 0x90], // pause
  [0xcc], // int3
  [0xcd, 0x80], // int 80h
  [0x0f, 0x0b], // ud2
  [0xf4], // hlt: #GP at CPL 3
  [0xfa], // cli
  [0xec], // in al, dx
  [0x0f, 0x20, 0xd0], // mov rax, cr2
  [0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d], // pushfq; or dword [rsp], 100h; popfq: TF
  [0x9c, 0x81, 0x34, 0x24, 0, 0, 4, 0, 0x9d], // AC
  [0x9c, 0x81, 0x34, 0x24, 0, 4, 0, 0, 0x9d], // DF
  [0x9c, 0x81, 0x34, 0x24, 0, 2, 1, 0, 0x9d], // IF, RF
  [0xfb], // sti
  [0x0f, 0x23, 0xc0], // mov dr0, rax
  [0x0f, 0x23, 0xfa], // mov dr7, rdx
];
/** The same with a 512-byte area: FXSAVE, FXRSTOR, XSAVE, XRSTOR, FNSAVE, FRSTOR, FNSTENV, FLDENV. */
const areaServices: readonly (readonly number[])[] = [
  [0x0f, 0xae, 0x04],
  [0x0f, 0xae, 0x0c],
  [0x48, 0x0f, 0xae, 0x04],
  [0x0f, 0xae, 0x24],
  [0xdd, 0x34],
  [0xdd, 0x24],
  [0xd9, 0x34],
  [0xd9, 0x24],
];

class Generator {
  private readonly random: Random;
  private readonly blocks: Item[][] = [];
  private count = 0;
  /** Chances of 256. */
  private readonly vectors: number;
  private readonly x87: number;
  private readonly modifies: boolean;
  private readonly services: number;
  private readonly prepared: number;
  private readonly patchable = new Set<Item>();
  private usedCounters = 0;
  /** It changes page tables and control registers. */
  private readonly remaps: boolean;
  private readonly isUser: boolean;

  constructor(
    private readonly seed: number,
    private readonly pool: PiecePool,
    private readonly options: GenerateOptions,
  ) {
    const random = randomNumbers(seed);
    this.random = random;
    const isHost = options.forHost !== undefined;
    this.vectors = pick(random, [0, 16, 64, 160]);
    this.x87 = pick(random, [0, 0, 20, 80]);
    this.modifies = random() % 5 < 2;
    this.remaps = !isHost && random() % 5 === 0;
    // Of those with page tables of their own, most may execute INVLPG.
    this.isUser = isHost || (this.remaps ? random() % 4 === 0 : random() % 8 !== 0);
    this.services = isHost ? 0 : pick(random, [0, 0, 4, 12]);
    this.prepared = isHost ? 256 : pick(random, [256, 250, 220, 128]);
  }

  program(): Program {
    const { random, options, pool } = this;
    const { forHost, mostBlocks = 60 } = options;
    this.count = 5 + (random() % (random() % 2 === 0 ? 12 : mostBlocks - 4));
    for (let i = 0; i < this.count; i++) this.blocks.push(this.block(i));
    if (this.modifies)
      this.insert((victim) =>
        forHost === undefined ? this.modification(victim) : this.safeModification(victim),
      );
    if (this.remaps) this.insert(() => this.remapping());
    const state = stateOf(new Uint8Array(stateBytes));
    state.bytes.set(pick(random, pool.states).bytes);
    this.prepareState(state);
    const start = random() % 2 === 0 ? pageSize - (random() % 300) : random() % 64;
    return {
      seed: this.seed,
      start,
      blocks: this.blocks,
      counters: [
        ...Array.from({ length: counters }, () => 1 + (random() % pick(random, [4, 30, 200]))),
        ...(forHost === undefined ? [] : new Array<number>(0x300 / 4 - counters).fill(0)),
        ...(forHost === undefined ? [] : [40 + (random() % 400), 0, 0, 0]),
      ],
      table: Array.from({ length: tableEntries }, () => this.anyBlock()),
      scratch: pool.scratch,
      state,
      isUser: this.isUser,
      endsAtFault: forHost !== undefined,
      // A return without a call leads somewhere.
      stackFill: forHost?.exit ?? (random() % 4 === 0 ? 0 : codeAddress + start),
      interrupts:
        forHost === undefined && random() % 3 === 0 ? pick(random, [7, 50, 333]) : Number.POSITIVE_INFINITY,
      budget: forHost === undefined ? pick(random, [500, 2000, 8000]) : 200_000,
    };
  }

  /** Pointers in some registers, the stack in RSP. */
  private prepareState({ view }: HostState): void {
    const { random } = this;
    view.setBigUint64(8 * rsp, BigInt(stackTop), true);
    for (const number of [3, 5, 6, 7, 12, 13, 14, 15])
      if (random() % 2 === 0)
        view.setBigUint64(8 * number, BigInt(scratchAddress + (random() % 0x1f00)), true);
    if (random() % 4 !== 0) {
      // Most programs would soon end with pending x87 or SIMD exceptions.
      view.setUint32(stateAt.mxcsr, view.getUint32(stateAt.mxcsr, true) | 0x1f80, true);
      view.setUint16(stateAt.x87Control, view.getUint16(stateAt.x87Control, true) | 0x3f, true);
      view.setUint16(stateAt.x87Status, view.getUint16(stateAt.x87Status, true) & 0x7f7f, true);
    }
  }

  private block(index: number): Item[] {
    const { random, options } = this;
    const items: Item[] = [];
    if (options.forHost !== undefined) items.push(this.fuel(options.forHost.exit));
    const size = random() % pick(random, [3, 6, 12]);
    for (let i = 0; i < size; i++) this.piece(items);
    this.ending(items, index);
    return items;
  }

  // Straight code.

  private piece(items: Item[]): void {
    const { random, pool } = this;
    const isHost = this.options.forHost !== undefined;
    if (random() % 256 < this.services) {
      items.push(this.service());
      return;
    }
    const choice = random() % 256;
    const list =
      choice < this.vectors ? pool.vector : choice < this.vectors + this.x87 ? pool.x87 : pool.integer;
    const piece = pick(random, list.length === 0 ? pool.integer : list);
    // The last bits of these are the processor's own.
    if (isHost && isApproximate(piece.mnemonic, hostVendor())) return;
    // Without a stack pointer nothing goes far.
    if (piece.touchesStack && (isHost || random() % 8 !== 0)) return;
    if (random() % 256 < this.prepared)
      for (const [number, value] of piece.registers) items.push(load(number, value));
    const item = itemOf(piece);
    items.push(item);
    this.patchable.add(item);
    // What the manual leaves open must not decide.
    if (isHost && piece.spoilsFlags)
      items.push(raw([0x48, 0x83, 0xf8 | (random() % 8 === 4 ? 0 : random() % 4), random() & 255]));
  }

  private service(): Item {
    const { random } = this;
    if (random() % 3 !== 0) return raw(pick(random, services));
    const area = pick(random, [
      dataAddress + 0x800,
      dataAddress + 0x800,
      constantAddress,
      scratchAddress + 0xf00,
    ]);
    // SIB without base: disp32.
    return absolute([...pick(random, areaServices), 0x25], [], { kind: 'address', address: area });
  }

  // Branches.

  private ending(items: Item[], index: number): void {
    const { random, options } = this;
    const isHost = options.forHost !== undefined;
    const choice = random() % 32;
    if (choice < 4) return;
    if (choice < 10) items.push(this.conditional(this.anyBlock()));
    else if (choice < 19) this.countedLoop(items, index);
    else if (choice < 21) items.push(this.countBranch());
    else if (choice < 23) items.push(relative([0xe9], this.anyBlock()));
    else if (choice < 26) items.push(relative([0xe8], this.anyBlock()));
    else if (choice < 28) items.push(this.return(isHost));
    else if (choice < 31) this.indirect(items);
    else if (!isHost) this.wild(items);
    if (this.options.forHost !== undefined && index === this.count - 1)
      items.push(relative([0xe9], this.anyBlock()));
    else if (index === this.count - 1 && random() % 2 === 0) items.push(relative([0xe9], this.anyBlock()));
  }

  private anyBlock(): Place {
    const { random } = this;
    const isAlias = this.options.forHost === undefined && random() % 24 === 0;
    return { kind: 'block', block: random() % this.count, isAlias };
  }

  private conditional(place: Place): Item {
    return relative([0x0f, 0x80 | (this.random() & 15)], place);
  }

  /** To a block before this one, so often as a counter says. */
  private countedLoop(items: Item[], index: number): void {
    const { random } = this;
    const counter = dataAddress + 4 * (this.usedCounters++ % counters);
    const back: Place = { kind: 'block', block: Math.max(0, index - (random() % 3)) };
    const address: Place = { kind: 'address', address: counter };
    if (random() % 4 === 0) items.push(ripRelative([0x83, 0x2d], [1], address));
    else if (random() % 2 === 0) items.push(absolute([0x83, 0x2c, 0x25], [1], address));
    else items.push(absolute([0xff, 0x0c, 0x25], [], address));
    // Signed: below zero it stays out of the loop. Of the flags between, some instructions keep what is needed.
    if (random() % 4 === 0)
      items.push(
        raw(
          pick(random, [
            [0x48, 0x8d, 0x40, 1],
            [0x89, 0xd0],
            [0x0f, 0x28, 0xc1],
          ]),
        ),
      );
    items.push(relative([0x0f, pick(random, [0x8f, 0x89])], back));
  }

  /** LOOP, LOOPE, LOOPNE, JRCXZ, JECXZ reach 127 bytes: over a jump. */
  private countBranch(): Item {
    const { random } = this;
    const head = random() % 4 === 0 ? [0x67] : [];
    const item = [...head, 0xe0 | (random() & 3), 2, 0xeb, 5, 0xe9, 0, 0, 0, 0];
    const end = item.length;
    return { bytes: Uint8Array.from(item), fixes: [{ at: end - 4, size: 4, end, place: this.anyBlock() }] };
  }

  private return(isHost: boolean): Item {
    if (isHost || this.random() % 8 !== 0) return raw([0xc3]);
    return raw([0xc2, 8 * (this.random() % 3), 0]);
  }

  private indirect(items: Item[]): void {
    const { random } = this;
    const isCall = random() % 2 === 0;
    const field = isCall ? 0x10 : 0x20;
    const table = dataAddress + tableOffset;
    switch (random() % 4) {
      case 0: {
        // lea rax, [rip + block]; jmp rax
        const register = pick(random, [0, 2, 3, 6]);
        items.push(ripRelative([0x48, 0x8d, 0x05 | (register << 3)], [], this.anyBlock()));
        items.push(raw([0xff, 0xc0 | field | register]));
        return;
      }
      case 1:
        items.push(
          absolute([0xff, field | 4, 0x25], [], {
            kind: 'address',
            address: table + 8 * (random() % tableEntries),
          }),
        );
        return;
      case 2:
        items.push(
          ripRelative([0xff, field | 5], [], {
            kind: 'address',
            address: table + 8 * (random() % tableEntries),
          }),
        );
        return;
      default: {
        // and edx, 15; jmp [table + rdx * 8]
        const register = pick(random, [0, 2, 3, 7]);
        items.push(raw([0x83, 0xe0 | register, tableEntries - 1]));
        items.push(
          absolute([0xff, field | 4, 0xc5 | (register << 3)], [], { kind: 'address', address: table }),
        );
      }
    }
  }

  /** Anywhere: between instructions, into nothing, by any register. */
  private wild(items: Item[]): void {
    const { random } = this;
    const address = codeAddress + (random() % (codePages * pageSize + 64));
    switch (random() % 4) {
      case 0:
        items.push(relative([0xe9], { kind: 'address', address }));
        return;
      case 1:
        items.push(raw([0xeb, random() & 255]));
        return;
      case 2:
        items.push(raw([0xff, 0xe0 | (random() & 7)]));
        return;
      default:
        items.push(relative([0x0f, 0x80 | (random() & 15)], { kind: 'address', address }));
    }
  }

  // Programs that change themselves.

  /** Up to eight of something, anywhere; what it may change is often near. */
  private insert(make: (victim: Item | undefined) => readonly Item[]): void {
    const { random, blocks, patchable } = this;
    const times = 1 + (random() % 8);
    for (let i = 0; i < times; i++) {
      const index = random() % blocks.length;
      const near = blocks.slice(Math.max(0, index - 1), index + 2).flat();
      const candidates = random() % 3 === 0 ? [...patchable] : near.filter((item) => patchable.has(item));
      const block = blocks[index];
      const at = random() % (block.length + 1);
      block.splice(at, 0, ...make(candidates.length === 0 ? undefined : pick(random, candidates)));
    }
  }

  private modification(victim: Item | undefined): readonly Item[] {
    const { random } = this;
    const isAlias = random() % 6 === 0;
    const wild: Place = {
      kind: 'address',
      address: codeAddress + (random() % 0x1800) + (isAlias ? aliasAddress - codeAddress : 0),
    };
    const choice = random() % 10;
    if (victim !== undefined && choice < 4 && victim.patchSize) return [this.immediatePatch(victim, isAlias)];
    if (victim !== undefined && choice < 6) {
      // ADD to SUB, AND to XOR, ...
      const place: Place = { kind: 'item', item: victim, offset: victim.opcodeAt ?? 0, isAlias };
      return [this.store([0x80, 6], [pick(random, [0x28, 0x08, 0x10, 0x20, 1, 2])], place)];
    }
    switch (random() % 4) {
      case 0:
        return [this.store([0xc6, 0], [random() & 255], wild)];
      case 1:
        return [this.store([pick(random, [0x87, 0x89, 0x01, 0x31]), random() & 7], [], wild)];
      case 2:
        return [
          load(rcx, BigInt(1 + (random() % 24))),
          withAddress(6, this.anyBlock()),
          withAddress(7, this.anyBlock()),
          raw(pick(random, [[0xf3, 0xa4], [0xf3, 0x48, 0xa5], [0xa5]])),
        ];
      default:
        // movups [wild], xmm
        return [absolute([0x0f, 0x11, 0x04 | ((random() & 7) << 3), 0x25], [], wild)];
    }
  }

  /** Changes an immediate. */
  private immediatePatch(victim: Item, isAlias: boolean): Item {
    const { random } = this;
    const place: Place = { kind: 'item', item: victim, offset: victim.patchAt!, isAlias };
    switch (random() % 4) {
      case 0:
        return this.store([0xc6, 0], [random() & 255], place);
      case 1:
        return this.store([0x88, random() & 7], [], place);
      case 2:
        return this.store([0xfe, 0], [], place);
      default:
        return this.store([0x80, random() & 7], [random() & 255], place);
    }
  }

  /** What cannot make a system call of something else. The flags that XOR leaves open do not decide anything. */
  private safeModification(victim: Item | undefined): readonly Item[] {
    const { random } = this;
    const opcodeAt = victim?.opcodeAt ?? 0;
    if (victim === undefined) return [];
    const isPlain =
      victim.bytes[opcodeAt] < 0x40 && (opcodeAt === 0 || (victim.bytes[opcodeAt - 1] & 0xf0) === 0x40);
    if (isPlain && (random() & 1) === 0) {
      const place: Place = { kind: 'item', item: victim, offset: opcodeAt };
      const test = raw([0x48, 0x83, 0xf8, random() & 255]);
      return [this.store([0x80, 6], [pick(random, [0x28, 0x08, 0x10, 0x20, 1, 2])], place), test];
    }
    if (!victim.patchSize) return [];
    return [this.immediatePatch(victim, false), raw([0x48, 0x83, 0xf8, random() & 255])];
  }

  /** An instruction with opcode and ModRM.reg, on a place: by RIP or by its absolute address. */
  private store([opcode, reg]: readonly number[], immediate: readonly number[], place: Place): Item {
    return this.random() % 2 === 0
      ? ripRelative([opcode, (reg << 3) | 5], immediate, place)
      : absolute([opcode, (reg << 3) | 4, 0x25], immediate, place);
  }

  // Programs that change their address space.

  private remapping(): readonly Item[] {
    const { random } = this;
    const linear = pick(random, remappable);
    const entry = entryOf(linear);
    const first: Place = { kind: 'address', address: entry };
    const change: Item[] = [];
    if (random() % 3 === 0) {
      // Two pages change places.
      const second: Place = { kind: 'address', address: entryOf(pick(random, remappable)) };
      change.push(absolute([0x8b, 0x04, 0x25], [], first));
      change.push(absolute([0x87, 0x04, 0x25], [], second));
      change.push(absolute([0x89, 0x04, 0x25], [], first));
    } else {
      // Present, writable, user, accessed, dirty, another frame.
      const bits = pick(random, [1, 2, 2, 4, 0x20, 0x40, 0x60, 0x1000, 0x2000]);
      change.push(absolute([0x81, 0x34, 0x25], bytes32(bits), first));
    }
    const at: Place = { kind: 'address', address: linear };
    switch (random() % 6) {
      case 0:
        break;
      case 1:
        // mov rax, cr3; mov cr3, rax
        change.push(raw([0x0f, 0x20, 0xd8]), raw([0x0f, 0x22, 0xd8]));
        break;
      case 2:
        // CR0.WP, CR0.AM
        change.push(
          raw([0x0f, 0x20, 0xc0]),
          raw([0x35, ...bytes32(pick(random, [0x10000, 0x40000]))]),
          raw([0x0f, 0x22, 0xc0]),
        );
        break;
      case 3:
        // CR4.PGE
        change.push(raw([0x0f, 0x20, 0xe0]), raw([0x35, ...bytes32(0x80)]), raw([0x0f, 0x22, 0xe0]));
        break;
      default:
        change.push(absolute([0x0f, 0x01, 0x3c, 0x25], [], at));
    }
    return change;
  }

  // Host programs.

  /** Counts blocks without touching flags or registers. */
  private fuel(exit: number): Item {
    const save = [0x48, 0x89, 0x0c, 0x25, ...bytes32(savedCell)]; // mov [saved], rcx
    const take = [0x48, 0x8b, 0x0c, 0x25, ...bytes32(fuelCell)]; // mov rcx, [fuel]
    const count = [0x48, 0x8d, 0x49, 0xff]; // lea rcx, [rcx - 1]
    const keep = [0x48, 0x89, 0x0c, 0x25, ...bytes32(fuelCell)];
    const restore = [0x48, 0x8b, 0x0c, 0x25, ...bytes32(savedCell)];
    // jrcxz to the jump behind the one over it.
    const head = [...save, ...take, ...count, ...keep, 0xe3, 2, 0xeb, 5, 0xe9];
    const end = head.length + 4;
    return {
      bytes: Uint8Array.from([...head, 0, 0, 0, 0, ...restore]),
      fixes: [{ at: end - 4, size: 4, end, place: { kind: 'address', address: exit } }],
      isNeeded: true,
    };
  }
}

/** Pages whose entries programs change: code in both places less often than it is there, data, and what is not mapped. */
const remappable: readonly number[] = [
  ...Array.from({ length: codePages }, (_, i) => aliasAddress + i * pageSize),
  codeAddress + pageSize,
  scratchAddress - pageSize,
  scratchAddress,
  scratchAddress + pageSize,
  constantAddress,
];

/** Linear address of the page-table entry of a page. */
function entryOf(linear: number): number {
  return (linear < codeAddress ? scratchTable : codeTable) + 8 * ((linear >>> 12) & 511);
}

function bytes32(value: number): number[] {
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
}

function raw(bytes: readonly number[]): Item {
  return { bytes: Uint8Array.from(bytes), fixes: [] };
}

/** An instruction that ends with a relative field of four bytes. */
function relative(head: readonly number[], place: Place): Item {
  const end = head.length + 4;
  return { bytes: Uint8Array.from([...head, 0, 0, 0, 0]), fixes: [{ at: head.length, size: 4, end, place }] };
}

function ripRelative(head: readonly number[], immediate: readonly number[], place: Place): Item {
  const end = head.length + 4 + immediate.length;
  return {
    bytes: Uint8Array.from([...head, 0, 0, 0, 0, ...immediate]),
    fixes: [{ at: head.length, size: 4, end, place }],
  };
}

function absolute(head: readonly number[], immediate: readonly number[], place: Place): Item {
  return {
    bytes: Uint8Array.from([...head, 0, 0, 0, 0, ...immediate]),
    fixes: [{ at: head.length, size: 4, place }],
  };
}

/** MOV of a constant, in its shortest form. */
function load(number: number, value: bigint): Item {
  const low = Number(BigInt.asUintN(32, value));
  const high = Number(BigInt.asUintN(32, value >> 32n));
  const b = number >> 3;
  if (high === 0) return raw([...(b !== 0 ? [0x41] : []), 0xb8 | (number & 7), ...bytes32(low)]);
  if (high === 0xffffffff && low >= 0x80000000)
    return raw([0x48 | b, 0xc7, 0xc0 | (number & 7), ...bytes32(low)]);
  return raw([0x48 | b, 0xb8 | (number & 7), ...bytes32(low), ...bytes32(high)]);
}

/** MOV of an address of the program to a register below R8. */
function withAddress(number: number, place: Place): Item {
  return { bytes: Uint8Array.from([0xb8 | number, 0, 0, 0, 0]), fixes: [{ at: 1, size: 4, place }] };
}

function itemOf(piece: Piece): Item {
  const { code, relativeAt, relativeTarget, immediateAt, immediateSize, opcodeAt } = piece;
  const fixes: Fix[] =
    relativeAt < 0
      ? []
      : [{ at: relativeAt, size: 4, end: code.length, place: { kind: 'address', address: relativeTarget } }];
  return { bytes: code, fixes, patchAt: immediateAt, patchSize: immediateSize, opcodeAt };
}
