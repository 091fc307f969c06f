import { EncodingSpace } from '@nest86/decoder';
import { isInstruction, prefixCount, type Suspect, spaceNames, withByte } from './suspect.ts';

/** Bits of the last bytes of a VEX, XOP or EVEX prefix, and the values they could have had. */
interface Field {
  readonly name: string;
  readonly mask: number;
  readonly values: readonly number[];
  readonly reason: string;
}

const noOperand = 'must be all ones: the instruction has no such operand';
const vexFields: readonly Field[] = [
  { name: 'vvvv', mask: 0x78, values: [0x78], reason: noOperand },
  { name: 'L', mask: 0x04, values: [0, 0x04], reason: 'gives a vector length that does not exist here' },
  { name: 'pp', mask: 0x03, values: [0, 1, 2, 3], reason: 'selects no instruction' },
];
const wideFields: readonly Field[] = [
  ...vexFields,
  { name: 'W', mask: 0x80, values: [0, 0x80], reason: 'selects no instruction' },
];
const evexFieldsP1: readonly Field[] = [
  { name: 'vvvv', mask: 0x78, values: [0x78], reason: noOperand },
  { name: 'X4', mask: 0x04, values: [0x04], reason: 'must be one here' },
  { name: 'pp', mask: 0x03, values: [0, 1, 2, 3], reason: 'selects no instruction' },
  { name: 'W', mask: 0x80, values: [0, 0x80], reason: 'selects no instruction' },
];
const evexLength: readonly Field[] = [
  {
    name: "L'L",
    mask: 0x60,
    values: [0, 0x20, 0x40],
    reason: 'gives a vector length that does not exist here',
  },
];
const evexOptions: readonly Field[] = [
  { name: "V'", mask: 0x08, values: [0x08], reason: 'must be one here' },
  // Before z: zeroing without an opmask lacks the opmask.
  { name: 'aaa', mask: 0x07, values: [1], reason: 'is 0, but an opmask register is needed here' },
  { name: 'z', mask: 0x80, values: [0], reason: 'is set, but zeroing is not allowed here' },
  { name: 'aaa', mask: 0x07, values: [0], reason: 'names an opmask, which the instruction does not have' },
  { name: 'b', mask: 0x10, values: [0], reason: 'is set, but there is no broadcast or rounding here' },
];
const differing: Field = {
  name: 'vvvv',
  mask: 0x78,
  values: [0x78, 0x70, 0x68, 0x60],
  reason: 'repeats a register; the operands must be different registers',
};

/** Opmask, zeroing, broadcast: most are a matter of the operands, so they come before doubts about these. */
export function hasWrongEvexOption(suspect: Suspect): string | undefined {
  if (suspect.instruction.space !== EncodingSpace.evex) return undefined;
  return askFields(suspect, 'EVEX', prefixCount(suspect) + 3, evexOptions);
}

export function hasWrongPayload(suspect: Suspect): string | undefined {
  const { instruction } = suspect;
  const { space, opcodeOffset } = instruction;
  const name = spaceNames[space];
  const at = prefixCount(suspect);
  if (space === EncodingSpace.legacy) return undefined;
  if (space === EncodingSpace.evex)
    return (
      askFields(suspect, name, at + 2, evexFieldsP1) ??
      askFields(suspect, name, at + 3, evexLength) ??
      askFields(suspect, name, at + 2, [differing])
    );
  const last = opcodeOffset - 1;
  return askFields(suspect, name, last, [...(last === at + 1 ? vexFields : wideFields), differing]);
}

function askFields(
  { bytes, init }: Suspect,
  space: string,
  at: number,
  fields: readonly Field[],
): string | undefined {
  for (const { name, mask, values, reason } of fields)
    for (const value of values) {
      const changed = (bytes[at] & ~mask) | value;
      if (changed !== bytes[at] && isInstruction(withByte(bytes, at, changed), init))
        return `${space}.${name} ${reason}`;
    }
  return undefined;
}
