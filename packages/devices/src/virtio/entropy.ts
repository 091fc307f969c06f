import { SnapshotMismatchError } from '../snapshot-mismatch.ts';
import { requireVersion } from '../snapshot-version.ts';
import type { Chain } from './chain.ts';
import { Outcome, type VirtioDevice } from './device.ts';
import { DeviceId } from './registers.ts';
import type { VirtioDeviceState } from './state.ts';

/** Random bytes: seeded for a machine that repeats itself, the host's else. */
export interface RandomSource {
  fill(target: Uint8Array): void;
  /** Of one that repeats itself. */
  save?(): readonly number[];
  restore?(state: readonly number[]): void;
}

/** Bytes for one buffer; the driver hears how many it got (virtio 1.2, 5.4.6). */
const fillLimit = 4096;

/** An entropy device (virtio 1.2, 5.4). */
export class VirtioEntropy implements VirtioDevice {
  readonly type: number = DeviceId.entropy;
  readonly pciClass: number = 0x00ff00;
  readonly features: number = 0;
  readonly queueSizes: readonly number[] = [64];
  readonly config: Uint8Array = new Uint8Array(0);
  private readonly scratch = new Uint8Array(fillLimit);

  constructor(private readonly source: RandomSource) {}

  attach(): void {}

  process(_queue: number, chain: Chain): number {
    const part = this.scratch.subarray(0, Math.min(fillLimit, chain.writableLength));
    this.source.fill(part);
    return chain.write(0, part) ? part.length : Outcome.broken;
  }

  reset(): void {}

  save(): VirtioDeviceState {
    const random = this.source.save?.();
    return { version: 1, type: this.type, config: [], ...(random === undefined ? {} : { random }) };
  }

  /** @throws SnapshotVersionError, SnapshotMismatchError */
  restore(state: VirtioDeviceState): void {
    requireVersion('a virtio entropy device', state, 1);
    if (state.type !== this.type)
      throw new SnapshotMismatchError('virtio entropy device: the snapshot is of another device');
    if (state.random !== undefined) this.source.restore?.(state.random);
  }
}
