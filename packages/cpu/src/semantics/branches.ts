import type { Definition } from './operation.ts';

const conditionNames = [
  'O',
  'NO',
  'B',
  'AE',
  'E',
  'NE',
  'BE',
  'A',
  'S',
  'NS',
  'P',
  'NP',
  'L',
  'GE',
  'LE',
  'G',
];

const conditional: Definition = (op) => op.jump(op.condition(op.conditionCode()));

const setOnCondition: Definition = (op) => op.write(0, op.condition(op.conditionCode()));

/** The destination is written in any case: a 32-bit one clears its upper half (SDM vol. 2A, CMOVcc). */
const moveOnCondition: Definition = (op) => {
  const source = op.read(1);
  op.write(0, op.x.select(op.condition(op.conditionCode()), source, op.read(0)));
};

export const branches: Readonly<Record<string, Definition>> = {
  ...Object.fromEntries(
    conditionNames.flatMap((name) => [
      [`J${name}`, conditional],
      [`SET${name}`, setOnCondition],
      [`CMOV${name}`, moveOnCondition],
    ]),
  ),
  JMP: (op) => op.jump(),
  CALL: (op) => {
    op.push(op.nextInstruction());
    op.jump();
  },
  RET: (op) => op.jumpTo(op.pop()),
};

/** Number of a condition by the end of a mnemonic, or -1. */
export function conditionOf(mnemonic: string): number {
  return conditionNames.indexOf(mnemonic.replace(/^(J|SET|CMOV)/, ''));
}
