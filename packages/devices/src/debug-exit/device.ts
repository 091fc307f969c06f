import type { PortHandler } from '../port-map.ts';

/** isa-debug-exit: whatever a guest writes ends it. Usually at F4h, four ports. */
export class DebugExit implements PortHandler {
  /** @param exit is given the status of the process, 1 to 255: 2 × value + 1 */
  constructor(private readonly exit: (code: number) => void) {}

  read(): number {
    return 0;
  }

  write(_offset: number, _bytes: number, value: number): void {
    this.exit(((value << 1) | 1) & 0xff);
  }
}
