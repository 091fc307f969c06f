import {
  DecoderOptions,
  DecodeStatus,
  decode,
  Instruction,
  memoryBase,
  memoryIndex,
  OperandKind,
  operandCount,
  operandImmediate,
  operandImmediateSize,
  operandKind,
  operandMemorySize,
  operandRegister,
  RegisterClass,
  registerClass,
  registerNumber,
  registerSize,
} from '@nest86/decoder';
import { mnemonic, mnemonicName } from '@nest86/decoder/mnemonic';
import { blockHandler, type Handlers } from '../interpreter/handlers.ts';
import type { HandlerShape, MemoryShape, OperandShape } from '../interpreter/shape.ts';
import { stateOffset } from '../state/layout.ts';
import { record, recordSize } from './layout.ts';

/** Longest block, in instructions. */
const maximumBlock = 64;

/** Turns code bytes into records. One page is decoded for at a time; nothing here reads beyond its end. */
export class Translator {
  private readonly instruction = new Instruction();
  private readonly options = new DecoderOptions({ mode: 64 });
  private next: number;

  /**
   * @param view of the linear memory
   * @param start byte range in which records are made
   */
  constructor(
    private readonly view: DataView,
    private readonly bytes: Uint8Array,
    start: number,
    private readonly end: number,
    private readonly handlers: Handlers,
  ) {
    this.next = start;
  }

  /**
   * Records of the block at host address `code`, which lies in the page from `page` on. Answers the block's record.
   * @throws RangeError for an instruction that has no definition yet
   */
  block(code: number, page: number): number {
    const start = this.next;
    if (start + (maximumBlock + 2) * recordSize > this.end) throw new RangeError('no room for records');
    const pageBytes = this.bytes.subarray(page, page + 4096);
    let offset = code - page;
    let at = start + recordSize;
    let count = 0;
    for (let isOpen = true; isOpen && count < maximumBlock; count++, at += recordSize) {
      const status = decode(pageBytes, offset, this.options, this.instruction);
      if (status !== DecodeStatus.ok) throw new RangeError(`no instruction at offset ${offset} of the page`);
      isOpen = this.record(at, offset);
      offset += this.instruction.length;
    }
    this.view.setUint16(start + record.handler, blockHandler, true);
    this.view.setUint16(start + record.position, code - page, true);
    this.view.setInt32(start + record.immediate, count, true);
    this.next = at;
    this.handlers.build();
    return start;
  }

  /** Writes one record; answers whether the block goes on behind it. */
  private record(at: number, offset: number): boolean {
    const { instruction, view } = this;
    const name = mnemonicName(mnemonic(instruction)).toUpperCase();
    if (!this.handlers.has(name)) throw new RangeError(`${name} has no definition`);
    const operands: OperandShape[] = [];
    let memory: MemoryShape | undefined;
    const fields = [record.a, record.b];
    let registers = 0;
    let isBranch = name === 'RET';
    for (let i = 0; i < operandCount(instruction); i++) {
      switch (operandKind(instruction, i)) {
        case OperandKind.register: {
          const register = operandRegister(instruction, i);
          const field = registers++;
          const isHigh = registerClass(register) === RegisterClass.gpr8high;
          view.setUint8(
            at + fields[field],
            (registerNumber(register) - (isHigh ? 4 : 0)) * 8 + (isHigh ? 1 : 0),
          );
          operands.push({
            kind: 'register',
            bits: registerSize(register) * 8,
            field: field === 0 ? 'a' : 'b',
          });
          break;
        }
        case OperandKind.memory:
          memory = this.memory(at, i, offset);
          operands.push({ kind: 'memory', bits: operandMemorySize(instruction, i) * 8 });
          break;
        case OperandKind.relative:
          isBranch = true;
          operands.push({ kind: 'relative' });
          break;
        default:
          view.setInt32(at + record.immediate, operandImmediate(instruction, i), true);
          if (instruction.immediateSize === 8) throw new RangeError('64-bit immediates have no record yet');
          operands.push({ kind: 'immediate', bits: operandImmediateSize(instruction, i) * 8 });
      }
    }
    const isNarrow = instruction.operandSize === 16 && (name === 'PUSH' || name === 'POP');
    const shape: HandlerShape = { mnemonic: name, operands, memory, stackBits: isNarrow ? 16 : 64 };
    view.setUint16(at + record.handler, this.handlers.rowOf(shape), true);
    view.setUint16(at + record.position, offset | (instruction.length << 12), true);
    if (isBranch) {
      view.setInt32(at + record.displacement, 0, true);
      view.setInt32(at + record.immediate, 0, true);
    }
    return !isBranch;
  }

  private memory(at: number, operand: number, offset: number): MemoryShape {
    const { instruction, view } = this;
    const base = memoryBase(instruction, operand);
    const index = memoryIndex(instruction, operand);
    const isRelative = registerClass(base) === RegisterClass.instructionPointer;
    const zero = stateOffset.zero - stateOffset.gpr;
    const pageBase = stateOffset.pageBase - stateOffset.gpr;
    view.setUint8(at + record.base, isRelative ? pageBase : base === 0 ? zero : registerNumber(base) * 8);
    if (index !== 0) view.setUint8(at + record.index, registerNumber(index) * 8);
    // Relative to the next instruction: the page's base is in a cell, so the code may lie at any address.
    view.setInt32(
      at + record.displacement,
      instruction.displacement + (isRelative ? offset + instruction.length : 0),
      true,
    );
    const segment = instruction.segmentOverride >= 5 ? instruction.segmentOverride - 1 : -1;
    return { addressBits: instruction.addressSize, scale: index === 0 ? -1 : instruction.scale, segment };
  }
}
