import { EncodingSpace, type Instruction, Prefix, RegisterClass, registerName } from '@nest86/decoder';
import { hex, word, words } from './words.ts';

/** Prefixes that are there, and what each of those does that has a value. */
export function prefixRecord(instruction: Instruction): object {
  const { prefixes, repeat, segmentOverride, rex } = instruction;
  return {
    present: words(Prefix, prefixes),
    ...(repeat === 0 ? {} : { lastRepeat: hex(repeat) }),
    ...(segmentOverride === 0
      ? {}
      : { segmentOverride: registerName((RegisterClass.segment << 5) | (segmentOverride - 1)) }),
    ...((prefixes & Prefix.rex2) !== 0 ? { rex2: hex(rex) } : rex === 0 ? {} : { rex: hex(rex) }),
  };
}

export function encodingRecord(instruction: Instruction): object {
  const { space, modrm, sib, displacementSize, immediateSize, immediate2Size } = instruction;
  return {
    row: instruction.encoding,
    space: word(EncodingSpace, space),
    opcodeMap: mapName(instruction),
    opcode: hex(instruction.opcode),
    opcodeOffset: instruction.opcodeOffset,
    w: instruction.w,
    ...(modrm < 0
      ? {}
      : { modrm: { value: hex(modrm), mod: modrm >> 6, reg: (modrm >> 3) & 7, rm: modrm & 7 } }),
    ...(sib < 0
      ? {}
      : { sib: { value: hex(sib), scale: 1 << (sib >> 6), index: (sib >> 3) & 7, base: sib & 7 } }),
    ...(displacementSize === 0
      ? {}
      : { displacement: { offset: instruction.displacementOffset, size: displacementSize } }),
    ...(immediateSize === 0
      ? {}
      : { immediate: { offset: instruction.immediateOffset, size: immediateSize } }),
    ...(immediate2Size === 0
      ? {}
      : { immediate2: { offset: instruction.immediateOffset + immediateSize, size: immediate2Size } }),
    ...(space === EncodingSpace.legacy ? {} : vectorFields(instruction)),
  };
}

function mapName({ space, opcodeMap }: Instruction): string | number {
  return space === EncodingSpace.legacy ? ['one-byte', '0F', '0F38', '0F3A', '3DNow!'][opcodeMap] : opcodeMap;
}

/** Fields of VEX, XOP and EVEX. */
function vectorFields(instruction: Instruction): object {
  const common = { vectorLength: 128 << instruction.vectorLength, vvvv: instruction.vvvv };
  if (instruction.space !== EncodingSpace.evex) return common;
  return {
    ...common,
    opmask: instruction.opmask,
    zeroing: instruction.zeroing !== 0,
    broadcast: instruction.broadcast !== 0,
    rounding: instruction.rounding,
    newDestination: instruction.newDestination !== 0,
    noFlags: instruction.noFlags !== 0,
    defaultFlags: instruction.defaultFlags,
  };
}
