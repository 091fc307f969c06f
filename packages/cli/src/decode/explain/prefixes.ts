import { EncodingSpace, maximumLength, Prefix } from '@nest86/decoder';
import {
  hex,
  isInstruction,
  prefixCount,
  type Suspect,
  scratch,
  segments,
  spaceNames,
  withByte,
  withoutPrefixes,
} from './suspect.ts';

export function isTooLong(suspect: Suspect): string | undefined {
  const { bytes, init } = suspect;
  const count = prefixCount(suspect);
  const reason = `longer than ${maximumLength} bytes`;
  if (count >= maximumLength) return reason;
  // Which prefixes the instruction needs is not known: those that repeat never, the others perhaps.
  const repeats = (byte: number, index: number) =>
    bytes.indexOf(byte, index + 1) >= 0 && bytes.indexOf(byte, index + 1) < count;
  const deadRex = (byte: number, index: number) => byte >> 4 === 4 && index < count - 1;
  for (const dispensable of [[], segments, [...segments, 0x67], [...segments, 0x67, 0xf2, 0xf3]]) {
    const shorter = withoutPrefixes(
      suspect,
      (byte, index) => repeats(byte, index) || deadRex(byte, index) || dispensable.includes(byte),
    );
    if (!isInstruction(shorter, init)) continue;
    if (scratch.length + bytes.length - shorter.length > maximumLength) return reason;
  }
  return undefined;
}

export function hasWrongLock(suspect: Suspect): string | undefined {
  const { instruction, init } = suspect;
  if ((instruction.prefixes & Prefix.lock) === 0) return undefined;
  if (
    !isInstruction(
      withoutPrefixes(suspect, (byte) => byte === 0xf0),
      init,
    )
  )
    return undefined;
  if (scratch.modrm < 0xc0) return 'LOCK is not allowed with this instruction';
  const at = instruction.opcodeOffset + 1;
  const onMemory = withByte(suspect.bytes, at, suspect.bytes[at] & 0x38);
  return isInstruction(onMemory, init)
    ? 'LOCK needs a memory destination, this one is a register'
    : 'LOCK is not allowed with this instruction';
}

export function hasPrefixBeforeVector(suspect: Suspect): string | undefined {
  const { instruction, init } = suspect;
  const isRex2 = (instruction.prefixes & Prefix.rex2) !== 0;
  if (instruction.space === EncodingSpace.legacy && !isRex2) return undefined;
  const name = isRex2 ? 'REX2' : spaceNames[instruction.space];
  const groups: readonly (readonly [string, (byte: number) => boolean])[] = [
    ['66', (byte) => byte === 0x66],
    ['F2', (byte) => byte === 0xf2],
    ['F3', (byte) => byte === 0xf3],
    ['LOCK', (byte) => byte === 0xf0],
    ['a REX prefix', (byte) => byte >> 4 === 4],
    ['these prefixes', (byte) => !segments.includes(byte) && byte !== 0x67],
  ];
  for (const [what, isUnwanted] of groups) {
    const rest = withoutPrefixes(suspect, isUnwanted);
    if (rest.length < suspect.bytes.length && isInstruction(rest, init))
      return `${what} may not stand before ${name === 'EVEX' ? 'an' : 'a'} ${name} prefix`;
  }
  return undefined;
}

export function hasWrongPrefix(suspect: Suspect): string | undefined {
  for (const prefix of [0x66, 0xf2, 0xf3, 0x67]) {
    const rest = withoutPrefixes(suspect, (byte) => byte === prefix);
    if (rest.length < suspect.bytes.length && isInstruction(rest, suspect.init))
      return `the prefix ${hex(prefix)} is not allowed with this instruction`;
  }
  const plain = withoutPrefixes(suspect, (byte) => byte >> 4 === 4);
  if (plain.length < suspect.bytes.length && isInstruction(plain, suspect.init))
    return 'its REX prefix names a register that does not exist';
  const { bytes, instruction, init } = suspect;
  if ((instruction.prefixes & Prefix.rex2) === 0) return undefined;
  // D5 and its payload stand for 0F or nothing.
  const at = prefixCount(suspect);
  const map = bytes[at + 1] >> 7 === 1 ? [0x0f] : [];
  const unextended = Uint8Array.from([...bytes.subarray(0, at), ...map, ...bytes.subarray(at + 2)]);
  return isInstruction(unextended, init) ? 'this opcode cannot have a REX2 prefix' : undefined;
}
