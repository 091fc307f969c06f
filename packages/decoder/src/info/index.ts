export {
  Access,
  ConditionCode,
  ControlFlow,
  ElementKind,
  Flag,
  Mode,
  Privilege,
  Trait,
} from './constants.ts';
export { flagsCleared, flagsModified, flagsRead, flagsSet, flagsUndefined, flagsWritten } from './flags.ts';
export { InstructionInfo } from './instruction-info.ts';
export { MemoryElement, memoryElement } from './operand-info.ts';
export { accessTo, fullRegister, overlap } from './overlap.ts';
export {
  conditionCode,
  controlFlow,
  cpuidFeatures,
  endsBlock,
  exceptionClass,
  isLockable,
  isPrivileged,
  isString,
  modes,
  privilege,
  traits,
} from './properties.ts';
export { readInfo } from './read-info.ts';
export {
  fpuIsConditional,
  fpuTopIncrement,
  fpuWritesTop,
  isStackInstruction,
  stackPointerIncrement,
} from './stack.ts';
