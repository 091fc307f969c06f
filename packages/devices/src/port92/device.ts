import type { BytePorts } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import { Port92Bits } from './registers.ts';
import type { Port92State } from './state.ts';

export interface Port92Ports {
  /** The guest wants address line 20 to be passed (true) or held low. Called on changes. */
  a20?(isOpen: boolean): void;
  reset(): void;
}

/** Port 92h: fast A20 and fast reset. */
export class Port92 implements BytePorts {
  private value: number = Port92Bits.a20;

  constructor(private readonly ports: Port92Ports) {}

  read(): number {
    return this.value;
  }

  write(_offset: number, value: number): void {
    const before = this.value;
    this.value = value & (Port92Bits.fastReset | Port92Bits.a20);
    const changed = this.value ^ before;
    if ((changed & Port92Bits.a20) !== 0) this.ports.a20?.((this.value & Port92Bits.a20) !== 0);
    if ((changed & this.value & Port92Bits.fastReset) !== 0) this.ports.reset();
  }

  /** A20 is open, as machines without a gate have it. */
  reset(): void {
    this.write(0, Port92Bits.a20);
  }

  save(): Port92State {
    return { version: 1, value: this.value };
  }

  /** @throws SnapshotVersionError */
  restore(state: Port92State): void {
    requireVersion('port92', state, 1);
    this.value = state.value;
    this.ports.a20?.((this.value & Port92Bits.a20) !== 0);
  }
}
