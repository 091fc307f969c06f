import type { Instruction } from './instruction.ts';
import { Leaf as importedLeaf } from './leaf.ts';
import { RegisterClass as importedRegisterClass, register } from './registers.ts';

// Constants of this module, which an engine folds into the code; imported bindings it loads every time (measured: 5 % on Node 26).
const Leaf = importedLeaf;
const RegisterClass = importedRegisterClass;

// Base and index of 16-bit addressing by rm (SDM vol. 2, table 2-1).
const [bx, bp, si, di] = [3, 5, 6, 7].map((number) => register(RegisterClass.gpr16, number));
const bases16 = [bx, bx, bp, bp, si, di, bp, bx];
const indexes16 = [si, di, si, di, 0, 0, 0, 0];
const vectorClasses = [0, RegisterClass.xmm, RegisterClass.ymm, RegisterClass.zmm];

/**
 * Reads SIB and displacement of the memory operand whose ModRM byte stands at `position - 1`. `x` and `b` are the extension bits
 * in their places (8 and 16).
 *
 * @returns the position behind them
 */
export function readModrm(
  bytes: Uint8Array,
  start: number,
  position: number,
  out: Instruction,
  r: number,
  x: number,
  b: number,
  leaf: number,
): number {
  const modrm = bytes[position - 1];
  const mod = modrm >> 6;
  let rm = modrm & 7;
  out.reg = ((modrm >> 3) & 7) | r;
  if (mod === 3) {
    out.rm = rm | b;
    return position;
  }
  let size = mod === 1 ? 1 : 0;
  if (out.addressSize === 16) {
    if (mod === 2 || (mod === 0 && rm === 6)) size = 2;
    if (mod !== 0 || rm !== 6) {
      out.base = bases16[rm];
      out.index = indexes16[rm];
    }
  } else {
    const registers = (out.addressSize === 64 ? RegisterClass.gpr64 : RegisterClass.gpr32) << 5;
    if (mod === 2) size = 4;
    if (rm === 4) {
      const sib = bytes[position++];
      out.sib = sib;
      rm = sib & 7;
      const vectorClass = (leaf >> Leaf.vectorIndexShift) & 3;
      const index = ((sib >> 3) & 7) | x;
      if (vectorClass !== 0) {
        // V' extends the index (SDM vol. 2, table 2-34).
        out.index = (vectorClasses[vectorClass] << 5) | index | (out.vvvv & 16);
      } else if (index !== 4) out.index = registers | index;
      out.scale = sib >> 6;
      if (rm === 5 && mod === 0) size = 4;
      else out.base = registers | rm | b;
    } else if (rm === 5 && mod === 0) {
      size = 4;
      if (out.mode === 64)
        out.base = (RegisterClass.instructionPointer << 5) | (out.addressSize === 64 ? 2 : 1);
    } else out.base = registers | rm | b;
  }
  if (size === 0) return position;
  out.displacementOffset = position - start;
  out.displacementSize = size;
  if (size === 1) {
    const shift = out.broadcast !== 0 ? (leaf >> Leaf.broadcastShift) & 3 : (leaf >> Leaf.disp8Shift) & 7;
    out.displacement = (bytes[position] << 24) >> (24 - shift);
  } else if (size === 2) {
    out.displacement = ((bytes[position] | (bytes[position + 1] << 8)) << 16) >> 16;
  } else {
    out.displacement =
      bytes[position] |
      (bytes[position + 1] << 8) |
      (bytes[position + 2] << 16) |
      (bytes[position + 3] << 24);
  }
  out.displacementHigh = out.displacement >> 31;
  return position + size;
}
