import { isCanonical } from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import { Segment } from '../state/layout.ts';
import {
  Descriptor,
  isNull,
  readDescriptor,
  selectorError,
  setAccessed,
  systemType32,
} from './descriptors.ts';
import { guestFault } from './fault.ts';
import { inLongMode } from './modes.ts';
import { addTo } from './operands.ts';
import { writeFromDescriptor, writeNullStack } from './segment-registers.ts';
import { checkStackSegment } from './segments.ts';
import type { Stack } from './stack.ts';
import type { SystemUnit } from './unit.ts';

/*
 * What call gates, interrupt gates and far returns have in common: the code segment that control goes to, and the stack of an inner level.
 */

const address = new Int32Array(2);

// Code segments.

/** Reads the descriptor of a code segment. @throws GuestFault #GP(EXT) for a null selector, #GP(selector) if it is none */
export function readCodeSegment(unit: SystemUnit, selector: number, external: number, out: Descriptor): void {
  if (isNull(selector)) throw guestFault(Exception.generalProtection, external);
  if (!readDescriptor(unit, selector, out) || !out.isCode)
    throw guestFault(Exception.generalProtection, selectorError(selector, external));
}

/** Code that the descriptor describes runs in 64-bit mode. */
export function is64BitCode(unit: SystemUnit, code: Descriptor): boolean {
  return code.isLong && inLongMode(unit);
}

/** @throws GuestFault #NP with the selector */
export function requirePresent(descriptor: Descriptor, external = 0): void {
  if (!descriptor.isPresent)
    throw guestFault(Exception.segmentNotPresent, selectorError(descriptor.selector, external));
}

/** Target of a gate in long mode: 64-bit code (SDM vol. 3, 5.8.3.1). L and D both set are reserved. */
export function requireGateCode(unit: SystemUnit, code: Descriptor, external: number): void {
  if (inLongMode(unit) && (!code.isLong || code.isBig))
    throw guestFault(Exception.generalProtection, selectorError(code.selector, external));
}

/** Limit of the new code segment, or canonical form in 64-bit mode. @throws GuestFault #GP(EXT) */
export function checkTarget(
  unit: SystemUnit,
  code: Descriptor,
  low: number,
  high: number,
  external = 0,
): void {
  const isWrong = is64BitCode(unit, code)
    ? !isCanonical(unit.context, low, high)
    : low >>> 0 > code.limit >>> 0;
  if (isWrong) throw guestFault(Exception.generalProtection, external);
}

/** Loads CS, with the new CPL as RPL, and RIP. The accessed bit has been set before. */
export function enterCode(
  unit: SystemUnit,
  code: Descriptor,
  privilege: number,
  low: number,
  high: number,
): void {
  const isLong = is64BitCode(unit, code);
  writeFromDescriptor(unit, Segment.cs, (code.selector & ~3) | privilege, code);
  unit.nextLow = low;
  unit.nextHigh = isLong ? high : 0;
  setPrivilege(unit, privilege);
}

export function setPrivilege(unit: SystemUnit, privilege: number): void {
  if (unit.state.get('cpl') === privilege) return;
  unit.state.set('cpl', privilege);
  unit.contextChanged();
}

// Stacks of inner levels.

/** The pointer to a stack of an inner level, as the TSS has it (SDM vol. 3, 7.2.1 and 7.7). */
export class InnerStack {
  /** SS of legacy modes; 64-bit code gets a null selector. */
  readonly segment: Descriptor = new Descriptor();
  selector = 0;
  low = 0;
  high = 0;

  /**
   * Reads and checks SS:ESP of a level from the TSS.
   *
   * @throws GuestFault #TS with TR's or SS's selector, #SS if the segment is not present
   */
  read(unit: SystemUnit, privilege: number, external: number, stack: Stack): void {
    const { state, memory } = unit;
    const is32 = (state.get('segmentAttributes', Segment.tr) & systemType32) !== 0;
    const offset = is32 ? privilege * 8 + 4 : privilege * 4 + 2;
    const error = selectorError(state.get('segmentSelector', Segment.tr), external);
    if (offset + (is32 ? 5 : 3) > state.get('segmentLimit', Segment.tr) >>> 0)
      throw guestFault(Exception.invalidTss, error);
    const at = (state.low('segmentBase', Segment.tr) + offset) | 0;
    this.low = is32 ? memory.read(at, 0, 4, true) : memory.read(at, 0, 2, true) & 0xffff;
    this.high = 0;
    this.selector = memory.read((at + (is32 ? 4 : 2)) | 0, 0, 2, true) & 0xffff;
    const { segment, selector } = this;
    checkStackSegment(unit, selector, privilege, Exception.invalidTss, external, segment);
    stack.inner(segment, this.low, selectorError(selector, external));
  }

  /**
   * Reads a stack pointer from the 64-bit TSS: RSP of a level, or of the interrupt stack table.
   *
   * @param slot 0 to 2 for RSP0 to RSP2, 4 to 10 for IST1 to IST7 (SDM vol. 3, figure 7-11)
   * @throws GuestFault #TS with TR's selector
   */
  readLong(unit: SystemUnit, slot: number, privilege: number, external: number, stack: Stack): void {
    const { state, memory } = unit;
    const offset = slot * 8 + 4;
    if (offset + 7 > state.get('segmentLimit', Segment.tr) >>> 0)
      throw guestFault(
        Exception.invalidTss,
        selectorError(state.get('segmentSelector', Segment.tr), external),
      );
    address[0] = state.low('segmentBase', Segment.tr);
    address[1] = state.high('segmentBase', Segment.tr);
    addTo(address, offset, 0);
    memory.readPair(address[0], address[1], address, true);
    this.low = address[0];
    this.high = address[1];
    this.selector = privilege;
    stack.long(this.low, this.high, external, state.get('cpl') === 3 && privilege < 3);
  }

  /** Sets the accessed bit of the new SS, which may still fault. */
  touch(unit: SystemUnit): void {
    setAccessed(unit, this.segment);
  }

  /** Loads SS. @param isLong by `readLong`: a null selector whose RPL is the level */
  enter(unit: SystemUnit, isLong: boolean, privilege: number): void {
    if (isLong) writeNullStack(unit, privilege, privilege);
    else writeFromDescriptor(unit, Segment.ss, this.selector, this.segment);
  }
}
