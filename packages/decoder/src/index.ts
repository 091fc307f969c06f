export { decode, decodeFetched, type FetchCode, maximumLength } from './decode.ts';
export { DecodeStatus, EncodingSpace, Instruction, Prefix } from './instruction.ts';
export {
  memoryBase,
  memoryIndex,
  memorySegment,
  OperandKind,
  operandCount,
  operandFollowing,
  operandImmediate,
  operandImmediateHigh,
  operandImmediateSize,
  operandIsAddress,
  operandKind,
  operandMemorySize,
  operandRegister,
} from './operands.ts';
export { type DecoderFeature, DecoderOptions, type DecoderOptionsInit } from './options.ts';
export {
  noRegister,
  type Register,
  RegisterClass,
  register,
  registerByName,
  registerClass,
  registerName,
  registerNumber,
  registerSize,
} from './registers.ts';
