export { type PortHandler, PortMap } from './port-map.ts';
export { type ByteSink, type InterruptLine, Uart16550, type Uart16550Ports } from './uart16550/device.ts';
export type { Uart16550State } from './uart16550/state.ts';
