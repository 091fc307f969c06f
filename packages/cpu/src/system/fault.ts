/** Vectors that are no exception of the guest: ways out of the middle of something. Nothing has changed then, as with an exception. */
export const Unwind = {
  /** The engine cannot go on; `problem` says why. */
  problem: -1,
  /** The extension wants the guest to be left. */
  exit: -2,
  /** The instruction must be executed alone, so that something can be looked at right behind it. */
  alone: -3,
} as const;

/** An exception that an instruction raises while TypeScript executes it. One object serves all: it is thrown, read and forgotten. */
export class GuestFault {
  vector = 0;
  /** -1: the exception has none. */
  errorCode = -1;
  /** Linear address, for page faults; for #DB bits of DR6. */
  addressLow = 0;
  addressHigh = 0;
}

const fault: GuestFault = new GuestFault();

/** The exception, to be thrown. @param errorCode -1 for none */
export function guestFault(vector: number, errorCode = -1): GuestFault {
  fault.vector = vector;
  fault.errorCode = errorCode;
  fault.addressLow = 0;
  fault.addressHigh = 0;
  return fault;
}

/** #DB, with what goes into DR6. */
export function debugFault(bits: number): GuestFault {
  guestFault(1).addressLow = bits;
  return fault;
}

export function pageFault(errorCode: number, addressLow: number, addressHigh: number): GuestFault {
  guestFault(14, errorCode);
  fault.addressLow = addressLow;
  fault.addressHigh = addressHigh;
  return fault;
}
