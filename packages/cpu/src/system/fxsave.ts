import type { Instruction } from '@nest86/decoder';
import { Exception } from '../semantics/operation.ts';
import { loadBlock, probeBlock, storeBlock } from './blocks.ts';
import { Component, componentSpan, loadComponent, saveComponent } from './extended-state.ts';
import { guestFault } from './fault.ts';
import { effectiveAddress, in64BitMode, linearAddress, operandSegment, Use } from './operands.ts';
import { requireFpu } from './privilege.ts';
import type { Service, Services, SystemUnit } from './unit.ts';
import {
  loadX87,
  mxcsrOffset,
  saveX87,
  x87HeadBytes,
  x87RegistersBytes,
  x87RegistersOffset,
  xmmOffset,
} from './x87-image.ts';

// FXSAVE and FXRSTOR (SDM vol. 2 under these names; vol. 1, 10.5). The 512 bytes are those of the legacy region of XSAVE.

const imageBytes = 512;
const image = new Int32Array(imageBytes / 4);
const address = new Int32Array(2);

const cr4Osfxsr = 1 << 9;

/** Address of a state image, which must be aligned or #GP(0) is raised, #AC or not. The limit is checked for `bytes`. */
export function imageAddress(
  unit: SystemUnit,
  instruction: Instruction,
  alignment: number,
  bytes: number,
  use: number,
  out: Int32Array,
): void {
  effectiveAddress(unit, instruction, 0, out);
  const low = out[0];
  const high = out[1];
  const segment = operandSegment(instruction, 0);
  linearAddress(unit, segment, low, high, 1, Use.address, out);
  if ((out[0] & (alignment - 1)) !== 0) throw guestFault(Exception.generalProtection, 0);
  linearAddress(unit, segment, low, high, bytes, use, out);
}

/** Bytes of the XMM registers that are saved: none if the operating system does not know them (CR4.OSFXSR). */
function xmmBytes(unit: SystemUnit): number {
  return (unit.context.cr4 & cr4Osfxsr) !== 0 ? componentSpan(Component.sse, in64BitMode(unit)) : 0;
}

function fxsave(isWide: boolean): Service {
  return (unit, instruction) => {
    requireFpu(unit);
    imageAddress(unit, instruction, 16, imageBytes, Use.write, address);
    const xmm = xmmBytes(unit);
    saveX87(unit, image, isWide);
    image[6] = unit.state.get('mxcsr');
    image[7] = unit.capabilities.mxcsr;
    saveComponent(unit, Component.sse, in64BitMode(unit), image, xmmOffset / 4);
    // What lies behind the registers is the program's own.
    const end = xmmOffset + xmm;
    probeBlock(unit, address[0], address[1], 0, end, true);
    if (xmm !== 0) storeBlock(unit, address[0], address[1], 0, end, image);
    else {
      storeBlock(unit, address[0], address[1], 0, x87HeadBytes, image);
      storeBlock(unit, address[0], address[1], x87RegistersOffset, x87RegistersBytes, image);
    }
  };
}

function fxrstor(isWide: boolean): Service {
  return (unit, instruction) => {
    requireFpu(unit);
    imageAddress(unit, instruction, 16, imageBytes, Use.read, address);
    const xmm = xmmBytes(unit);
    loadBlock(unit, address[0], address[1], 0, xmmOffset + xmm, image);
    if (xmm !== 0) {
      const mxcsr = image[mxcsrOffset / 4];
      if ((mxcsr & ~unit.capabilities.mxcsr) !== 0) throw guestFault(Exception.generalProtection, 0);
      unit.state.set('mxcsr', mxcsr);
      loadComponent(unit, Component.sse, in64BitMode(unit), image, xmmOffset / 4);
    }
    loadX87(unit, image, isWide);
  };
}

export const fxsaveServices: Services = {
  FXSAVE: fxsave(false),
  FXSAVE64: fxsave(true),
  FXRSTOR: fxrstor(false),
  FXRSTOR64: fxrstor(true),
};
