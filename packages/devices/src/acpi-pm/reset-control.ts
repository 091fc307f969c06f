import type { BytePorts } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import { ResetControlBits } from './registers.ts';
import type { ResetControlState } from './state.ts';

/** The reset control register at CF9h, which the FADT names as reset register with value 6. */
export class ResetControl implements BytePorts {
  private value = 0;

  /** @param requested the guest asks for RESET */
  constructor(private readonly requested: () => void) {}

  read(): number {
    return this.value;
  }

  write(_offset: number, value: number): void {
    const before = this.value;
    this.value = value & (ResetControlBits.hard | ResetControlBits.cpu | ResetControlBits.full);
    if ((this.value & ~before & ResetControlBits.cpu) !== 0) this.requested();
  }

  reset(): void {
    this.value = 0;
  }

  save(): ResetControlState {
    return { version: 1, value: this.value };
  }

  /** @throws SnapshotVersionError */
  restore(state: ResetControlState): void {
    requireVersion('reset-control', state, 1);
    this.value = state.value;
  }
}
