import { hex, isInstruction, type Suspect, withByte } from './suspect.ts';

export function hasWrongModrm({ bytes, instruction, init }: Suspect): string | undefined {
  const at = instruction.opcodeOffset + 1;
  if (at >= bytes.length) return undefined;
  const modrm = bytes[at];
  // A memory operand may need more bytes than there are.
  if (modrm >= 0xc0)
    return isInstruction(withByte(bytes, at, modrm & 0x38), init)
      ? `it needs a memory operand, and ModRM ${hex(modrm)} names a register`
      : undefined;
  if (isInstruction(withByte(bytes, at, modrm | 0xc0), init))
    return `it needs a register operand, and ModRM ${hex(modrm)} names memory`;
  // AMX: SIB required. VSIB too.
  if ((modrm & 7) === 4) return undefined;
  const room = Uint8Array.from([...bytes, 0, 0, 0, 0, 0, 0]);
  return isInstruction(withByte(room, at, (modrm & 0x38) | 4), init)
    ? 'its memory operand needs a SIB byte'
    : undefined;
}

/** ModRM.reg selects the instruction, or a register that there is only a few of. */
export function hasWrongDigit({ bytes, instruction, init }: Suspect): string | undefined {
  const at = instruction.opcodeOffset + 1;
  if (at >= bytes.length) return undefined;
  const digits = [0, 1, 2, 3, 4, 5, 6, 7].filter((digit) =>
    isInstruction(withByte(bytes, at, (bytes[at] & 0xc7) | (digit << 3)), init),
  );
  if (digits.length === 0) return undefined;
  return `ModRM.reg is ${(bytes[at] >> 3) & 7}; the opcode allows ${digits.join(', ')}`;
}
