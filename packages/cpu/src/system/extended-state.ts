import type { SystemUnit } from './unit.ts';

/*
 * State components beyond the legacy region, and which of all components differ from their initial configuration (SDM vol. 1, 13.1, 13.4.3 and
 * 13.6). An area of XSAVE is put together, or taken apart, in an image of 32-bit words.
 */

/** Numbers of state components; bit n of XCR0 and of all masks of XSAVE (SDM vol. 1, 13.1). */
export const Component = { x87: 0, sse: 1, avx: 2, opmask: 5, zmmHi256: 6, hi16Zmm: 7, pkru: 9 } as const;

/** Registers of the state whose words, or some of them, are a component one after the other. */
interface RegisterFile {
  readonly field: 'vector' | 'opmask';
  /** Words from one register to the next in the state. */
  readonly stride: number;
  readonly first: number;
  /** Registers in 64-bit mode, and outside it: the others are neither saved nor restored there. */
  readonly count: number;
  readonly legacyCount: number;
  /** Words of each register. */
  readonly from: number;
  readonly words: number;
}

const vectors = { field: 'vector', stride: 16 } as const;
const files: readonly (RegisterFile | undefined)[] = [
  undefined,
  { ...vectors, first: 0, count: 16, legacyCount: 8, from: 0, words: 4 },
  { ...vectors, first: 0, count: 16, legacyCount: 8, from: 4, words: 4 },
  undefined,
  undefined,
  { field: 'opmask', stride: 2, first: 0, count: 8, legacyCount: 8, from: 0, words: 2 },
  { ...vectors, first: 0, count: 16, legacyCount: 8, from: 8, words: 8 },
  { ...vectors, first: 16, count: 16, legacyCount: 0, from: 0, words: 16 },
];

/** Bytes that components take in an area; those below 2 lie in its legacy region. */
const sizes: readonly number[] = [160, 256, 256, 0, 0, 64, 512, 1024, 0, 8];

/** Masks of the components that this processor can have. */
export const componentsInUserState = 0x2e7;
export const componentsInSupervisorState = 0;

const initialControl = 0x37f;
export const initialMxcsr = 0x1f80;

/** Bytes of a component in an area, from 2 on. */
export function componentSize(component: number): number {
  return sizes[component];
}

/** Bytes of it that are written or read in the present mode. */
export function componentSpan(component: number, is64Bit: boolean): number {
  const file = files[component];
  // PKRU: four bytes of eight.
  if (file === undefined) return 4;
  return 4 * file.words * (is64Bit ? file.count : file.legacyCount);
}

/** Copies a component, from 1 on, into an image. @param at word of the image */
export function saveComponent(
  unit: SystemUnit,
  component: number,
  is64Bit: boolean,
  image: Int32Array,
  at: number,
): void {
  const file = files[component];
  if (file === undefined) {
    image[at] = unit.context.pkru;
    return;
  }
  const { field, stride, first, from, words } = file;
  const end = first + (is64Bit ? file.count : file.legacyCount);
  for (let register = first; register < end; register++)
    for (let word = from; word < from + words; word++)
      image[at++] = unit.state.get(field, register * stride + word);
}

/** Writes a component, from 1 on, from an image. @param at word of the image; -1: its initial configuration, all 0 */
export function loadComponent(
  unit: SystemUnit,
  component: number,
  is64Bit: boolean,
  image: Int32Array,
  at: number,
): void {
  const file = files[component];
  if (file === undefined) {
    unit.context.pkru = at < 0 ? 0 : image[at];
    unit.contextChanged();
    return;
  }
  const { field, stride, first, from, words } = file;
  const end = first + (is64Bit ? file.count : file.legacyCount);
  let next = at;
  for (let register = first; register < end; register++)
    for (let word = from; word < from + words; word++)
      unit.state.set(field, at < 0 ? 0 : image[next++], register * stride + word);
}

/**
 * XINUSE, as far as `mask` asks: the components that are not in their initial configuration (SDM vol. 1, 13.6). MXCSR counts for none. Processors may
 * say more of them are in use; EPYC counts the x87 as used from its first instruction on, be it FNINIT, to an XRSTOR that initializes it.
 */
export function componentsInUse(unit: SystemUnit, mask: number, is64Bit: boolean): number {
  let inUse = 0;
  for (let component = 0, rest = mask; rest !== 0; component++, rest >>>= 1)
    if ((rest & 1) !== 0 && isInUse(unit, component, is64Bit)) inUse |= 1 << component;
  return inUse;
}

function isInUse(unit: SystemUnit, component: number, is64Bit: boolean): boolean {
  const { state } = unit;
  if (component === Component.x87) return x87IsInUse(unit);
  const file = files[component];
  if (file === undefined) return unit.context.pkru !== 0;
  const { field, stride, first, from, words } = file;
  const end = first + (is64Bit ? file.count : file.legacyCount);
  for (let register = first; register < end; register++)
    for (let word = from; word < from + words; word++)
      if (state.get(field, register * stride + word) !== 0) return true;
  return false;
}

function x87IsInUse({ state }: SystemUnit): boolean {
  if (state.get('x87Control') !== initialControl) return true;
  const others =
    state.get('x87Status') |
    state.get('x87Tags') |
    state.get('x87Opcode') |
    state.low('x87InstructionPointer') |
    state.high('x87InstructionPointer') |
    state.get('x87InstructionSelector') |
    state.low('x87DataPointer') |
    state.high('x87DataPointer') |
    state.get('x87DataSelector');
  if (others !== 0) return true;
  for (let word = 0; word < 32; word++) if (state.get('x87', word) !== 0) return true;
  return false;
}
