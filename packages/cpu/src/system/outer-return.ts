import { Exception } from '../semantics/operation.ts';
import { Segment } from '../state/layout.ts';
import { Descriptor, isNull, selectorError, setAccessed } from './descriptors.ts';
import { guestFault } from './fault.ts';
import { checkTarget, enterCode, is64BitCode, readCodeSegment, requirePresent } from './gates.ts';
import { inLongMode } from './modes.ts';
import { addTo } from './operands.ts';
import { dropInnerSegments, writeFromDescriptor, writeNullStack } from './segment-registers.ts';
import { checkStackSegment } from './segments.ts';
import { loadStackPointer, type Stack } from './stack.ts';
import type { SystemUnit } from './unit.ts';

const pointer = new Int32Array(2);

/** What RET far and IRET have in common in protected mode: the way back to the same or an outer level (SDM vol. 2, RET and IRET). */
export class OuterReturn {
  private readonly code: Descriptor = new Descriptor();
  private readonly stackSegment: Descriptor = new Descriptor();
  /** RPL of the new CS, which will be the CPL. */
  privilege = 0;
  private stackSelector = 0;
  private stackLow = 0;
  private stackHigh = 0;
  private hasNullStack = false;
  private low = 0;
  private high = 0;

  /** Return code segment: privilege and presence. */
  readCode(unit: SystemUnit, selector: number): void {
    const { code } = this;
    const error = selectorError(selector);
    readCodeSegment(unit, selector, 0, code);
    this.privilege = selector & 3;
    if (this.privilege < unit.state.get('cpl')) throw guestFault(Exception.generalProtection, error);
    if (code.isConformingCode ? code.privilege > this.privilege : code.privilege !== this.privilege)
      throw guestFault(Exception.generalProtection, error);
    if (inLongMode(unit) && code.isLong && code.isBig) throw guestFault(Exception.generalProtection, error);
    requirePresent(code);
  }

  /** Pops ESP and SS, and checks SS. 64-bit code of levels 0 to 2 may have a null one. */
  readStack(unit: SystemUnit, stack: Stack, bytes: number): void {
    const { privilege } = this;
    stack.pop(unit, bytes);
    this.stackLow = stack.valueLow;
    this.stackHigh = stack.valueHigh;
    stack.pop(unit, bytes);
    const selector = stack.valueLow & 0xffff;
    this.stackSelector = selector;
    this.hasNullStack = isNull(selector) && is64BitCode(unit, this.code) && privilege !== 3;
    if (!this.hasNullStack) {
      checkStackSegment(unit, selector, privilege, Exception.generalProtection, 0, this.stackSegment);
      return;
    }
    if ((selector & 3) !== privilege) throw guestFault(Exception.generalProtection, selectorError(selector));
  }

  /** All 64 bits of a popped RIP count, also for code of 16 and 32 bits: beyond any limit (as on the host, an EPYC). */
  checkTarget(unit: SystemUnit, low: number, high: number): void {
    this.low = low;
    this.high = high;
    if (high !== 0 && !is64BitCode(unit, this.code)) throw guestFault(Exception.generalProtection, 0);
    checkTarget(unit, this.code, low, high);
  }

  /** Sets the accessed bits, the last thing that may fault. @param hasStack SS was read too */
  touch(unit: SystemUnit, hasStack: boolean): void {
    setAccessed(unit, this.code);
    if (hasStack && !this.hasNullStack) setAccessed(unit, this.stackSegment);
  }

  enterCode(unit: SystemUnit): void {
    enterCode(unit, this.code, this.privilege, this.low, this.high);
  }

  /** Loads CS:RIP and SS:RSP. @param released bytes that the new pointer passes over */
  enter(unit: SystemUnit, released: number): void {
    const { privilege, stackSelector } = this;
    const isOuter = privilege !== unit.state.get('cpl');
    this.enterCode(unit);
    if (this.hasNullStack) writeNullStack(unit, stackSelector, privilege);
    else writeFromDescriptor(unit, Segment.ss, stackSelector, this.stackSegment);
    pointer[0] = this.stackLow;
    pointer[1] = this.stackHigh;
    addTo(pointer, released, 0);
    loadStackPointer(unit, pointer[0], pointer[1]);
    if (isOuter) dropInnerSegments(unit, privilege);
  }
}
