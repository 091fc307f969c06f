/** Snapshot of a UART; all registers as the data sheet names them. */
export interface Uart16550State {
  readonly version: 1;
  readonly divisor: number;
  readonly interruptEnable: number;
  readonly fifoEnabled: boolean;
  readonly receiverTrigger: number;
  readonly lineControl: number;
  readonly modemControl: number;
  readonly modemDeltas: number;
  readonly overrun: boolean;
  readonly scratch: number;
  readonly received: readonly number[];
  /** The transmitter-empty interrupt has not been read or written away. */
  readonly transmitterPending: boolean;
}
