/** Register offsets of a 16550 (National Semiconductor PC16550D data sheet, table II). Offsets 0 and 1 are the divisor while DLAB is 1. */
export const Register = {
  /** Read: receiver buffer. Write: transmitter holding. */
  data: 0,
  interruptEnable: 1,
  /** Read: interrupt identification. Write: FIFO control. */
  identification: 2,
  lineControl: 3,
  modemControl: 4,
  lineStatus: 5,
  modemStatus: 6,
  scratch: 7,
} as const;

export const InterruptEnable = { received: 1, transmitterEmpty: 2, lineStatus: 4, modemStatus: 8 } as const;

/** Values of the identification register, bits 3:0; 1 means that nothing waits. */
export const Identification = {
  modemStatus: 0,
  none: 1,
  transmitterEmpty: 2,
  received: 4,
  lineStatus: 6,
  timeout: 12,
  /** Both FIFOs are on. */
  fifos: 0xc0,
} as const;

export const FifoControl = { enable: 1, clearReceiver: 2, clearTransmitter: 4 } as const;

export const LineControl = { divisorLatch: 0x80 } as const;

export const ModemControl = { dtr: 1, rts: 2, out1: 4, out2: 8, loop: 16 } as const;

export const LineStatus = {
  dataReady: 1,
  overrun: 2,
  parity: 4,
  framing: 8,
  break: 16,
  holdingEmpty: 32,
  transmitterEmpty: 64,
} as const;

export const ModemStatus = { cts: 0x10, dsr: 0x20, ri: 0x40, dcd: 0x80 } as const;
