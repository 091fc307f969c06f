export type { Clock, Timer } from './clock.ts';
export type { InterruptLine } from './interrupt-line.ts';
export { type PortHandler, PortMap } from './port-map.ts';
export { type ByteSink, Uart16550, type Uart16550Ports } from './uart16550/device.ts';
export type { Uart16550State } from './uart16550/state.ts';
