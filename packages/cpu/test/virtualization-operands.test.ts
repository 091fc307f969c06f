import { DecoderOptions, decode, Instruction } from '@nest86/decoder';
import { describe, expect, test } from 'vitest';
import { OperandInformation } from '../src/virtualization/operand-information.ts';
import { Machine } from './registers-machine.ts';

const information = new OperandInformation();

function describeCode(code: readonly number[]): OperandInformation {
  const instruction = new Instruction();
  const bytes = new Uint8Array(15);
  bytes.set(code);
  decode(bytes, 0, new DecoderOptions(), instruction);
  const machine = new Machine();
  machine.ripLow = 0x1000;
  return information.describe(machine, instruction);
}

describe('operands as exits describe them', () => {
  test.each([
    // VMREAD [RAX+RCX*8+10h], R9
    [
      [0x44, 0x0f, 0x78, 0x4c, 0xc8, 0x10],
      { isRegister: false, register: 9, base: 0, index: 1, scale: 3, segment: 3, displacementLow: 0x10 },
    ],
    // VMWRITE RDX, R11
    [[0x41, 0x0f, 0x79, 0xd3], { isRegister: true, register: 2, rm: 11, base: -1, index: -1 }],
    // VMPTRLD [RBP-8], through SS
    [
      [0x0f, 0xc7, 0x75, 0xf8],
      { isRegister: false, base: 5, index: -1, segment: 2, displacementLow: -8, displacementHigh: -1 },
    ],
    // INVEPT RAX, FS:[EBX]
    [
      [0x64, 0x67, 0x66, 0x0f, 0x38, 0x80, 0x03],
      { isRegister: false, register: 0, base: 3, segment: 4, addressSize: 32, displacementLow: 0 },
    ],
    // VMCLEAR [RIP+20h]
    [[0x66, 0x0f, 0xc7, 0x35, 0x20, 0, 0, 0], { base: -1, index: -1, displacementLow: 0x1000 + 8 + 0x20 }],
  ])('%#', (code, expected) => {
    expect(describeCode(code)).toMatchObject(expected);
  });
});
