import { isCanonical } from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import { Segment } from '../state/layout.ts';
import type { Descriptor } from './descriptors.ts';
import { guestFault } from './fault.ts';
import { checkAlignment, stackBits } from './operands.ts';
import type { SystemUnit } from './unit.ts';

const rsp = 4;
const address = new Int32Array(2);

/**
 * A stack with a pointer of its own, so that a transfer can read and write frames before it decides to happen: the present stack, or the
 * inner one that a gate switches to. `reserve` checks a whole frame; pushes into what was reserved cannot fault.
 */
export class Stack {
  /** Width of the pointer: 16, 32 or 64. */
  bits = 16;
  /** The pointer; upper bits are 0 where it is narrower. */
  low = 0;
  high = 0;
  /** What `pop` read, zero-extended. */
  valueLow = 0;
  valueHigh = 0;
  private base = 0;
  private first = 0;
  private last = 0;
  private rights = 0;
  /** Error code of #SS. */
  private error = 0;
  /** Supervisor accesses whatever the CPL. */
  private isSystem = false;

  /** SS:RSP as they are. @param error of #SS */
  current(unit: SystemUnit, error = 0): this {
    const { state } = unit;
    this.bits = stackBits(unit);
    this.base = state.low('segmentBase', Segment.ss);
    this.first = state.get('segmentFirst', Segment.ss);
    this.last = state.get('segmentLast', Segment.ss);
    this.rights = state.get('segmentRights', Segment.ss);
    this.error = error;
    this.isSystem = false;
    this.setPointer(state.low('gpr', rsp), state.high('gpr', rsp));
    return this;
  }

  /** The stack of an inner level: a segment that was checked, and a pointer from the TSS. */
  inner(descriptor: Descriptor, low: number, error: number): this {
    this.bits = descriptor.isBig ? 32 : 16;
    this.base = descriptor.base;
    const { limit } = descriptor;
    const isExpandDown = (descriptor.high & 0x400) !== 0;
    this.first = isExpandDown ? (limit + 1) | 0 : 0;
    this.last = isExpandDown ? (descriptor.isBig ? -1 : 0xffff) : limit;
    // All offsets are beyond the limit.
    this.rights = isExpandDown && limit >>> 0 >= this.last >>> 0 ? 0 : 3;
    this.error = error;
    this.isSystem = true;
    this.setPointer(low, 0);
    return this;
  }

  /** A stack in 64-bit mode. @param isSystem it belongs to an inner level */
  long(low: number, high: number, error: number, isSystem: boolean): this {
    this.bits = 64;
    this.error = error;
    this.isSystem = isSystem;
    this.setPointer(low, high);
    return this;
  }

  setPointer(low: number, high: number): void {
    this.low = this.bits === 16 ? low & 0xffff : low;
    this.high = this.bits === 64 ? high : 0;
  }

  /** Adds to the pointer; it wraps at its width. */
  move(offset: number): void {
    const sum = (this.low >>> 0) + offset;
    const carry = sum < 0 ? -1 : sum > 0xffff_ffff ? 1 : 0;
    this.setPointer(sum | 0, (this.high + carry) | 0);
  }

  /**
   * Checks that `count` items of `bytes` each can be pushed.
   *
   * @throws GuestFault #SS, or #PF at the first item that would fault
   */
  reserve(unit: SystemUnit, count: number, bytes: number): void {
    const { low, high } = this;
    if (this.bits === 64 && (((low - 1) ^ (low - count * bytes)) & ~0xfff) === 0) {
      // One page: what holds for the first item holds for all.
      this.move(-bytes);
      this.locate(unit, bytes, 2);
      if (!this.isSystem) checkAlignment(unit, address[0], bytes);
      unit.memory.probe(address[0], address[1], bytes, true, this.isSystem);
      this.setPointer(low, high);
      return;
    }
    // Room first, as the manual has it: "stack does not have room for …" comes before any push.
    for (let i = 0; i < count; i++) {
      this.move(-bytes);
      this.locate(unit, bytes, 2);
    }
    this.setPointer(low, high);
    let page = 1;
    for (let i = 0; i < count; i++) {
      this.move(-bytes);
      this.locate(unit, bytes, 2);
      if (!this.isSystem) checkAlignment(unit, address[0], bytes);
      if ((address[0] & ~0xfff) !== page || (address[0] & 0xfff) + bytes > 0x1000)
        unit.memory.probe(address[0], address[1], bytes, true, this.isSystem);
      page = address[0] & ~0xfff;
    }
    this.setPointer(low, high);
  }

  /** Checks that the item at the pointer could be written. */
  probe(unit: SystemUnit, bytes: number): void {
    this.locate(unit, bytes, 2);
    unit.memory.probe(address[0], address[1], bytes, true, this.isSystem);
  }

  /** Pushes 2, 4 or 8 bytes. */
  push(unit: SystemUnit, bytes: number, low: number, high: number): void {
    const { memory } = unit;
    this.move(-bytes);
    this.locate(unit, bytes, 2);
    if (bytes !== 8) {
      memory.write(address[0], address[1], bytes, low, this.isSystem);
      return;
    }
    memory.writePair(address[0], address[1], low, high, this.isSystem);
  }

  /** Pops 2, 4 or 8 bytes into `valueLow` and `valueHigh`. */
  pop(unit: SystemUnit, bytes: number): void {
    this.read(unit, bytes);
    this.move(bytes);
  }

  /** Reads the item at the pointer, and leaves it there. */
  read(unit: SystemUnit, bytes: number): void {
    const { memory } = unit;
    this.locate(unit, bytes, 1);
    if (!this.isSystem) checkAlignment(unit, address[0], bytes);
    if (bytes === 8) {
      memory.readPair(address[0], address[1], address, this.isSystem);
      this.valueLow = address[0];
      this.valueHigh = address[1];
      return;
    }
    const first = memory.read(address[0], address[1], bytes, this.isSystem);
    this.valueLow = bytes === 2 ? first & 0xffff : first;
    this.valueHigh = 0;
  }

  /** Linear address of the item at the pointer. @param right 1 read, 2 write */
  private locate(unit: SystemUnit, bytes: number, right: number): void {
    const { low, high } = this;
    if (this.bits === 64) {
      const { context } = unit;
      // The last byte's upper half may be another one.
      const isCarried = (low >>> 0) + bytes - 1 > 0xffff_ffff;
      if (!isCanonical(context, low, high) || (isCarried && !isCanonical(context, 0, (high + 1) | 0)))
        throw guestFault(Exception.stack, this.error);
      address[0] = low;
      address[1] = high;
      return;
    }
    const last = (low + bytes - 1) >>> 0;
    if (
      (this.rights & right) === 0 ||
      low >>> 0 < this.first >>> 0 ||
      last > this.last >>> 0 ||
      last < low >>> 0
    )
      throw guestFault(Exception.stack, this.error);
    address[0] = (this.base + low) | 0;
    address[1] = 0;
  }

  /** Makes the pointer the processor's. With a 16-bit stack the upper half of ESP stays. */
  commit(unit: SystemUnit): void {
    const { state } = unit;
    const kept = this.bits === 16 ? state.low('gpr', rsp) & ~0xffff : 0;
    state.setPair('gpr', kept | this.low, this.bits === 16 ? state.high('gpr', rsp) : this.high, rsp);
  }
}

/** Loads RSP on a return to another stack, by the new SS: 16-bit stacks leave the rest of ESP as it is. */
export function loadStackPointer(unit: SystemUnit, low: number, high: number): void {
  const { state } = unit;
  const bits = stackBits(unit);
  const kept = bits === 16 ? state.low('gpr', rsp) & ~0xffff : 0;
  state.setPair('gpr', bits === 16 ? kept | (low & 0xffff) : low, bits === 64 ? high : 0, rsp);
}
