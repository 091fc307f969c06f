import type { Instruction } from '@nest86/decoder';
import {
  ConditionCode,
  ControlFlow,
  conditionCode,
  controlFlow,
  cpuidFeatures,
  exceptionClass,
  Flag,
  fpuIsConditional,
  fpuTopIncrement,
  InstructionInfo,
  Mode,
  modes,
  Privilege,
  privilege,
  readInfo,
  stackPointerIncrement,
  Trait,
  traits,
} from '@nest86/decoder/info';
import type { FormatOptions } from '@nest86/decoder/intel';
import { mnemonic, mnemonicName } from '@nest86/decoder/mnemonic';
import { reference } from '@nest86/decoder/reference';
import { hexText } from '../hex.ts';
import { syntaxes } from '../syntax.ts';
import { encodingRecord, prefixRecord } from './encoding.ts';
import { operandRecords } from './operands.ts';
import { memoryUse, registerUses } from './uses.ts';
import { hex, word, words } from './words.ts';

/** All that the decoder knows about an instruction, in words, as a plain object for JSON. */
export function instructionRecord(
  instruction: Instruction,
  bytes: Uint8Array,
  address: number | bigint,
  format: FormatOptions | undefined,
): Record<string, unknown> {
  const info = new InstructionInfo();
  readInfo(instruction, info);
  const { encoding, length } = instruction;
  return {
    address: hex(address),
    bytes: hexText(bytes),
    length,
    mode: instruction.mode,
    mnemonic: mnemonicName(mnemonic(instruction)),
    text: Object.fromEntries(
      Object.entries(syntaxes).map(([name, syntax]) => [name, syntax.text(instruction, address, format)]),
    ),
    reference: referenceRecord(encoding),
    prefixes: prefixRecord(instruction),
    encoding: encodingRecord(instruction),
    operandSize: instruction.operandSize,
    addressSize: instruction.addressSize,
    operands: operandRecords(instruction, info, address),
    registers: registerUses(instruction, info),
    memory: Array.from({ length: info.memoryCount }, (_, use) => memoryUse(info, use)),
    flags: {
      read: words(Flag, info.flagsRead),
      written: words(Flag, info.flagsWritten),
      cleared: words(Flag, info.flagsCleared),
      set: words(Flag, info.flagsSet),
      undefined: words(Flag, info.flagsUndefined),
    },
    cpuidFeatures: cpuidFeatures(encoding),
    controlFlow: flowRecord(instruction),
    stackPointerIncrement: stackPointerIncrement(instruction),
    ...x87Record(encoding),
    exceptionClass: exceptionClass(instruction) || null,
    privilege: word(Privilege, privilege(encoding)),
    modes: words(Mode, modes(encoding)),
    traits: words(Trait, traits(encoding)),
  };
}

/** The instruction as the manuals write it. */
function referenceRecord(encoding: number): object {
  const row = reference(encoding);
  return { instruction: row?.instruction, opcode: row?.opcode };
}

function flowRecord(instruction: Instruction): object {
  const { encoding } = instruction;
  const condition = conditionCode(encoding);
  return {
    kind: word(ControlFlow, controlFlow(encoding)),
    ...(condition === 0 ? {} : { condition: word(ConditionCode, condition) }),
  };
}

function x87Record(encoding: number): object {
  const fpuTop = fpuTopIncrement(encoding);
  return fpuTop === 0 ? {} : { fpuTopIncrement: fpuTop, fpuTopIsConditional: fpuIsConditional(encoding) };
}
