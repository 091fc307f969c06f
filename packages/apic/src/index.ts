export type { Clock, Timer, TscTime } from './clock.ts';
export { DeliveryMode, type MessageSink } from './delivery.ts';
export { type EndOfInterruptListener, InterruptFabric } from './fabric.ts';
export type { InterruptLine } from './interrupt-line.ts';
export { IoApic, type IoApicParts } from './io-apic/io-apic.ts';
export type { IoApicState } from './io-apic/state.ts';
export { LocalApic, LocalSource } from './local-apic/local-apic.ts';
export type {
  ApicBus,
  ApicFeatures,
  ApicTarget,
  ExternalInterrupts,
  LocalApicParts,
} from './local-apic/parts.ts';
export type { ApicTimerState, LocalApicState } from './local-apic/state.ts';
export { type ApicPage, RegisterPage } from './page.ts';
export {
  beginService,
  clearVector,
  hasVector,
  highestVector,
  isAbove,
  processorPriority,
  requestVector,
  setVector,
  updateProcessorPriority,
} from './priority.ts';
export { Register as ApicRegister } from './registers.ts';
export { ApicSnapshotError } from './snapshot.ts';
