/** What answers at I/O ports. `offset` counts from the range's first port; sizes are 1, 2 and 4 bytes. */
export interface PortHandler {
  read(offset: number, bytes: number): number;
  write(offset: number, bytes: number, value: number): void;
}

/** A device of the ISA bus: its ports are a byte wide. */
export interface BytePorts {
  read(offset: number): number;
  write(offset: number, value: number): void;
}

/** The 65,536 I/O ports. Where nothing answers, reads give ones and writes are dropped. */
export class PortMap {
  private readonly handlers: (PortHandler | undefined)[] = [];
  private readonly bases: number[] = [];
  private readonly isByte = new Uint8Array(65536);

  /** @returns what takes it out again @throws RangeError if the range leaves the port space or overlaps another */
  add(first: number, count: number, handler: PortHandler): { remove(): void } {
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
    return {
      remove: () => {
        for (let port = first; port < first + count; port++)
          if (this.handlers[port] === handler) this.handlers[port] = undefined;
      },
    };
  }

  /** Whether nothing answers at any port of a range. */
  isFree(first: number, count: number): boolean {
    for (let port = first; port < first + count; port++) if (this.handlers[port] !== undefined) return false;
    return true;
  }

  /**
   * Wider accesses come to it as bytes at successive ports, low byte first, as the bus divides them; those beyond its last port go to
   * whoever answers there.
   * @throws RangeError as {@link add}
   */
  addBytes(first: number, count: number, device: BytePorts): void {
    this.add(first, count, {
      read: (offset) => device.read(offset),
      write: (offset, _bytes, value) => device.write(offset, value & 0xff),
    });
    this.isByte.fill(1, first, first + count);
  }

  read(port: number, bytes: number): number {
    const handler = this.handlers[port];
    if (handler === undefined) return -1;
    if (bytes === 1 || this.isByte[port] === 0) return handler.read(port - this.bases[port], bytes);
    let value = 0;
    for (let i = 0; i < bytes; i++) value |= (this.read((port + i) & 0xffff, 1) & 0xff) << (8 * i);
    return value;
  }

  write(port: number, bytes: number, value: number): void {
    const handler = this.handlers[port];
    if (handler === undefined) return;
    if (bytes === 1 || this.isByte[port] === 0) handler.write(port - this.bases[port], bytes, value);
    else for (let i = 0; i < bytes; i++) this.write((port + i) & 0xffff, 1, (value >>> (8 * i)) & 0xff);
  }
}
