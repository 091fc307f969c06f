import type { BytePorts } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import type { ByteSink } from '../uart16550/device.ts';
import type { PostCodeState } from './state.ts';

/** Port 80h: firmware writes its progress there, and operating systems write to wait a moment. */
export class PostCode implements BytePorts {
  /** The last code, 0 to 255. */
  value = 0;

  read(): number {
    return this.value;
  }

  write(_offset: number, value: number): void {
    this.value = value & 0xff;
  }

  reset(): void {
    this.value = 0;
  }

  save(): PostCodeState {
    return { version: 1, value: this.value };
  }

  /** @throws SnapshotVersionError */
  restore(state: PostCodeState): void {
    requireVersion('port 80h', state, 1);
    this.value = state.value;
  }
}

/** What a debug console reads as: guests find it by that. */
const presence = 0xe9;

/** A port that prints: Bochs's and QEMU's at E9h, SeaBIOS's and OVMF's at 402h. */
export class DebugConsole implements BytePorts {
  constructor(private readonly output: ByteSink) {}

  read(): number {
    return presence;
  }

  write(_offset: number, value: number): void {
    this.output.write(value & 0xff);
  }
}
