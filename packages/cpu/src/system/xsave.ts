import { Exception } from '../semantics/operation.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isIntercepted } from '../virtualization/questions.ts';
import { loadBlock, probeBlock, storeBlock } from './blocks.ts';
import {
  Component,
  componentSize,
  componentSpan,
  componentsInUse,
  initialMxcsr,
  loadComponent,
  saveComponent,
} from './extended-state.ts';
import { guestFault } from './fault.ts';
import { imageAddress } from './fxsave.ts';
import { in64BitMode, Use } from './operands.ts';
import { requireLevel0 } from './privilege.ts';
import type { Service, Services, SystemUnit } from './unit.ts';
import {
  loadX87,
  mxcsrOffset,
  resetX87,
  saveX87,
  x87HeadBytes,
  x87RegistersBytes,
  x87RegistersOffset,
  xmmOffset,
} from './x87-image.ts';

/*
 * XSAVE and its relatives, XGETBV and XSETBV (SDM vol. 1, chapter 13; vol. 2 under the instructions' names). The upper halves of XCR0,
 * IA32_XSS, XSTATE_BV and of the requested-feature bitmap are 0 in all that is allowed here.
 */

/** An area, as the instruction sees it; XSAVE areas are addressed from 0. */
const image = new Int32Array(1024);
const address = new Int32Array(2);

// Areas (SDM vol. 1, 13.4): legacy region, header, extended region.
const headerOffset = 512;
const headerBytes = 64;
const extendedOffset = 576;
/** Words of the image. */
const xstateBv = headerOffset / 4;
const xcompBv = xstateBv + 2;
/** Bit 63 of XCOMP_BV, in its upper half: the area is compacted. */
const compacted = 0x8000_0000 | 0;

const cr0Ts = 1 << 3;
const cr4Osxsave = 1 << 18;
const rax = 0;
const rcx = 1;
const rdx = 2;

const bitX87 = 1 << Component.x87;
const bitSse = 1 << Component.sse;
const bitAvx = 1 << Component.avx;
/** Components in whose company XSAVE, XSAVEOPT and the standard form of XRSTOR handle MXCSR. */
const bringMxcsr = bitSse | bitAvx;

function generalProtection(): never {
  throw guestFault(Exception.generalProtection, 0);
}

function requireXsave(unit: SystemUnit): void {
  if ((unit.context.cr4 & cr4Osxsave) === 0) throw guestFault(Exception.invalidOpcode);
}

/** The order of SDM vol. 2: #UD, #NM, then #GP by privilege. */
function requireState(unit: SystemUnit, isSupervisor: boolean): void {
  requireXsave(unit);
  if ((unit.context.cr0 & cr0Ts) !== 0) throw guestFault(Exception.deviceNotAvailable);
  if (isSupervisor) requireLevel0(unit);
}

/** RFBM: what the instruction asks for and the operating system allows (SDM vol. 1, 13.3). */
function requested(unit: SystemUnit, isSupervisor: boolean): number {
  const allowed = unit.state.low('xcr0') | (isSupervisor ? unit.state.low('xss') : 0);
  return unit.state.low('gpr', rax) & allowed;
}

/**
 * Offset in an area of a component from 1 on. In the compacted format those of XCOMP_BV follow each other, some aligned (SDM vol. 1, 13.4.3).
 *
 * @param format XCOMP_BV's components, or -1: the standard format
 */
function offsetOf(unit: SystemUnit, component: number, format: number): number {
  const { componentOffsets, alignedComponents } = unit.capabilities;
  if (component === Component.sse) return xmmOffset;
  if (format < 0) return componentOffsets[component];
  let offset = extendedOffset;
  for (let before = 2; ; before++) {
    const isThere = (format & (1 << before)) !== 0 || before === component;
    if (!isThere) continue;
    if ((alignedComponents & (1 << before)) !== 0) offset = (offset + 63) & ~63;
    if (before === component) return offset;
    offset += componentSize(before);
  }
}

/** Bytes from the area's start to the end of the last of these components. */
function areaBytes(unit: SystemUnit, components: number, format: number, is64Bit: boolean): number {
  let end = extendedOffset;
  for (let component = 2; component < 32; component++) {
    if ((components & (1 << component)) === 0) continue;
    end = Math.max(end, offsetOf(unit, component, format) + componentSpan(component, is64Bit));
  }
  return end;
}

// Saving.

/**
 * Writes the components `saved` and the header's words; all is probed before anything is written.
 *
 * @param format as in `offsetOf`
 * @param hasMxcsr MXCSR and MXCSR_MASK are written
 * @param header bytes of the header that are written, from XSTATE_BV on, from the image
 */
function store(
  unit: SystemUnit,
  saved: number,
  format: number,
  hasMxcsr: boolean,
  header: number,
  isWide: boolean,
): void {
  const is64Bit = in64BitMode(unit);
  if ((saved & bitX87) !== 0) saveX87(unit, image, isWide);
  image[mxcsrOffset / 4] = unit.state.get('mxcsr');
  image[mxcsrOffset / 4 + 1] = unit.capabilities.mxcsr;
  for (let component = 1; component < 32; component++) {
    if ((saved & (1 << component)) === 0) continue;
    const offset = offsetOf(unit, component, format);
    saveComponent(unit, component, is64Bit, image, offset / 4);
  }
  eachPiece(unit, saved, format, hasMxcsr, header, is64Bit, probeForWrite);
  eachPiece(unit, saved, format, hasMxcsr, header, is64Bit, storeBlock);
}

/** The parts of the area that a save touches. What lies between them is not written. */
function eachPiece(
  unit: SystemUnit,
  saved: number,
  format: number,
  hasMxcsr: boolean,
  header: number,
  is64Bit: boolean,
  piece: typeof storeBlock,
): void {
  const low = address[0];
  const high = address[1];
  if ((saved & bitX87) !== 0) {
    piece(unit, low, high, 0, x87HeadBytes, image);
    piece(unit, low, high, x87RegistersOffset, x87RegistersBytes, image);
  }
  if (hasMxcsr) piece(unit, low, high, mxcsrOffset, 8, image);
  for (let component = 1; component < 32; component++) {
    if ((saved & (1 << component)) === 0) continue;
    const offset = offsetOf(unit, component, format);
    piece(unit, low, high, offset, componentSpan(component, is64Bit), image);
  }
  piece(unit, low, high, headerOffset, header, image);
}

function probeForWrite(unit: SystemUnit, low: number, high: number, offset: number, bytes: number): void {
  probeBlock(unit, low, high, offset, bytes, true);
}

/**
 * XSAVE and XSAVEOPT: standard format. XSTATE_BV keeps the bits that were not asked for, and nothing else of the header is written.
 * XSAVEOPT leaves out what is in its initial configuration ("init optimization"); it may also leave out what was not modified since the
 * last XRSTOR, which would have to be tracked, and does not.
 */
function xsave(isOptimized: boolean, isWide: boolean): Service {
  return (unit, instruction) => {
    requireState(unit, false);
    const is64Bit = in64BitMode(unit);
    const mask = requested(unit, false);
    const inUse = componentsInUse(unit, mask, is64Bit);
    const saved = isOptimized ? mask & inUse : mask;
    imageAddress(unit, instruction, 64, areaBytes(unit, saved, -1, is64Bit), Use.modify, address);
    loadBlock(unit, address[0], address[1], headerOffset, 8, image);
    image[xstateBv] = (image[xstateBv] & ~mask) | inUse;
    store(unit, saved, -1, (mask & bringMxcsr) !== 0, 8, isWide);
  };
}

/**
 * XSAVEC and XSAVES: compacted format, init optimization. MXCSR is part of SSE here, which is saved if MXCSR alone is not as at first. XSAVES's
 * "modified optimization" is not made.
 */
function xsavec(isSupervisor: boolean, isWide: boolean): Service {
  return (unit, instruction) => {
    requireState(unit, isSupervisor);
    if (isSupervisor && isIntercepted(unit, Intercept.supervisorState, instruction)) return;
    const is64Bit = in64BitMode(unit);
    const mask = requested(unit, isSupervisor);
    let saved = componentsInUse(unit, mask, is64Bit);
    if (unit.state.get('mxcsr') !== initialMxcsr) saved |= mask & bitSse;
    imageAddress(unit, instruction, 64, areaBytes(unit, saved, mask, is64Bit), Use.write, address);
    image[xstateBv] = saved;
    image[xstateBv + 1] = 0;
    image[xcompBv] = mask;
    image[xcompBv + 1] = compacted;
    store(unit, saved, mask, (saved & bitSse) !== 0, 16, isWide);
  };
}

// Restoring.

/** Checks the header (SDM vol. 1, 13.8 and 13.12). @returns the format, as `offsetOf` takes it */
function checkHeader(unit: SystemUnit, isSupervisor: boolean): number {
  const { state, capabilities } = unit;
  const allowed = state.low('xcr0') | (isSupervisor ? state.low('xss') : 0);
  if (image[xstateBv + 1] !== 0) generalProtection();
  if (image[xcompBv + 1] >= 0) {
    // Standard: bytes 23:8 of the header are 0.
    if (isSupervisor) generalProtection();
    if ((image[xstateBv] & ~allowed) !== 0) generalProtection();
    for (let word = xcompBv; word < xcompBv + 4; word++) if (image[word] !== 0) generalProtection();
    return -1;
  }
  if (!capabilities.hasCompaction) generalProtection();
  const format = image[xcompBv];
  if ((format & ~allowed) !== 0 || image[xcompBv + 1] !== compacted) generalProtection();
  if ((image[xstateBv] & ~format) !== 0) generalProtection();
  for (let word = xcompBv + 2; word < xstateBv + headerBytes / 4; word++)
    if (image[word] !== 0) generalProtection();
  return format;
}

/** XRSTOR and XRSTORS. All is read and checked before anything is loaded. */
function xrstor(isSupervisor: boolean, isWide: boolean): Service {
  return (unit, instruction) => {
    requireState(unit, isSupervisor);
    if (isSupervisor && isIntercepted(unit, Intercept.supervisorState, instruction)) return;
    const is64Bit = in64BitMode(unit);
    const { state } = unit;
    const mask = requested(unit, isSupervisor);
    imageAddress(unit, instruction, 64, extendedOffset, Use.read, address);
    loadBlock(unit, address[0], address[1], headerOffset, headerBytes, image);
    const format = checkHeader(unit, isSupervisor);
    const restored = mask & image[xstateBv];
    const initialized = mask & ~image[xstateBv];
    imageAddress(unit, instruction, 64, areaBytes(unit, restored, format, is64Bit), Use.read, address);
    const isStandard = format < 0;
    // In the standard form MXCSR comes with SSE or AVX, whatever XSTATE_BV says of these; in the compacted form it is part of SSE.
    const hasMxcsr = isStandard ? (mask & bringMxcsr) !== 0 : (restored & bitSse) !== 0;
    load(unit, restored, format, hasMxcsr, is64Bit);
    if (hasMxcsr && (image[mxcsrOffset / 4] & ~unit.capabilities.mxcsr) !== 0) generalProtection();

    if ((restored & bitX87) !== 0) loadX87(unit, image, isWide);
    else if ((initialized & bitX87) !== 0) resetX87(unit);
    if (hasMxcsr) state.set('mxcsr', image[mxcsrOffset / 4]);
    else if (!isStandard && (initialized & bitSse) !== 0) state.set('mxcsr', initialMxcsr);
    for (let component = 1; component < 32; component++) {
      const bit = 1 << component;
      if ((mask & bit) === 0) continue;
      const offset = offsetOf(unit, component, format);
      loadComponent(unit, component, is64Bit, image, (restored & bit) !== 0 ? offset / 4 : -1);
    }
  };
}

/** Reads what will be restored into the image. */
function load(unit: SystemUnit, restored: number, format: number, hasMxcsr: boolean, is64Bit: boolean): void {
  const low = address[0];
  const high = address[1];
  if ((restored & bitX87) !== 0) {
    loadBlock(unit, low, high, 0, x87HeadBytes, image);
    loadBlock(unit, low, high, x87RegistersOffset, x87RegistersBytes, image);
  }
  if (hasMxcsr) loadBlock(unit, low, high, mxcsrOffset, 4, image);
  for (let component = 1; component < 32; component++)
    if ((restored & (1 << component)) !== 0)
      loadBlock(unit, low, high, offsetOf(unit, component, format), componentSpan(component, is64Bit), image);
}

// Extended control registers.

/** ECX 0: XCR0; 1: which of its components are in use, MXCSR counting as SSE (SDM vol. 1, 13.2). */
const xgetbv: Service = (unit) => {
  requireXsave(unit);
  const { state } = unit;
  const index = state.low('gpr', rcx);
  let low = state.low('xcr0');
  if (index === 1 && unit.capabilities.hasXinuse) {
    const sse = state.get('mxcsr') !== initialMxcsr ? low & bitSse : 0;
    low = componentsInUse(unit, low, in64BitMode(unit)) | sse;
  } else if (index !== 0) generalProtection();
  state.setPair('gpr', low, 0, rax);
  state.setPair('gpr', index === 0 ? state.high('xcr0') : 0, 0, rdx);
};

/** Components that can be enabled together only: ZMM's three. */
const avx512 = (1 << Component.opmask) | (1 << Component.zmmHi256) | (1 << Component.hi16Zmm);

const xsetbv: Service = (unit, instruction) => {
  requireXsave(unit);
  requireLevel0(unit);
  if (isIntercepted(unit, Intercept.extendedControl, instruction)) return;
  const { state } = unit;
  const low = state.low('gpr', rax);
  if (state.low('gpr', rcx) !== 0) generalProtection();
  if (state.low('gpr', rdx) !== 0 || (low & ~unit.capabilities.xcr0) !== 0) generalProtection();
  if ((low & bitX87) === 0) generalProtection();
  if ((low & bitAvx) !== 0 && (low & bitSse) === 0) generalProtection();
  const wide = low & avx512;
  if (wide !== 0 && (wide !== avx512 || (low & bitAvx) === 0)) generalProtection();
  state.setPair('xcr0', low, 0);
  unit.contextChanged();
};

/** Plain and with REX.W, whose pointers of the x87 have 64 bits. */
function pair(name: string, service: (isWide: boolean) => Service): Record<string, Service> {
  return { [name]: service(false), [`${name}64`]: service(true) };
}

export const xsaveServices: Services = {
  ...pair('XSAVE', (isWide) => xsave(false, isWide)),
  ...pair('XSAVEOPT', (isWide) => xsave(true, isWide)),
  ...pair('XSAVEC', (isWide) => xsavec(false, isWide)),
  ...pair('XSAVES', (isWide) => xsavec(true, isWide)),
  ...pair('XRSTOR', (isWide) => xrstor(false, isWide)),
  ...pair('XRSTORS', (isWide) => xrstor(true, isWide)),
  XGETBV: xgetbv,
  XSETBV: xsetbv,
};
