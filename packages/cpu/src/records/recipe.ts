import {
  EncodingSpace,
  type Instruction,
  memoryBase,
  memoryIndex,
  OperandKind,
  operandCount,
  operandImmediate,
  operandImmediateHigh,
  operandImmediateSize,
  operandKind,
  operandMemorySize,
  operandRegister,
  Prefix,
  type Register,
  RegisterClass,
  registerClass,
  registerNumber,
  registerSize,
} from '@nest86/decoder';
import { ControlFlow, controlFlow, cpuidFeatures, exceptionClass } from '@nest86/decoder/info';
import { mnemonic, mnemonicName } from '@nest86/decoder/mnemonic';
import type { HandlerShape, MemoryShape, OperandShape, RegisterField } from '../interpreter/shape.ts';
import {
  alignedMnemonics,
  blockEnds,
  constantImmediates,
  unalignedMnemonics,
} from '../semantics/definitions.ts';
import { unalignedOnAmd } from '../semantics/vector/index.ts';
import { stateOffset } from '../state/layout.ts';
import { operandSegment } from '../system/operands.ts';
import { transferForm } from '../system/transfer-services.ts';
import { codeInterceptOf } from '../virtualization/intercept.ts';
import type { CodeMode } from './code-mode.ts';
import { record } from './layout.ts';

/** How an immediate operand goes into a record. */
const Immediate = { field: 0, lastByte: 1, both: 2 } as const;
/** The memory operand that a ModRM byte or an offset in the instruction names. */
const Memory = { none: 0, modrm: 1, absolute: 2 } as const;

/** How the instructions of one shape fill their records: the handler's shape, and which operand goes into which field. */
export class Recipe {
  /** Row of the handler. */
  row = 0;
  private readonly operands: OperandShape[] = [];
  /** Operand, and above bit 4 the offset of its byte in the record. */
  private readonly registers: number[] = [];
  /** Operand, bits 7:4 of the field's offset, and above bit 8 an `Immediate`. */
  private readonly immediates: number[] = [];
  private memory: number = Memory.none;
  private isX87 = false;
  /** Ends its block. */
  isClosed = false;
  /** It ends the block though it is no branch. */
  isLast = false;
  private isRelative = false;
  /** What the shape depends on besides the encoding is in the instruction's key; not so registers of other classes. */
  shape!: HandlerShape;

  /** Answers undefined if TypeScript executes the instruction. @param hasDefinition whether there is one of that name */
  static of(
    instruction: Instruction,
    mode: CodeMode,
    hasDefinition: (name: string) => boolean,
  ): Recipe | undefined {
    const name = nameOf(instruction);
    if (!hasDefinition(name) || (transferForm(name, instruction) !== '' && !readsSegment(instruction, name)))
      return undefined;
    if (mode.intercepts !== 0 && (mode.intercepts & codeInterceptOf(name)) !== 0) return undefined;
    // EVEX forms share mnemonics with VEX ones, but masks and upper registers are not there.
    if (instruction.space === EncodingSpace.evex || !isAvailable(instruction, name, mode)) return undefined;
    const recipe = new Recipe();
    return recipe.describe(instruction, name, mode) ? recipe : undefined;
  }

  /** Fills the fields of a record that holds zeros. @param offset of the instruction in its page */
  fill(view: DataView, rec: number, instruction: Instruction, offset: number): void {
    const { registers, immediates, memory } = this;
    for (let i = 0; i < registers.length; i++) {
      const packed = registers[i];
      view.setUint8(rec + (packed >> 4), cellOf(operandRegister(instruction, packed & 15)));
    }
    if (memory === Memory.modrm) fillAddress(view, rec, instruction, offset);
    else if (memory === Memory.absolute) {
      view.setInt32(rec + record.displacement, instruction.displacement, true);
      view.setInt32(rec + record.immediate, instruction.displacementHigh, true);
    }
    for (let i = 0; i < immediates.length; i++) {
      const packed = immediates[i];
      const operand = packed & 15;
      const at = rec + ((packed >> 4) & 15);
      const value = operandImmediate(instruction, operand);
      if (packed >> 8 === Immediate.lastByte) view.setUint8(at, value);
      else view.setInt32(at, value, true);
      if (packed >> 8 === Immediate.both)
        view.setInt32(rec + record.immediate, operandImmediateHigh(instruction, operand), true);
    }
    // The last opcode as the x87 unit keeps it: three bits of the first byte and ModRM (SDM vol. 1, 8.1.9).
    if (this.isX87)
      view.setInt32(rec + record.immediate, ((instruction.opcode & 7) << 8) | instruction.modrm, true);
    if (this.isRelative) {
      view.setInt32(rec + record.displacement, 0, true);
      view.setInt32(rec + record.immediate, 0, true);
    }
  }

  private describe(instruction: Instruction, name: string, mode: CodeMode): boolean {
    const { operands } = this;
    let memory: MemoryShape | undefined;
    let vectorBytes = 16;
    let immediates = 0;
    const count = operandCount(instruction);
    const isModrm = hasModrmMemory(instruction);
    const fields: readonly RegisterField[] = isModrm
      ? ['a', 'b', 'last']
      : ['a', 'b', 'base', 'index', 'last'];
    for (let i = 0; i < count; i++) {
      switch (operandKind(instruction, i)) {
        case OperandKind.register: {
          const field = fields[this.registers.length];
          const operand = registerShape(instruction, operandRegister(instruction, i), field, mode);
          if (operand === undefined) return false;
          if (operand.kind === 'vector' && operand.bits > 128) vectorBytes = operand.bits / 8;
          operands.push(operand);
          this.registers.push(i | (record[field] << 4));
          break;
        }
        case OperandKind.memory: {
          const isAbsolute = instruction.modrm < 0 && memoryBase(instruction, i) === 0;
          const bits = operandMemorySize(instruction, i) * 8;
          const shape = memoryShape(instruction, i, isAbsolute);
          // Of two implied operands (MOVS, CMPS) the one that may be overridden decides the segment.
          if (memory === undefined || (!isModrm && shape.segment !== 0)) memory = shape;
          operands.push({ kind: isModrm || isAbsolute ? 'memory' : 'implicit', bits });
          if (isAbsolute) this.memory = Memory.absolute;
          else if (instruction.modrm >= 0) this.memory = Memory.modrm;
          if (bits > 128 && instruction.space !== EncodingSpace.legacy) vectorBytes = bits / 8;
          break;
        }
        case OperandKind.relative:
          operands.push({ kind: 'relative' });
          // LOOP has no memory operand, but its counter is as wide as an address.
          if (name.startsWith('LOOP')) memory = { ...noMemory, addressBits: instruction.addressSize };
          break;
        case OperandKind.immediate: {
          const isWide = instruction.immediateSize === 8;
          const field = isWide ? 'both' : immediates++ === 0 ? 'immediate' : 'displacement';
          // The last byte of the field may name a register.
          const isByte = !isWide && this.registers.length > 2 && isModrm;
          const at = isByte || field === 'immediate' ? record.immediate : record.displacement;
          const how = isWide ? Immediate.both : isByte ? Immediate.lastByte : Immediate.field;
          this.immediates.push(i | (at << 4) | (how << 8));
          operands.push({
            kind: 'immediate',
            bits: operandImmediateSize(instruction, i) * 8,
            field,
            value: constantImmediates.has(name) ? operandImmediate(instruction, i) : undefined,
          });
          break;
        }
        default:
          return false;
      }
    }
    const isVex = instruction.space !== EncodingSpace.legacy;
    const hasStringForm = operands.some((operand) => operand.kind === 'implicit') && instruction.modrm < 0;
    this.shape = {
      mnemonic: name,
      operands,
      memory,
      mode,
      // The operand size by which stack operations and branch targets go.
      operandBits: instruction.operandSize,
      encoding: isVex ? 1 : 0,
      vectorBytes: isVex && vectorBytes < 32 && instruction.vectorLength === 1 ? 32 : vectorBytes,
      repeat: hasStringForm ? repeatOf(instruction) : 0,
      needsAlignment: needsAlignment(instruction, name, isVex, mode.vendor),
    };
    this.isX87 = isX87[instruction.encoding];
    this.isClosed = controlFlow(instruction.encoding) !== ControlFlow.next;
    this.isLast = blockEnds.has(name);
    this.isRelative = this.isClosed && operands[0]?.kind === 'relative';
    return true;
  }
}

/** MOV from a segment register, which has no consequences. */
function readsSegment(instruction: Instruction, name: string): boolean {
  return name === 'MOV' && registerClass(operandRegister(instruction, 0)) !== RegisterClass.segment;
}

/** Of a register operand: what a record's byte holds. */
function cellOf(register: Register): number {
  const number = registerNumber(register);
  const group = registerClass(register);
  if (group === RegisterClass.gpr8high) return (number - 4) * 8 + 1;
  if (group === RegisterClass.xmm || group === RegisterClass.ymm || group === RegisterClass.segment)
    return number;
  return group === RegisterClass.mmx || group === RegisterClass.x87 ? number & 7 : number * 8;
}

function fillAddress(view: DataView, rec: number, instruction: Instruction, offset: number): void {
  const { base, index } = instruction;
  const isRelative = registerClass(base) === RegisterClass.instructionPointer;
  const zero = stateOffset.zero - stateOffset.gpr;
  const pageBase = stateOffset.instructionBase - stateOffset.gpr;
  view.setUint8(rec + record.base, isRelative ? pageBase : base === 0 ? zero : registerNumber(base) * 8);
  if (index !== 0) {
    const number = registerNumber(index);
    view.setUint8(rec + record.index, registerClass(index) >= RegisterClass.xmm ? number : number * 8);
  }
  // Relative to the next instruction: the page's base is in a cell, so the code may lie at any address.
  const next = isRelative ? offset + instruction.length : 0;
  view.setInt32(rec + record.displacement, instruction.displacement + next, true);
}

function hasModrmMemory({ modrm }: Instruction): boolean {
  return modrm >= 0 && modrm < 0xc0;
}

function registerShape(
  instruction: Instruction,
  register: Register,
  field: RegisterField,
  mode: CodeMode,
): OperandShape | undefined {
  const bits = registerSize(register) * 8;
  switch (registerClass(register)) {
    case RegisterClass.gpr8:
    case RegisterClass.gpr16:
    case RegisterClass.gpr32:
    case RegisterClass.gpr64:
    case RegisterClass.gpr8high:
      return { kind: 'register', bits, field };
    case RegisterClass.xmm:
    case RegisterClass.ymm:
      if (!(instruction.space === EncodingSpace.legacy ? mode.hasSse : mode.hasAvx)) return undefined;
      return { kind: 'vector', bits, field };
    case RegisterClass.mmx:
      return mode.hasX87 ? { kind: 'mmx', bits: 64, field } : undefined;
    case RegisterClass.x87:
      return mode.hasX87 ? { kind: 'x87', bits: 80, field } : undefined;
    case RegisterClass.segment:
      return { kind: 'segment', bits: 16, field };
    default:
      return undefined;
  }
}

function memoryShape(instruction: Instruction, operand: number, isAbsolute: boolean): MemoryShape {
  const index = memoryIndex(instruction, operand);
  const segment = operandSegment(instruction, operand);
  const isVectorIndex = index !== 0 && registerClass(index) >= RegisterClass.xmm;
  const scale = index === 0 || instruction.modrm < 0 ? -1 : instruction.scale;
  return { addressBits: instruction.addressSize, scale, segment, isVectorIndex, isAbsolute };
}

function repeatOf({ prefixes }: Instruction): 0 | 1 | 2 {
  if ((prefixes & Prefix.repne) !== 0) return 2;
  return (prefixes & Prefix.rep) !== 0 ? 1 : 0;
}

/** SDM vol. 2A, 2.4: exception classes 1, and in legacy encodings 2 and 4, want aligned memory. */
function needsAlignment(
  instruction: Instruction,
  name: string,
  isVex: boolean,
  vendor: 'intel' | 'amd',
): boolean {
  if (!hasModrmMemory(instruction) || unalignedMnemonics.has(name)) return false;
  if (alignedMnemonics.has(name)) return true;
  if (vendor === 'amd' && unalignedOnAmd.includes(name)) return false;
  const group = exceptionClass(instruction);
  return group === '1' || (!isVex && alignedClasses.has(group));
}

const noMemory: Omit<MemoryShape, 'addressBits'> = {
  scale: -1,
  segment: 3,
  isVectorIndex: false,
  isAbsolute: false,
};
/** Of legacy encodings. */
const alignedClasses: ReadonlySet<string> = new Set(['2', '2D', '4', 'MMX-FP-16ALIGN']);

const names: string[] = [];

/** Mnemonic as definitions are named: upper case. */
export function nameOf(instruction: Instruction): string {
  const number = mnemonic(instruction);
  names[number] ??= mnemonicName(number).toUpperCase();
  return names[number];
}

/** Whether CR0, CR4 and XCR0 let the instruction execute; its registers are looked at elsewhere. */
function isAvailable(instruction: Instruction, name: string, mode: CodeMode): boolean {
  const { encoding } = instruction;
  isX87[encoding] ??= cpuidFeatures(encoding).some((feature) => feature.startsWith('FPU'));
  if (isX87[encoding] || x87Neighbours.has(name)) return mode.hasX87;
  if (name === 'LDMXCSR' || name === 'STMXCSR') return mode.hasSse;
  return instruction.space === EncodingSpace.legacy || vexWithoutVectors.has(name) || mode.hasAvx;
}

const isX87: boolean[] = [];
/** Of other features, but of the x87 unit. */
const x87Neighbours: ReadonlySet<string> = new Set(['EMMS', 'FEMMS', 'WAIT']);
/** VEX instructions of general registers, which need no AVX state (SDM vol. 2A, 2.6 class 13). */
const vexWithoutVectors: ReadonlySet<string> = new Set([
  'ANDN',
  'BEXTR',
  'BLSI',
  'BLSMSK',
  'BLSR',
  'BZHI',
  'MULX',
  'PDEP',
  'PEXT',
  'RORX',
  'SARX',
  'SHLX',
  'SHRX',
]);
