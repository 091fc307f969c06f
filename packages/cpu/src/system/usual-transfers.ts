import { isCanonical } from '@nest86/mmu';
import { Segment, stateOffset } from '../state/layout.ts';
import { attributeUnusable, writeSegmentCache } from '../state/segment-cache.ts';
import { setPrivilege } from './gates.ts';
import { Flag } from './modes.ts';
import { in64BitMode } from './operands.ts';
import { dropInnerSegments } from './segment-registers.ts';
import type { SystemUnit } from './unit.ts';

/*
 * Exceptions and interrupts that come from 64-bit code of level 0 or 3 to 64-bit code of level 0, and IRETQ back, where everything that they
 * read and write lies in the fast TLB and nothing is wrong or rare: nearly all of them. What
 * these functions refuse, having changed nothing, goes the general way of `exceptions.ts` and `interrupt-return.ts`, which knows the rest.
 */

// Cells of the state, as words.
const pointerCell: number = (stateOffset.gpr >> 2) + 8;
const flagsCell: number = stateOffset.systemFlags >> 2;
const cplCell: number = stateOffset.cpl >> 2;
const tableBaseCell: number = stateOffset.tableBase >> 2;
const tableLimitCell: number = stateOffset.tableLimit >> 2;
const selectorCell: number = stateOffset.segmentSelector >> 2;
const baseCell: number = stateOffset.segmentBase >> 2;
const limitCell: number = stateOffset.segmentLimit >> 2;
const attributesCell: number = stateOffset.segmentAttributes >> 2;

/** P, S, and what 64-bit interrupt and trap gates have in common; IST is in bits 2:0 of the same word. */
const gateMask = 0x9e07;
const gateValue = 0x8e00;
/** P DPL S, code, conforming, accessed, L, D. */
const codeMask = 0x60_fd00;
const codeValue = 0x20_9900;
/** P DPL S, data, writable, accessed. */
const dataMask = 0xfb00;
const dataValue = 0x9300;

/** Index in the memory's words of a descriptor in the GDT, or -1. */
function descriptorAt(unit: SystemUnit, selector: number): number {
  const { words } = unit.state;
  const index = selector & 0xfff8;
  if (index === 0 || (selector & 4) !== 0 || index + 7 > words[tableLimitCell] >>> 0) return -1;
  const base = words[tableBaseCell] >>> 0;
  if (base + index > 0xffff_ffff) return -1;
  return unit.memory.wordsAt((base + index) | 0, words[tableBaseCell + 1], 8, false, true);
}

/** Loads CS or SS; most often it is what is there already. @returns whether anything has changed */
function load(unit: SystemUnit, segment: number, selector: number, low: number, high: number): boolean {
  const { state } = unit;
  const { words } = state;
  const base = (low >>> 16) | ((high & 0xff) << 16) | (high & 0xff00_0000);
  const bytes = (low & 0xffff) | (high & 0xf_0000);
  const limit = (high & 0x80_0000) !== 0 ? (bytes << 12) | 0xfff : bytes;
  const attributes = (high >>> 8) & 0xf0ff;
  if (
    words[selectorCell + segment] === selector &&
    words[baseCell + 2 * segment] === base &&
    words[baseCell + 2 * segment + 1] === 0 &&
    words[limitCell + segment] === limit &&
    words[attributesCell + segment] === attributes
  )
    return false;
  writeSegmentCache(state, segment, selector, base, 0, limit, attributes);
  return true;
}

/** Loads SS with the null selector of a level. 64-bit code does not depend on it. */
function loadNullStack(unit: SystemUnit, selector: number, privilege: number): void {
  writeSegmentCache(unit.state, Segment.ss, selector, 0, 0, -1, attributeUnusable | (privilege << 5));
}

/**
 * Delivers an event that is no INT n, INT3 or INTO: gate, code segment, stack from the TSS if the level changes, frame (SDM vol. 3, 6.14).
 *
 * @param errorCode -1: none
 * @param resume RF of the saved image, or 0
 */
export function deliverUsual(unit: SystemUnit, vector: number, errorCode: number, resume: number): boolean {
  const { state, memory } = unit;
  const { words } = state;
  const privilege = words[cplCell];
  const isInner = privilege === 3;
  if ((privilege !== 0 && !isInner) || !in64BitMode(unit)) return false;
  const offset = vector * 16;
  const table = words[tableBaseCell + 2] >>> 0;
  if (offset + 15 > words[tableLimitCell + 1] >>> 0 || table + offset > 0xffff_ffff) return false;
  const gate = memory.wordsAt((table + offset) | 0, words[tableBaseCell + 3], 16, false, true);
  if (gate < 0) return false;
  const all = memory.words;
  const gateHigh = all[gate + 1];
  if ((gateHigh & gateMask) !== gateValue) return false;
  const selector = all[gate] >>> 16;
  const targetLow = (all[gate] & 0xffff) | (gateHigh & 0xffff_0000);
  const targetHigh = all[gate + 2];
  const code = descriptorAt(unit, selector);
  if (code < 0 || (all[code + 1] & codeMask) !== codeValue) return false;
  // The frame may be written over it.
  const codeLow = all[code];
  const codeHigh = all[code + 1];
  if (!isCanonical(unit.context, targetLow, targetHigh)) return false;

  const oldLow = words[pointerCell];
  const oldHigh = words[pointerCell + 1];
  let top = oldLow;
  let stackHigh = oldHigh;
  if (isInner) {
    // RSP0.
    const task = baseCell + 2 * Segment.tr;
    if (words[limitCell + Segment.tr] >>> 0 < 11 || words[task] >>> 0 > 0xffff_f000) return false;
    const pointer = memory.wordsAt((words[task] + 4) | 0, words[task + 1], 8, false, true);
    if (pointer < 0) return false;
    top = all[pointer];
    stackHigh = all[pointer + 1];
  }
  top &= ~15;
  const size = errorCode >= 0 ? 48 : 40;
  if (top >>> 0 < size) return false;
  const stackLow = (top - size) | 0;
  let at = memory.wordsAt(stackLow, stackHigh, size, true, isInner);
  if (at < 0) return false;

  if (errorCode >= 0) {
    all[at] = errorCode;
    all[at + 1] = 0;
    at += 2;
  }
  all[at] = unit.ripLow;
  all[at + 1] = unit.ripHigh;
  all[at + 2] = words[selectorCell + Segment.cs];
  all[at + 3] = 0;
  all[at + 4] = state.flags | resume;
  all[at + 5] = 0;
  all[at + 6] = oldLow;
  all[at + 7] = oldHigh;
  all[at + 8] = words[selectorCell + Segment.ss];
  all[at + 9] = 0;
  words[pointerCell] = stackLow;
  words[pointerCell + 1] = stackHigh;
  if (isInner) loadNullStack(unit, 0, 0);
  const cleared = Flag.trap | Flag.nestedTask | Flag.resume | Flag.virtual8086;
  // Bit 0 of the type: a trap gate, which leaves IF.
  words[flagsCell] &= ~((gateHigh & 0x100) === 0 ? cleared | Flag.interrupt : cleared);
  if (load(unit, Segment.cs, selector & ~3, codeLow, codeHigh)) unit.segmentsChanged();
  unit.nextLow = targetLow;
  unit.nextHigh = targetHigh;
  setPrivilege(unit, 0);
  return true;
}

/**
 * IRETQ to 64-bit code of level 0 or 3 (SDM vol. 2, IRET).
 *
 * @param mask flags that are loaded
 */
export function returnUsual(unit: SystemUnit, mask: number): boolean {
  const { state, memory } = unit;
  const { words } = state;
  if (!in64BitMode(unit) || (words[flagsCell] & Flag.nestedTask) !== 0) return false;
  const low = words[pointerCell];
  if ((low & 7) !== 0) return false;
  const frame = memory.wordsAt(low, words[pointerCell + 1], 40, false, false);
  if (frame < 0) return false;
  const all = memory.words;
  const selector = all[frame + 2] & 0xffff;
  const privilege = selector & 3;
  const before = words[cplCell];
  if (privilege < before || privilege === 1 || privilege === 2) return false;
  const level = privilege << 13;
  const code = descriptorAt(unit, selector);
  if (code < 0 || (all[code + 1] & codeMask) !== (codeValue | level)) return false;
  const targetLow = all[frame];
  const targetHigh = all[frame + 1];
  if (!isCanonical(unit.context, targetLow, targetHigh)) return false;
  const stackSelector = all[frame + 8] & 0xffff;
  const isNull = stackSelector === 0 && privilege === 0;
  const data = isNull ? 0 : descriptorAt(unit, stackSelector);
  if (!isNull) {
    if (data < 0 || (stackSelector & 3) !== privilege) return false;
    if ((all[data + 1] & dataMask) !== (dataValue | level)) return false;
  }

  const image = all[frame + 4];
  words[pointerCell] = all[frame + 6];
  words[pointerCell + 1] = all[frame + 7];
  if (isNull) loadNullStack(unit, 0, 0);
  else load(unit, Segment.ss, stackSelector, all[data], all[data + 1]);
  if (load(unit, Segment.cs, selector, all[code], all[code + 1])) unit.segmentsChanged();
  if (privilege !== before) {
    setPrivilege(unit, privilege);
    dropInnerSegments(unit, privilege);
  }
  const flags = state.flags;
  const loaded = (flags & ~mask) | (image & mask);
  state.flags = loaded;
  if (((loaded ^ flags) & Flag.alignment) !== 0) unit.contextChanged();
  unit.nextLow = targetLow;
  unit.nextHigh = targetHigh;
  return true;
}
