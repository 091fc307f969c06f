/** What answers at I/O ports. `offset` counts from the range's first port; sizes are 1, 2 and 4 bytes. */
export interface PortHandler {
  read(offset: number, bytes: number): number;
  write(offset: number, bytes: number, value: number): void;
}

/** The 65,536 I/O ports. Where nothing answers, reads give ones and writes are dropped. */
export class PortMap {
  private readonly handlers: (PortHandler | undefined)[] = [];
  private readonly bases: number[] = [];

  /** @throws RangeError if the range leaves the port space or overlaps another */
  add(first: number, count: number, handler: PortHandler): void {
    if (
      !Number.isInteger(first) ||
      !Number.isInteger(count) ||
      first < 0 ||
      count < 1 ||
      first + count > 65536
    )
      throw new RangeError(`ports ${first} to ${first + count - 1}: 0 to 65535 are allowed`);
    for (let port = first; port < first + count; port++)
      if (this.handlers[port] !== undefined)
        throw new RangeError(`port 0x${port.toString(16)} is taken already`);
    for (let port = first; port < first + count; port++) {
      this.handlers[port] = handler;
      this.bases[port] = first;
    }
  }

  read(port: number, bytes: number): number {
    const handler = this.handlers[port];
    return handler === undefined ? -1 : handler.read(port - this.bases[port], bytes);
  }

  write(port: number, bytes: number, value: number): void {
    this.handlers[port]?.write(port - this.bases[port], bytes, value);
  }
}
