import { mnemonicText } from './generated/mnemonics.ts';
import type { Instruction } from './instruction.ts';
import { mnemonicOf } from './tables.ts';

export { Mnemonic } from './generated/mnemonics.ts';

const names = ['', ...mnemonicText.split(' ')];

/** Number of the instruction's mnemonic, a value of `Mnemonic`; 0 if it is not ok. */
export function mnemonic(instruction: Instruction): number {
  return mnemonicOf[instruction.encoding];
}

/** Lower-case name of a mnemonic's number; empty for 0. */
export function mnemonicName(mnemonic: number): string {
  return names[mnemonic];
}
