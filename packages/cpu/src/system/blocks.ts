import { in64BitMode } from './operands.ts';
import type { SystemUnit } from './unit.ts';

/*
 * Memory in larger pieces than an operand's, by 32-bit words: images of the x87 and of XSAVE. The only place that copies them, since a processor
 * may know a faster way.
 */

const place = new Int32Array(2);

/** Linear address some bytes behind another; 32 bits wide outside 64-bit mode. */
function placeOf(unit: SystemUnit, low: number, high: number, offset: number): void {
  const sum = (low >>> 0) + offset;
  place[0] = sum;
  place[1] = in64BitMode(unit) ? high + (sum > 0xffff_ffff ? 1 : 0) : 0;
}

/** Checks that bytes at an offset from a linear address can be read or written. @throws GuestFault #PF */
export function probeBlock(
  unit: SystemUnit,
  low: number,
  high: number,
  offset: number,
  bytes: number,
  isWrite: boolean,
): void {
  if (bytes === 0) return;
  placeOf(unit, low, high, offset);
  unit.memory.probe(place[0], place[1], bytes, isWrite);
}

/** Reads `bytes`, a multiple of 4, at an offset from a linear address into the same offset of the image. */
export function loadBlock(
  unit: SystemUnit,
  low: number,
  high: number,
  offset: number,
  bytes: number,
  image: Int32Array,
): void {
  for (let at = offset; at < offset + bytes; at += 4) {
    placeOf(unit, low, high, at);
    image[at >> 2] = unit.memory.read(place[0], place[1], 4);
  }
}

/** Writes `bytes`, a multiple of 4, of the image; they were probed. */
export function storeBlock(
  unit: SystemUnit,
  low: number,
  high: number,
  offset: number,
  bytes: number,
  image: Int32Array,
): void {
  for (let at = offset; at < offset + bytes; at += 4) {
    placeOf(unit, low, high, at);
    unit.memory.write(place[0], place[1], 4, image[at >> 2]);
  }
}
