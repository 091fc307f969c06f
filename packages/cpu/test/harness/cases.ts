import {
  DecoderOptions,
  DecodeStatus,
  decode,
  Instruction,
  OperandKind,
  operandCount,
  operandKind,
  operandRegister,
  Prefix,
  RegisterClass,
  registerClass,
  registerNumber,
} from '@nest86/decoder';
import { Flag, flagsUndefined } from '@nest86/decoder/info';
import { formatIntel } from '@nest86/decoder/intel';
import { mnemonic, mnemonicName } from '@nest86/decoder/mnemonic';
import { definitions } from '../../src/semantics/definitions.ts';

/** What a program sees before or after one instruction. */
export interface HostState {
  /** RAX to R15, unsigned. */
  readonly registers: readonly bigint[];
  /** CF PF AF ZF SF OF in their places in RFLAGS. */
  readonly flags: number;
  /** The scratch memory. */
  readonly memory: Uint8Array;
}

export interface HostCase {
  readonly code: Uint8Array;
  readonly text: string;
  readonly encoding: number;
  /** Status flags that the manual defines after this instruction. */
  readonly definedFlags: number;
  readonly before: HostState;
}

export const scratchAddress = 0x10002000;
export const scratchSize = 256;
export const statusFlags = 0x8d5;

const edges = [
  0n,
  1n,
  -1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  (1n << 63n) - 1n,
  1n << 63n,
];
/** Leave the block: tested by programs, not one at a time. */
const branches = /^(JMP|CALL|RET|J[A-Z]+)$/;

/** xorshift32 */
function randomNumbers(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Random instructions that the engine defines, with operands that reach only registers and the scratch memory. */
export function randomCases(count: number, seed: number): HostCase[] {
  const random = randomNumbers(seed);
  const options = new DecoderOptions({ disable: ['apx'] });
  const instruction = new Instruction();
  const cases: HostCase[] = [];
  while (cases.length < count) {
    const bytes = Uint8Array.from({ length: 15 }, () => random() >>> 8);
    let at = 0;
    if (random() % 4 === 0) bytes[at++] = 0x66;
    if (random() % 2 === 0) bytes[at++] = 0x48 | (random() & 7);
    if (random() % 4 === 0) bytes[at] = 0x0f;
    if (decode(bytes, 0, options, instruction) !== DecodeStatus.ok) continue;
    const name = mnemonicName(mnemonic(instruction)).toUpperCase();
    if (!(name in definitions) || branches.test(name)) continue;
    if ((instruction.prefixes & ~(Prefix.operandSize | Prefix.rex)) !== 0) continue;
    // Two records long: not decoded yet.
    if (instruction.immediateSize === 8) continue;
    const registers = Array.from({ length: 16 }, () => {
      const value =
        random() % 3 === 0 ? edges[random() % edges.length] : (BigInt(random()) << 32n) | BigInt(random());
      return BigInt.asUintN(64, value);
    });
    registers[4] = BigInt(scratchAddress + scratchSize / 2);
    if (!aim(instruction, registers, random) || usesStackPointer(instruction)) continue;
    const undefinedFlags = flagsUndefined(instruction.encoding);
    cases.push({
      code: bytes.slice(0, instruction.length),
      text: formatIntel(instruction),
      encoding: instruction.encoding,
      definedFlags: (undefinedFlags & Flag.auxiliaryCarry) !== 0 ? statusFlags & ~0x10 : statusFlags,
      before: {
        registers,
        flags: random() & statusFlags,
        memory: Uint8Array.from({ length: scratchSize }, () => random() >>> 5),
      },
    });
  }
  return cases;
}

/** Sets the base register so that the memory operand lies in the scratch memory. */
function aim(instruction: Instruction, registers: bigint[], random: () => number): boolean {
  if (instruction.modrm < 0 || instruction.modrm >= 0xc0) return true;
  if (registerClass(instruction.base) !== RegisterClass.gpr64) return false;
  const base = registerNumber(instruction.base);
  const index = instruction.index === 0 ? -1 : registerNumber(instruction.index);
  if (base === 4) return index < 0 && Math.abs(instruction.displacement) <= 64;
  if (base === index) return false;
  const scaled = index < 0 ? 0n : registers[index] << BigInt(instruction.scale);
  const target = BigInt(scratchAddress + (random() % (scratchSize - 16)));
  registers[base] = BigInt.asUintN(64, target - scaled - BigInt(instruction.displacement));
  return true;
}

/** RSP as an operand would move the harness's stack. */
function usesStackPointer(instruction: Instruction): boolean {
  for (let i = 0; i < operandCount(instruction); i++) {
    const kind = operandKind(instruction, i);
    if (kind === OperandKind.memory && instruction.modrm < 0) return true;
    if (kind !== OperandKind.register) continue;
    const register = operandRegister(instruction, i);
    const isGeneral = registerClass(register) <= RegisterClass.gpr64;
    if (!isGeneral || (registerNumber(register) === 4 && registerClass(register) >= RegisterClass.gpr16))
      return true;
  }
  return false;
}
