// What an implementation of the port needs: VMX, SVM, or a tester's own.

export { Activity, Segment, stateOffset } from '../state/layout.ts';
export { writeSegmentCache } from '../state/segment-cache.ts';
export { type DeliveredEvent, DeliveryStage, type EventDelivery, EventType } from '../system/exceptions.ts';
export { GuestFault, guestFault, pageFault } from '../system/fault.ts';
export { readMsr, writeMsr } from '../system/msrs.ts';
export {
  effectiveAddress,
  in64BitMode,
  linearAddress,
  operandAddress,
  operandSegment,
  readLinear,
  readOperand,
  Use,
  writeLinear,
  writeOperand,
} from '../system/operands.ts';
export { TaskSwitchSource } from '../system/task-switch.ts';
export type { LinearMemory, SystemUnit } from '../system/unit.ts';
export { GuestControls, InterruptGate } from './controls.ts';
export { EventLatches, EventSource } from './events.ts';
export {
  Answer,
  type ApicAccess,
  InterruptAnswer,
  OwnInstruction,
  type RaisedException,
  type VirtualizationExtension,
  type VirtualizationUnit,
} from './extension.ts';
export { Intercept } from './intercept.ts';
export { ControlAccess, InterceptedInstruction } from './intercepted-instruction.ts';
export { OperandInformation } from './operand-information.ts';
