import { operandImmediate } from '@nest86/decoder';
import { Stack } from './stack.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

/* PUSHA, POPA and ENTER: many pushes or pops that happen together or not at all (SDM vol. 1, 6.5; vol. 2). */

const rsp = 4;
const rbp = 5;
const stack = new Stack();
/** The caller's frame pointers, which ENTER copies. */
const frames = new Stack();
const values = new Int32Array(8);

/** Writes the low 16, 32 or 64 bits of a register; 16 leave the others alone, 32 clear the upper half. */
function setRegister(unit: SystemUnit, number: number, bits: number, low: number, high: number): void {
  const { state } = unit;
  if (bits === 16)
    state.setPair(
      'gpr',
      (state.low('gpr', number) & ~0xffff) | (low & 0xffff),
      state.high('gpr', number),
      number,
    );
  else state.setPair('gpr', low, bits === 64 ? high : 0, number);
}

/** PUSHA and PUSHAD: AX CX DX BX SP BP SI DI, with SP as it was. */
const pushAll: Service = (unit, instruction) => {
  const bytes = instruction.operandSize / 8;
  const { state } = unit;
  stack.current(unit).reserve(unit, 8, bytes);
  for (let i = 0; i < 8; i++) stack.push(unit, bytes, state.low('gpr', i), 0);
  stack.commit(unit);
};

/** POPA and POPAD: the image of SP is passed over. */
const popAll: Service = (unit, instruction) => {
  const { operandSize } = instruction;
  stack.current(unit);
  for (let i = 7; i >= 0; i--) {
    stack.pop(unit, operandSize / 8);
    values[i] = stack.valueLow;
  }
  for (let i = 0; i < 8; i++) if (i !== rsp) setRegister(unit, i, operandSize, values[i], 0);
  stack.commit(unit);
};

/**
 * ENTER: pushes RBP, copies `level - 1` frame pointers from the caller's frame, pushes the new frame pointer and makes room. It also checks
 * that the place the stack pointer comes to rest at can be written.
 */
const enter: Service = (unit, instruction) => {
  const { state } = unit;
  const bytes = instruction.operandSize / 8;
  const room = operandImmediate(instruction, 0);
  const level = operandImmediate(instruction, 1) & 31;
  stack.current(unit).reserve(unit, level === 0 ? 1 : level + 1, bytes);
  const startLow = stack.low;
  const startHigh = stack.high;
  stack.move(-bytes);
  const frameLow = stack.low;
  const frameHigh = stack.high;
  stack.move(-(level * bytes + room));
  stack.probe(unit, bytes);
  const endLow = stack.low;
  const endHigh = stack.high;

  frames.current(unit).setPointer(state.low('gpr', rbp), state.high('gpr', rbp));
  for (let i = 1; i < level; i++) {
    frames.move(-bytes);
    frames.read(unit, bytes);
  }

  stack.setPointer(startLow, startHigh);
  frames.setPointer(state.low('gpr', rbp), state.high('gpr', rbp));
  stack.push(unit, bytes, state.low('gpr', rbp), state.high('gpr', rbp));
  for (let i = 1; i < level; i++) {
    frames.move(-bytes);
    frames.read(unit, bytes);
    stack.push(unit, bytes, frames.valueLow, frames.valueHigh);
  }
  // The frame pointer is as wide as the operand, whatever the stack's width (so does the host, asked with a 66 prefix).
  const pointerLow = stack.bits === 16 ? (state.low('gpr', rsp) & ~0xffff) | frameLow : frameLow;
  if (level > 0) stack.push(unit, bytes, pointerLow, frameHigh);
  setRegister(unit, rbp, instruction.operandSize, pointerLow, frameHigh);
  stack.setPointer(endLow, endHigh);
  stack.commit(unit);
};

export const stackFrameServices: Services = {
  PUSHA: pushAll,
  PUSHAD: pushAll,
  POPA: popAll,
  POPAD: popAll,
  ENTER: enter,
};
