import { Segment, stateOffset } from '../state/layout.ts';
import { attributeUnusable, writeSegmentCache } from '../state/segment-cache.ts';
import type { Descriptor } from './descriptors.ts';
import type { SystemUnit } from './unit.ts';

/* Loads of segment registers in each mode; the state's cached parts are what `state/segment-cache.ts` writes. */

/** Data segment, present, writable, accessed: what real-address mode makes of every segment. @see SDM vol. 3, 9.9.2 */
const realAttributes = 0x93;
/** The same at DPL 3 (SDM vol. 3, 20.1.1: CPL is 3 in virtual-8086 mode). */
const virtual8086Attributes = 0xf3;

/** Writes all of a segment register. @param limit in bytes, scaled @param attributes as the state's `segmentAttributes` */
export function writeSegment(
  unit: SystemUnit,
  segment: number,
  selector: number,
  baseLow: number,
  baseHigh: number,
  limit: number,
  attributes: number,
): void {
  writeSegmentCache(unit.state, segment, selector, baseLow, baseHigh, limit, attributes);
  unit.segmentsChanged();
}

/** Loads a segment register from its descriptor, which has been checked. */
export function writeFromDescriptor(
  unit: SystemUnit,
  segment: number,
  selector: number,
  descriptor: Descriptor,
): void {
  const { base, upper, limit, attributes } = descriptor;
  writeSegment(unit, segment, selector, base, upper, limit, attributes);
}

/** Loads a null selector into a data segment register or LDTR: no access is possible. Base is 0, as on Intel and on AMD since Zen 3. */
export function writeNullSegment(unit: SystemUnit, segment: number, selector: number): void {
  // The limit stays: real-address mode, if it comes next, goes on with it.
  const limit = unit.state.get('segmentLimit', segment);
  writeSegment(unit, segment, selector, 0, 0, limit, attributeUnusable);
}

/** SS with a null selector, as 64-bit code may have it: unusable but for its DPL, which is the CPL. */
export function writeNullStack(unit: SystemUnit, selector: number, privilege: number): void {
  writeSegment(unit, Segment.ss, selector, 0, 0, -1, attributeUnusable | (privilege << 5));
}

/**
 * Loads a data or stack segment in real-address mode. Limit and B stay as they were, which programs rely on ("unreal mode").
 */
export function writeRealSegment(unit: SystemUnit, segment: number, selector: number): void {
  const { state } = unit;
  const kept = state.get('segmentAttributes', segment) & 0xd000;
  const limit = state.get('segmentLimit', segment);
  writeSegment(unit, segment, selector, (selector & 0xffff) << 4, 0, limit, realAttributes | kept);
}

/** Loads CS in real-address mode: a far JMP there makes the code segment a 16-bit one, and leaves its limit (SDM vol. 3, 9.9.2). */
export function writeRealCode(unit: SystemUnit, selector: number): void {
  const limit = unit.state.get('segmentLimit', Segment.cs);
  writeSegment(unit, Segment.cs, selector, (selector & 0xffff) << 4, 0, limit, realAttributes);
}

/** Loads any segment in virtual-8086 mode. */
export function writeVirtual8086Segment(unit: SystemUnit, segment: number, selector: number): void {
  writeSegment(unit, segment, selector, (selector & 0xffff) << 4, 0, 0xffff, virtual8086Attributes);
}

/**
 * After a return to an outer level: data segments that it may not use are made null (SDM vol. 2, RET and IRET, "segment … points to data or
 * non-conforming code segment and CPL > DPL").
 */
export function dropInnerSegments(unit: SystemUnit, privilege: number): void {
  const { state } = unit;
  const { words } = state;
  for (const segment of dataSegments) {
    const attributes = words[attributesCell + segment];
    const isConforming = (attributes & 0x1c) === 0x1c;
    // Null selectors 1 to 3 become 0 (seen on the host, an EPYC).
    if ((attributes & attributeUnusable) !== 0) words[selectorCell + segment] = 0;
    else if (!isConforming && ((attributes >> 5) & 3) < privilege) {
      // The base, which an MSR may have set, stays: kernels that keep a selector of theirs in GS rely on it.
      const [low, high] = [state.low('segmentBase', segment), state.high('segmentBase', segment)];
      writeSegment(unit, segment, 0, low, high, state.get('segmentLimit', segment), attributeUnusable);
    }
  }
}

const selectorCell: number = stateOffset.segmentSelector >> 2;
const attributesCell: number = stateOffset.segmentAttributes >> 2;
const dataSegments = [Segment.es, Segment.ds, Segment.fs, Segment.gs] as const;
