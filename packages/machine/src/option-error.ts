/** An option of a machine that is wrong; the message says what is allowed. */
export class MachineOptionError extends RangeError {
  override readonly name: string = 'MachineOptionError';
}
