import {
  DecodeStatus,
  decode,
  EncodingSpace,
  Instruction,
  memoryBase,
  memoryIndex,
  memorySegment,
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
import type { Handlers } from '../interpreter/handlers.ts';
import type { HandlerShape, MemoryShape, OperandShape, RegisterField } from '../interpreter/shape.ts';
import { alignedMnemonics, constantImmediates, unalignedMnemonics } from '../semantics/definitions.ts';
import { unalignedOnAmd } from '../semantics/vector/index.ts';
import { stateOffset } from '../state/layout.ts';
import { transferForm } from '../system/transfer-services.ts';
import type { CodeMode } from './code-mode.ts';
import { Row, record } from './layout.ts';

/** What became of an instruction. */
export const Written = {
  /** The block goes on behind it. */
  open: 0,
  /** It ends the block itself. */
  closed: 1,
  /** The bytes at hand end before the instruction does. */
  truncated: 2,
} as const;

/** Turns one instruction after the other into records. */
export class Translator {
  readonly instruction: Instruction = new Instruction();

  constructor(
    private readonly view: DataView,
    private readonly handlers: Handlers,
  ) {}

  /**
   * Writes the record of the instruction at `bytes[at]`; its length is then in `instruction`.
   *
   * @param rec where the record goes
   * @param offset of the instruction in its page
   * @returns one of {@link Written}
   */
  write(rec: number, bytes: Uint8Array, at: number, offset: number, mode: CodeMode): number {
    const { instruction, view } = this;
    const status = decode(bytes, at, mode.options, instruction);
    if (status === DecodeStatus.truncated) return Written.truncated;
    view.setInt32(rec + 4, 0, true);
    view.setInt32(rec + 8, 0, true);
    view.setInt32(rec + 12, 0, true);
    // Of an invalid instruction, all bytes that were looked at: others may make it valid.
    const length = Math.max(1, instruction.length);
    view.setUint16(rec + record.position, offset | (length << 12), true);
    const name = status === DecodeStatus.ok ? nameOf(instruction) : '';
    const shape = name === '' ? undefined : this.shape(rec, name, offset, mode);
    if (shape === undefined) {
      view.setUint16(rec + record.handler, Row.service, true);
      return Written.closed;
    }
    view.setUint16(rec + record.handler, this.handlers.rowOf(shape), true);
    // The last opcode as the x87 unit keeps it: three bits of the first byte and ModRM (SDM vol. 1, 8.1.9).
    if (isX87[instruction.encoding])
      view.setInt32(rec + record.immediate, ((instruction.opcode & 7) << 8) | instruction.modrm, true);
    const flow = controlFlow(instruction.encoding);
    if (flow === ControlFlow.next) return Written.open;
    if (shape.operands[0]?.kind === 'relative') {
      view.setInt32(rec + record.displacement, 0, true);
      view.setInt32(rec + record.immediate, 0, true);
    }
    return Written.closed;
  }

  /** The handler's shape and the record's fields; undefined if TypeScript executes the instruction. */
  private shape(rec: number, name: string, offset: number, mode: CodeMode): HandlerShape | undefined {
    const { instruction, view, handlers } = this;
    if (!handlers.has(name) || transferForm(name, instruction) !== '') return undefined;
    // EVEX forms share mnemonics with VEX ones, but masks and upper registers are not there.
    if (instruction.space === EncodingSpace.evex || !isAvailable(instruction, name, mode)) return undefined;
    const operands: OperandShape[] = [];
    let memory: MemoryShape | undefined;
    let registers = 0;
    let immediates = 0;
    let vectorBytes = 16;
    const count = operandCount(instruction);
    const hasModrmMemory = instruction.modrm >= 0 && instruction.modrm < 0xc0;
    const fields: readonly RegisterField[] = hasModrmMemory
      ? ['a', 'b', 'last']
      : ['a', 'b', 'base', 'index', 'last'];
    for (let i = 0; i < count; i++) {
      switch (operandKind(instruction, i)) {
        case OperandKind.register: {
          const operand = this.register(rec, operandRegister(instruction, i), fields[registers++], mode);
          if (operand === undefined) return undefined;
          if (operand.kind === 'vector' && operand.bits > 128) vectorBytes = operand.bits / 8;
          operands.push(operand);
          break;
        }
        case OperandKind.memory: {
          const isModrm = hasModrmMemory;
          const isAbsolute = instruction.modrm < 0 && memoryBase(instruction, i) === 0;
          const bits = operandMemorySize(instruction, i) * 8;
          const shape = this.memory(rec, i, offset, isAbsolute);
          // Of two implied operands (MOVS, CMPS) the one that may be overridden decides the segment.
          if (memory === undefined || (!isModrm && shape.segment !== 0)) memory = shape;
          operands.push({ kind: isModrm || isAbsolute ? 'memory' : 'implicit', bits });
          if (bits > 128 && instruction.space !== EncodingSpace.legacy) vectorBytes = bits / 8;
          break;
        }
        case OperandKind.relative:
          operands.push({ kind: 'relative' });
          // LOOP has no memory operand, but its counter is as wide as an address.
          if (name.startsWith('LOOP')) memory = { ...noMemory, addressBits: instruction.addressSize };
          break;
        case OperandKind.immediate: {
          const bits = operandImmediateSize(instruction, i) * 8;
          const value = operandImmediate(instruction, i);
          const isWide = instruction.immediateSize === 8;
          const field = isWide ? 'both' : immediates++ === 0 ? 'immediate' : 'displacement';
          if (isWide) {
            view.setInt32(rec + record.displacement, value, true);
            view.setInt32(rec + record.immediate, operandImmediateHigh(instruction, i), true);
          } else if (registers > 2 && hasModrmMemory) {
            // The last byte of the field names a register.
            view.setUint8(rec + record.immediate, value);
          } else view.setInt32(rec + record[field as 'immediate'], value, true);
          operands.push({
            kind: 'immediate',
            bits,
            field,
            value: constantImmediates.has(name) ? value : undefined,
          });
          break;
        }
        default:
          return undefined;
      }
    }
    const isVex = instruction.space !== EncodingSpace.legacy;
    const prefixes = instruction.prefixes;
    const hasStringForm = operands.some((operand) => operand.kind === 'implicit') && instruction.modrm < 0;
    return {
      mnemonic: name,
      operands,
      memory,
      mode,
      operandBits: this.operandBits(),
      encoding: isVex ? 1 : 0,
      vectorBytes: isVex && vectorBytes < 32 && instruction.vectorLength === 1 ? 32 : vectorBytes,
      repeat: !hasStringForm
        ? 0
        : (prefixes & Prefix.repne) !== 0
          ? 2
          : (prefixes & Prefix.rep) !== 0
            ? 1
            : 0,
      needsAlignment: this.needsAlignment(name, isVex, mode.options.vendor),
    };
  }

  private register(
    rec: number,
    register: Register,
    field: RegisterField,
    mode: CodeMode,
  ): OperandShape | undefined {
    const { view } = this;
    const number = registerNumber(register);
    const bits = registerSize(register) * 8;
    const group = registerClass(register);
    switch (group) {
      case RegisterClass.gpr8:
      case RegisterClass.gpr16:
      case RegisterClass.gpr32:
      case RegisterClass.gpr64:
        view.setUint8(rec + record[field], number * 8);
        return { kind: 'register', bits, field };
      case RegisterClass.gpr8high:
        view.setUint8(rec + record[field], (number - 4) * 8 + 1);
        return { kind: 'register', bits, field };
      case RegisterClass.xmm:
      case RegisterClass.ymm:
        if (!(this.instruction.space === EncodingSpace.legacy ? mode.hasSse : mode.hasAvx)) return undefined;
        view.setUint8(rec + record[field], number);
        return { kind: 'vector', bits, field };
      case RegisterClass.mmx:
        if (!mode.hasX87) return undefined;
        view.setUint8(rec + record[field], number & 7);
        return { kind: 'mmx', bits: 64, field };
      case RegisterClass.x87:
        if (!mode.hasX87) return undefined;
        view.setUint8(rec + record[field], number & 7);
        return { kind: 'x87', bits: 80, field };
      default:
        return undefined;
    }
  }

  private memory(rec: number, operand: number, offset: number, isAbsolute: boolean): MemoryShape {
    const { instruction, view } = this;
    const base = memoryBase(instruction, operand);
    const index = memoryIndex(instruction, operand);
    const segment = registerNumber(memorySegment(instruction, operand));
    const addressBits = instruction.addressSize;
    const isVectorIndex = index !== 0 && registerClass(index) >= RegisterClass.xmm;
    if (isAbsolute) {
      view.setInt32(rec + record.displacement, instruction.displacement, true);
      view.setInt32(rec + record.immediate, instruction.displacementHigh, true);
    } else if (instruction.modrm >= 0) {
      const isRelative = registerClass(base) === RegisterClass.instructionPointer;
      const zero = stateOffset.zero - stateOffset.gpr;
      const pageBase = stateOffset.instructionBase - stateOffset.gpr;
      view.setUint8(rec + record.base, isRelative ? pageBase : base === 0 ? zero : registerNumber(base) * 8);
      if (index !== 0)
        view.setUint8(rec + record.index, isVectorIndex ? registerNumber(index) : registerNumber(index) * 8);
      // Relative to the next instruction: the page's base is in a cell, so the code may lie at any address.
      const next = isRelative ? offset + instruction.length : 0;
      view.setInt32(rec + record.displacement, instruction.displacement + next, true);
    }
    const scale = index === 0 || instruction.modrm < 0 ? -1 : instruction.scale;
    return { addressBits, scale, segment, isVectorIndex, isAbsolute };
  }

  /** The operand size by which stack operations and branch targets go. */
  private operandBits(): number {
    const { instruction } = this;
    return instruction.operandSize;
  }

  /** SDM vol. 2A, 2.4: exception classes 1, and in legacy encodings 2 and 4, want aligned memory. */
  private needsAlignment(name: string, isVex: boolean, vendor: 'intel' | 'amd'): boolean {
    const { instruction } = this;
    if (instruction.modrm < 0 || instruction.modrm >= 0xc0 || unalignedMnemonics.has(name)) return false;
    if (alignedMnemonics.has(name)) return true;
    if (vendor === 'amd' && unalignedOnAmd.includes(name)) return false;
    const group = exceptionClass(instruction);
    return group === '1' || (!isVex && alignedClasses.has(group));
  }
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
