import { checkRules } from './checks.ts';
import {
  type Instruction,
  DecodeStatus as importedDecodeStatus,
  EncodingSpace as importedEncodingSpace,
  Prefix as importedPrefix,
} from './instruction.ts';
import { Leaf as importedLeaf } from './leaf.ts';
import { readModrm } from './modrm.ts';
import { apxFeature, type DecoderOptions } from './options.ts';
import * as tables from './tables.ts';

// Constants of this module, which an engine folds into the code; imported bindings it loads every time (measured: 5 % on Node 26).
const DecodeStatus = importedDecodeStatus;
const EncodingSpace = importedEncodingSpace;
const Prefix = importedPrefix;
const Leaf = importedLeaf;
const { checks, leaves, nodes, operandListOf, roots } = tables;

/** An instruction has at most this many bytes; a longer one raises #GP (SDM vol. 2, 2.3.11), which `decode` calls invalid. */
export const maximumLength = 15;
// An exported binding is loaded every time, even within its module.
const mostBytes = 15;

/**
 * The decoder reads ahead without asking how many bytes there are, and compares at the end. This many are enough: 15 prefixes, 2
 * bytes of VEX or EVEX payload more than those, opcode, ModRM, SIB, displacement, immediate.
 */
const lookahead = 40;
const padded = new Uint8Array(lookahead);

/**
 * Decodes the instruction at `bytes[offset]` into `out`, which keeps nothing of what it held. Never throws and never reads outside
 * `bytes`, whatever they hold; `offset` must be an integer from 0.
 *
 * @returns `out.status`: ok; invalid (would raise #UD, or #GP for more than 15 bytes); truncated (`bytes` ends too early to tell)
 */
export function decode(bytes: Uint8Array, offset: number, options: DecoderOptions, out: Instruction): number {
  const available = bytes.length - offset;
  if (available >= lookahead) return decodeAhead(bytes, offset, mostBytes, options, out);
  let count = 0;
  while (count < available && count < mostBytes) {
    padded[count] = bytes[offset + count];
    count++;
  }
  padded.fill(0, count);
  return decodeAhead(padded, 0, count, options, out);
}

/**
 * Brings code bytes into `buffer`: those that follow the first `count`, at least one, up to 15 in all, and answers how many there
 * are now. Answers `count` if the next byte cannot be read.
 */
export type FetchCode = (buffer: Uint8Array, count: number) => number;

const fetched = new Uint8Array(lookahead);

/**
 * Decodes code that has to be fetched, such as through page tables: `fetch` is asked for more only while the bytes so far
 * leave the instruction open, so a fault belongs to the instruction. `fetch` must not decode anything itself.
 *
 * @returns as `decode`; truncated if `fetch` could not go on, `out.length` is then the number of bytes that were there
 */
export function decodeFetched(fetch: FetchCode, options: DecoderOptions, out: Instruction): number {
  let count = 0;
  for (;;) {
    const next = Math.min(fetch(fetched, count), mostBytes);
    if (!(next > count)) {
      if (count === 0) decodeAhead(fetched, 0, 0, options, out);
      return out.status;
    }
    count = next;
    fetched.fill(0, count);
    if (decodeAhead(fetched, 0, count, options, out) !== DecodeStatus.truncated) return out.status;
  }
}

// What a byte is at the place where prefixes and the first opcode byte stand.
const kindSegment = 1;
const kindOperandSize = 2;
const kindAddressSize = 3;
const kindLock = 4;
const kindRepne = 5;
const kindRep = 6;
const kindRex = 7;
const kindEscape = 8;
const kindLesLds = 9;
const kindBound = 10;
const kindPopXop = 11;
const kindRex2 = 12;
const byteKind = new Uint8Array(256);
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) byteKind[byte] = kindSegment;
byteKind[0x66] = kindOperandSize;
byteKind[0x67] = kindAddressSize;
byteKind[0xf0] = kindLock;
byteKind[0xf2] = kindRepne;
byteKind[0xf3] = kindRep;
byteKind.fill(kindRex, 0x40, 0x50);
byteKind[0x0f] = kindEscape;
byteKind[0xc4] = byteKind[0xc5] = kindLesLds;
byteKind[0x62] = kindBound;
byteKind[0x8f] = kindPopXop;
byteKind[0xd5] = kindRex2;

/** 1 + number of the segment register of an override prefix. */
function segmentOf(byte: number): number {
  return byte >= 0x64 ? byte - 0x64 + 5 : ((byte >> 3) & 3) + 1;
}

/** Decodes with `limit` bytes known to be there and zeros, or anything, readable behind them. */
function decodeAhead(
  bytes: Uint8Array,
  start: number,
  limit: number,
  options: DecoderOptions,
  out: Instruction,
): number {
  const is64 = options.mode === 64;
  let position = start;
  let prefixes = 0;
  let repeat = 0;
  let segment = 0;
  let rex = 0;
  let space: number = EncodingSpace.legacy;
  let map = 0;
  let opcode = 0;

  prefixLoop: for (;;) {
    opcode = bytes[position++];
    const kind = byteKind[opcode];
    if (kind === 0) break;
    switch (kind) {
      case kindSegment:
        prefixes |= Prefix.segment;
        // In 64-bit mode only FS and GS have an effect, and the others do not undo them.
        if (!is64 || opcode >= 0x64 || segment < 5) segment = segmentOf(opcode);
        break;
      case kindOperandSize:
        prefixes |= Prefix.operandSize;
        break;
      case kindAddressSize:
        prefixes |= Prefix.addressSize;
        break;
      case kindLock:
        prefixes |= Prefix.lock;
        break;
      case kindRepne:
        prefixes |= Prefix.repne;
        repeat = 0xf2;
        break;
      case kindRep:
        prefixes |= Prefix.rep;
        repeat = 0xf3;
        break;
      case kindRex:
        if (!is64) break prefixLoop;
        // Only directly in front of the opcode does it count (SDM vol. 2, 2.2.1).
        rex = opcode;
        if (position - start > mostBytes) break prefixLoop;
        continue;
      default:
        break prefixLoop;
    }
    rex = 0;
    if (position - start > mostBytes) break;
  }

  out.mode = options.mode;
  out.segmentOverride = segment;
  out.repeat = repeat;
  out.modrm = -1;
  out.sib = -1;
  out.reg = 0;
  out.rm = 0;
  out.rmVector = 0;
  out.rounding = 0;
  out.opmask = 0;
  out.zeroing = 0;
  out.broadcast = 0;
  out.newDestination = 0;
  out.noFlags = 0;
  out.defaultFlags = 0;
  out.base = 0;
  out.index = 0;
  out.scale = 0;
  out.displacement = 0;
  out.displacementHigh = 0;
  out.displacementSize = 0;
  out.displacementOffset = 0;
  out.immediate = 0;
  out.immediateHigh = 0;
  out.immediateSize = 0;
  out.immediateOffset = 0;
  out.immediate2 = 0;
  out.immediate2Size = 0;

  // Extension bits of register numbers, uninverted: R and R4 for ModRM.reg, X and X4 for the index, B and B4 for rm or base.
  let r = 0;
  let x = 0;
  let b = 0;
  let w = 0;
  let vvvv = 0;
  let length = 0;
  let payload2 = 0;
  let mandatory = repeat === 0xf3 ? 2 : repeat === 0xf2 ? 3 : (prefixes & Prefix.operandSize) !== 0 ? 1 : 0;
  let wrong = position - start > mostBytes;
  // Whether the decision depends on ModRM, so that it cannot be made without that byte.
  let askedModrm = false;

  switch (byteKind[opcode]) {
    case kindEscape:
      opcode = bytes[position++];
      if (options.historicEscapes !== 0 && isHistoricEscape(opcode, options)) map = 1;
      else if (opcode === 0x38 || opcode === 0x3a) {
        map = opcode === 0x38 ? 2 : 3;
        opcode = bytes[position++];
      } else map = opcode === 0x0f ? 4 : 1;
      break;
    case kindLesLds:
      if (is64 || bytes[position] >= 0xc0) {
        wrong ||=
          (prefixes & (Prefix.lock | Prefix.operandSize | Prefix.rep | Prefix.repne)) !== 0 || rex !== 0;
        space = EncodingSpace.vex;
        const first = bytes[position++];
        let last = first;
        if (opcode === 0xc4) {
          last = bytes[position++];
          map = first & 31;
          if (map > 15) {
            wrong = true;
            map = 0;
          }
          x = (~first & 0x40) >> 3;
          b = (~first & 0x20) >> 2;
          w = last >> 7;
        } else map = 1;
        r = (~first & 0x80) >> 4;
        vvvv = (~last >> 3) & 15;
        length = (last >> 2) & 1;
        mandatory = last & 3;
        opcode = bytes[position++];
      }
      break;
    case kindPopXop:
      if ((bytes[position] & 31) >= 8) {
        wrong ||=
          (prefixes & (Prefix.lock | Prefix.operandSize | Prefix.rep | Prefix.repne)) !== 0 || rex !== 0;
        space = EncodingSpace.xop;
        const first = bytes[position++];
        const last = bytes[position++];
        map = first & 31;
        if (map > 10) {
          wrong = true;
          map = 0;
        }
        r = (~first & 0x80) >> 4;
        x = (~first & 0x40) >> 3;
        b = (~first & 0x20) >> 2;
        w = last >> 7;
        vvvv = (~last >> 3) & 15;
        length = (last >> 2) & 1;
        mandatory = last & 3;
        opcode = bytes[position++];
      }
      break;
    case kindBound:
      if (is64 || bytes[position] >= 0xc0) {
        wrong ||=
          (prefixes & (Prefix.lock | Prefix.operandSize | Prefix.rep | Prefix.repne)) !== 0 || rex !== 0;
        space = EncodingSpace.evex;
        const payload0 = bytes[position++];
        const payload1 = bytes[position++];
        payload2 = bytes[position++];
        map = payload0 & 7;
        r = ((~payload0 & 0x80) >> 4) | (~payload0 & 0x10);
        x = (~payload0 & 0x40) >> 3;
        b = (~payload0 & 0x20) >> 2;
        // B4 and X4 (inverted) are APX's; before, they were reserved as 0 and 1.
        if (is64 && (options.features & apxFeature) !== 0) {
          b |= (payload0 & 8) << 1;
          x |= (~payload1 & 4) << 2;
        } else wrong ||= (payload0 & 8) !== 0 || (payload1 & 4) === 0;
        w = payload1 >> 7;
        vvvv = ((~payload1 >> 3) & 15) | ((~payload2 & 8) << 1);
        length = (payload2 >> 5) & 3;
        mandatory = payload1 & 3;
        opcode = bytes[position++];
        // With embedded rounding or {sae}, L'L is not a length; otherwise 3 is reserved.
        out.rounding = length;
        askedModrm = (payload2 & 0x10) !== 0 || (x & 16) !== 0;
        // X4 extends an index; the register form has none.
        wrong ||= (x & 16) !== 0 && bytes[position] >= 0xc0;
        if ((payload2 & 0x10) !== 0 && bytes[position] >= 0xc0 && map !== 4) length = 2;
        else if (length === 3) wrong = true;
      }
      break;
  }
  if (
    opcode === 0xd5 &&
    map === 0 &&
    is64 &&
    space === EncodingSpace.legacy &&
    (options.features & apxFeature) !== 0
  ) {
    wrong ||= rex !== 0;
    rex = bytes[position++];
    prefixes |= Prefix.rex2;
    opcode = bytes[position++];
    map = rex >> 7;
    w = (rex >> 3) & 1;
    r = ((rex & 4) << 1) | ((rex & 0x40) >> 2);
    x = ((rex & 2) << 2) | ((rex & 0x20) >> 1);
    b = ((rex & 1) << 3) | (rex & 0x10);
    wrong ||= isNoRex2Opcode(map, opcode, w);
  } else if (rex !== 0) {
    prefixes |= Prefix.rex;
    w = (rex >> 3) & 1;
    r = (rex & 4) << 1;
    x = (rex & 2) << 2;
    b = (rex & 1) << 3;
  }
  if (!is64) {
    // VEX.B and vvvv's high bit exist in the bytes but not in the registers.
    r = 0;
    wrong ||= vvvv >= 16;
    x = 0;
    b = 0;
  }

  const operandSize = is64
    ? w === 1 && space === EncodingSpace.legacy
      ? 64
      : (prefixes & Prefix.operandSize) !== 0
        ? 16
        : 32
    : ((prefixes & Prefix.operandSize) !== 0) === (options.mode === 32)
      ? 16
      : 32;
  const addressSize = is64
    ? (prefixes & Prefix.addressSize) !== 0
      ? 32
      : 64
    : ((prefixes & Prefix.addressSize) !== 0) === (options.mode === 32)
      ? 16
      : 32;
  out.prefixes = prefixes;
  out.rex = rex;
  out.space = space;
  out.opcodeMap = map;
  out.opcode = opcode;
  out.opcodeOffset = position - 1 - start;
  out.operandSize = operandSize;
  out.addressSize = addressSize;
  out.w = w;
  out.vectorLength = length;
  out.vvvv = is64 ? vvvv : vvvv & 7;

  let leaf = 0;
  if (map === 4 && space === EncodingSpace.legacy) {
    // 3DNow!: the byte that selects the instruction comes last.
    out.modrm = bytes[position++];
    position = readModrm(bytes, start, position, out, r, x, b, 0);
    opcode = bytes[position++];
    out.opcode = opcode;
  }

  // Down the decision tree. ModRM is looked at in place; it is taken only if the encoding has one.
  const modrm = bytes[position];
  let reference = roots[(space << 12) | (map << 8) | opcode];
  while (reference >= 0) {
    let value = 0;
    switch (nodes[reference]) {
      case 0:
        value = is64 ? (operandSize === 64 ? 4 : operandSize === 32 ? 3 : 2) : operandSize === 32 ? 1 : 0;
        break;
      case 1:
        value = mandatory;
        break;
      case 2:
        askedModrm = true;
        value = modrm >= 0xc0 ? 1 : 0;
        break;
      case 3:
        askedModrm = true;
        value = (modrm >> 3) & 7;
        break;
      case 4:
        askedModrm = true;
        value = modrm & 7;
        break;
      case 5:
        value = length;
        break;
      case 6:
        value = w;
        break;
      case 7:
        value = addressSize === 64 ? 2 : addressSize === 32 ? 1 : 0;
        break;
      case 8:
        value = b === 0 ? 0 : 1;
        break;
      case 9:
        value = options.vendorAxis;
        break;
      case 10:
        value = (payload2 >> 4) & 1;
        break;
      case 11:
        value = (payload2 >> 2) & 1;
        break;
      case 12:
        value = payload2 & 15;
        break;
      case 13:
        value = (prefixes & Prefix.rex2) !== 0 ? 1 : 0;
        break;
      default:
        value = (options.features >> (nodes[reference] - 14)) & 1;
    }
    reference = nodes[reference + 1 + value];
  }
  const encoding = ~reference;
  leaf = leaves[encoding];

  if (encoding === 0 || wrong) {
    if (tables.unpackSpace(space)) return decodeAhead(bytes, start, limit, options, out);
    if (askedModrm) position++;
    return finish(out, 0, position - start, limit);
  }

  if (space === EncodingSpace.evex) wrong = takePayload(out, leaf, payload2, vvvv);
  if ((leaf & Leaf.modrm) !== 0) {
    if (map !== 4 || space !== EncodingSpace.legacy) {
      out.modrm = modrm;
      position++;
      out.reg = ((modrm >> 3) & 7) | r;
      if (modrm >= 0xc0 || (leaf & Leaf.anyMod) !== 0) {
        out.rm = (modrm & 7) | b;
        out.rmVector = (modrm & 7) | (b & 8) | (space === EncodingSpace.evex ? (x & 8) << 1 : 0);
      } else {
        if (is64 && (leaf & Leaf.address64) !== 0) out.addressSize = 64;
        position = readModrm(bytes, start, position, out, r, x, b, leaf);
      }
    }
  } else {
    out.rm = (opcode & 7) | b;
  }

  switch (leaf & Leaf.immediateMask) {
    case 0:
      break;
    case 1: // ib
    case 10: // cb
    case 13: // is4
      out.immediateOffset = position - start;
      out.immediateSize = 1;
      out.immediate = (bytes[position++] << 24) >> 24;
      out.immediateHigh = out.immediate >> 31;
      break;
    case 2: // iw
    case 11: // cw
    case 14: // 16-bit displacement of JMPE
      out.immediateOffset = position - start;
      out.immediateSize = 2;
      out.immediate = ((bytes[position] | (bytes[position + 1] << 8)) << 16) >> 16;
      out.immediateHigh = out.immediate >> 31;
      position += 2;
      break;
    case 3: // id
    case 12: // cd
    case 15: // 32-bit displacement of JMPE
      out.immediateOffset = position - start;
      out.immediateSize = 4;
      out.immediate = read32(bytes, position);
      out.immediateHigh = out.immediate >> 31;
      position += 4;
      break;
    case 4: // io
      out.immediateOffset = position - start;
      out.immediateSize = 8;
      out.immediate = read32(bytes, position);
      out.immediateHigh = read32(bytes, position + 4);
      position += 8;
      break;
    case 5: // iw ib
      out.immediateOffset = position - start;
      out.immediateSize = 2;
      out.immediate = bytes[position] | (bytes[position + 1] << 8);
      out.immediate2 = bytes[position + 2];
      out.immediate2Size = 1;
      position += 3;
      break;
    case 6: // ib ib
      out.immediateOffset = position - start;
      out.immediateSize = 1;
      out.immediate = bytes[position];
      out.immediate2 = bytes[position + 1];
      out.immediate2Size = 1;
      position += 2;
      break;
    case 7: // 16:16
      out.immediateOffset = position - start;
      out.immediateSize = 2;
      out.immediate = bytes[position] | (bytes[position + 1] << 8);
      out.immediate2 = bytes[position + 2] | (bytes[position + 3] << 8);
      out.immediate2Size = 2;
      position += 4;
      break;
    case 8: // 16:32
      out.immediateOffset = position - start;
      out.immediateSize = 4;
      out.immediate = read32(bytes, position);
      out.immediate2 = bytes[position + 4] | (bytes[position + 5] << 8);
      out.immediate2Size = 2;
      position += 6;
      break;
    case 9: // absolute offset, as wide as addresses
      out.displacementOffset = position - start;
      out.displacementSize = addressSize >> 3;
      if (addressSize === 16) out.displacement = bytes[position] | (bytes[position + 1] << 8);
      else out.displacement = read32(bytes, position);
      if (addressSize === 64) out.displacementHigh = read32(bytes, position + 4);
      position += addressSize >> 3;
      break;
  }

  if ((prefixes & Prefix.lock) !== 0 && ((leaf & Leaf.lock) === 0 || modrm >= 0xc0)) wrong = true;
  if (space !== EncodingSpace.legacy) {
    // V' extends a vector index even where vvvv has no meaning.
    if ((leaf & Leaf.vvvv) === 0 && (vvvv & ((leaf >> Leaf.vectorIndexShift) & 3 ? 15 : 31)) !== 0)
      wrong = true;
    if (space === EncodingSpace.evex) wrong ||= evexIsWrong(out, leaf);
  }
  if ((leaf & Leaf.operandSize64) !== 0 && is64) out.operandSize = 64;
  const rules = checks[encoding];
  if (rules !== 0) wrong = checkRules(rules, leaf, options, out, wrong);
  return finish(out, wrong ? 0 : encoding, position - start, limit);
}

/**
 * Rows of the opcode maps that REX2 cannot reach (APX specification, 3.1.1.1): 4x 7x Ax Ex of map 0, 3x 8x of map 1, prefixes and escapes. A1
 * of map 0 with W = 0 is JMPABS.
 */
function isNoRex2Opcode(map: number, opcode: number, w: number): boolean {
  const row = opcode >> 4;
  if (map === 1) return row === 3 || row === 8;
  if (row === 10 && opcode === 0xa1) return w !== 0;
  if (row === 4 || row === 7 || row === 10 || row === 14) return true;
  const kind = byteKind[opcode];
  return kind !== 0 && kind !== kindPopXop;
}

/** Unpacks the last byte of an EVEX prefix as the encoding wants it. Answers whether it has bits that have no meaning. */
function takePayload(out: Instruction, leaf: number, payload: number, vvvv: number): boolean {
  if ((leaf & Leaf.apxPayload) === 0) {
    out.zeroing = payload >> 7;
    out.broadcast = (payload >> 4) & 1;
    out.opmask = payload & 7;
    return false;
  }
  out.newDestination = (payload >> 4) & 1;
  if ((leaf & Leaf.conditional) !== 0) {
    // Not inverted, unlike a register number.
    out.defaultFlags = ~vvvv & 15;
    out.vvvv = 0;
    return (payload & 0x80) !== 0;
  }
  if ((leaf & Leaf.noFlags) !== 0) out.noFlags = (payload >> 2) & 1;
  return (payload & 0x83) !== 0;
}

/** Processors that had an instruction where others have an escape byte. */
function isHistoricEscape(opcode: number, options: DecoderOptions): boolean {
  if (opcode === 0x0f) return options.has('udbg');
  if (options.mode === 64) return false;
  return opcode === 0x38
    ? options.has('cyrix')
    : opcode === 0x3a && (options.has('cyrix') || options.has('cyrix-dmi'));
}

function finish(out: Instruction, encoding: number, length: number, limit: number): number {
  let status: number = encoding === 0 ? DecodeStatus.invalid : DecodeStatus.ok;
  if (length > limit) status = limit === mostBytes ? DecodeStatus.invalid : DecodeStatus.truncated;
  out.status = status;
  const row = status === DecodeStatus.ok ? encoding : 0;
  out.encoding = row;
  out.operandList = operandListOf[row];
  out.length = length > limit ? limit : length;
  return status;
}

function read32(bytes: Uint8Array, position: number): number {
  return (
    bytes[position] | (bytes[position + 1] << 8) | (bytes[position + 2] << 16) | (bytes[position + 3] << 24)
  );
}

/** EVEX bits that the encoding gives no meaning (SDM vol. 2, 2.7.11). */
function evexIsWrong(out: Instruction, leaf: number): boolean {
  if (out.opmask === 0 ? (leaf & Leaf.opmaskRequired) !== 0 || out.zeroing !== 0 : (leaf & Leaf.opmask) === 0)
    return true;
  const isMemory = out.modrm < 0xc0;
  if (out.zeroing !== 0 && ((leaf & Leaf.zeroing) === 0 || (isMemory && (leaf & Leaf.memoryFirst) !== 0)))
    return true;
  if (out.broadcast !== 0) {
    if (isMemory) return ((leaf >> Leaf.broadcastShift) & 3) === 0;
    return (leaf & (Leaf.sae | Leaf.rounding)) === 0;
  }
  return false;
}
