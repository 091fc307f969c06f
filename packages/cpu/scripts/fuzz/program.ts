import { type HostState, stateAt, stateOf } from '../../test/harness/host-state.ts';
import {
  aliasAddress,
  codeAddress,
  codePages,
  dataAddress,
  pageSize,
  scratchAddress,
  stackAddress,
} from './address-space.ts';

/** What a field of an instruction refers to. */
export type Place =
  /** Start of a block, or the same in the second mapping of the code. */
  | { readonly kind: 'block'; readonly block: number; readonly isAlias?: boolean }
  /** A byte of another item of the program. */
  | { readonly kind: 'item'; readonly item: Item; readonly offset: number; readonly isAlias?: boolean }
  | { readonly kind: 'address'; readonly address: number };

/** A field whose bytes are known when the program is laid out. */
export interface Fix {
  readonly at: number;
  readonly size: 1 | 4 | 8;
  /** Relative to the byte `end` of the item; absolute without. */
  readonly end?: number;
  readonly place: Place;
}

/** One or a few instructions that belong together. */
export interface Item {
  readonly bytes: Uint8Array;
  readonly fixes: readonly Fix[];
  /** Bytes that a self-modifying program may change sensibly. */
  readonly patchAt?: number;
  readonly patchSize?: number;
  readonly opcodeAt?: number;
  /** Without it the program might not end. */
  readonly isNeeded?: boolean;
}

export interface Program {
  readonly seed: number;
  /** Offset of the first block in the code pages. */
  readonly start: number;
  readonly blocks: readonly (readonly Item[])[];
  /** 32-bit counters at the start of the data page. */
  readonly counters: readonly number[];
  /** Tables of addresses of blocks at `tableOffset` of the data page, 8 bytes each. */
  readonly table: readonly Place[];
  readonly scratch: Uint8Array;
  readonly state: HostState;
  readonly isUser: boolean;
  readonly endsAtFault: boolean;
  /** What 8-byte words of the stack hold at the start, or 0. */
  readonly stackFill: number;
  /** Instructions from one interrupt to the next. */
  readonly interrupts: number;
  /** Retired instructions after which it is enough. */
  readonly budget: number;
}

export const tableOffset = 0x400;

/** A program laid out: bytes at addresses. */
export interface Image {
  readonly parts: readonly { readonly address: number; readonly bytes: Uint8Array }[];
  readonly state: HostState;
  /** Starts of blocks, ascending. */
  readonly resume: readonly number[];
  readonly isUser: boolean;
  readonly endsAtFault: boolean;
  readonly interrupts: number;
}

/** UD2. */
const invalid = [0x0f, 0x0b];
const codeBytes = codePages * pageSize;

/** Addresses of blocks that do not fit become those of the first. */
export function layOut(program: Program): Image {
  const { blocks, counters, table, start } = program;
  const code = new Uint8Array(codeBytes);
  const starts: number[] = [];
  const addresses = new Map<Item, number>();
  let at = start;
  for (const items of blocks) {
    const size = items.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (at + size > codeBytes - 16) break;
    starts.push(codeAddress + at);
    for (const item of items) {
      addresses.set(item, codeAddress + at);
      code.set(item.bytes, at);
      at += item.bytes.length;
    }
  }
  // Behind the last block, and where host programs end.
  code.set(invalid, at);
  code.set(invalid, codeBytes - 16);
  const resolve = (place: Place): number => {
    if (place.kind === 'address') return place.address;
    const alias = place.isAlias ? aliasAddress - codeAddress : 0;
    if (place.kind === 'block') return (starts[place.block] ?? starts[0]) + alias;
    return (addresses.get(place.item) ?? starts[0]) + place.offset + alias;
  };
  const view = new DataView(code.buffer);
  for (const [item, address] of addresses) {
    for (const { at: offset, size, end, place } of item.fixes) {
      const value = resolve(place) - (end === undefined ? 0 : address + end);
      const to = address - codeAddress + offset;
      if (size === 1) view.setInt8(to, value);
      else {
        view.setInt32(to, value, true);
        if (size === 8) view.setInt32(to + 4, 0, true);
      }
    }
  }
  const data = new Uint8Array(pageSize);
  const dataView = new DataView(data.buffer);
  for (const [i, counter] of counters.entries()) dataView.setInt32(4 * i, counter, true);
  for (const [i, place] of table.entries()) dataView.setUint32(tableOffset + 8 * i, resolve(place), true);
  const stack = new Uint8Array(2 * pageSize);
  const stackView = new DataView(stack.buffer);
  for (let i = 0; i < stack.length; i += 8) stackView.setUint32(i, program.stackFill, true);
  const state = stateOf(program.state.bytes.slice());
  state.view.setBigUint64(stateAt.rip, BigInt(starts[0]), true);
  return {
    parts: [
      { address: codeAddress, bytes: code },
      { address: dataAddress, bytes: data },
      { address: scratchAddress, bytes: program.scratch },
      { address: stackAddress, bytes: stack },
    ],
    state,
    resume: starts,
    isUser: program.isUser,
    endsAtFault: program.endsAtFault,
    interrupts: program.interrupts,
  };
}
