/** An exception that an instruction raises while TypeScript executes it. One object serves all: it is thrown, read and forgotten. */
export class GuestFault {
  vector = 0;
  /** -1: the exception has none. */
  errorCode = -1;
  /** Linear address, for page faults. */
  addressLow = 0;
  addressHigh = 0;
}

const fault: GuestFault = new GuestFault();

/** The exception, to be thrown. @param errorCode -1 for none */
export function guestFault(vector: number, errorCode = -1): GuestFault {
  fault.vector = vector;
  fault.errorCode = errorCode;
  return fault;
}

export function pageFault(errorCode: number, addressLow: number, addressHigh: number): GuestFault {
  fault.addressLow = addressLow;
  fault.addressHigh = addressHigh;
  return guestFault(14, errorCode);
}
