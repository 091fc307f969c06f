import type { Chain } from './chain.ts';
import type { VirtioDeviceState } from './state.ts';

/** What `VirtioDevice.process` may answer instead of a number of bytes. */
export const Outcome = {
  /** The chain stays in the ring: nothing to do for it yet. */
  held: -1,
  /** No driver may send this: the device asks to be reset. */
  broken: -2,
} as const;

/** What a device may ask of its transport. */
export interface VirtioHost {
  /** Chains that were held may be looked at again. */
  run(queue: number): void;
  /** The configuration space has changed. */
  configChanged(): void;
}

/** A type of device (virtio 1.2, 5), free of transports and rings. */
export interface VirtioDevice {
  /** Device type (5). */
  readonly type: number;
  /** Class code of its PCI function. */
  readonly pciClass: number;
  /** Feature bits 0 to 23 that it offers. */
  readonly features: number;
  /** Most entries of each queue, powers of 2. */
  readonly queueSizes: readonly number[];
  /** Configuration space as the driver reads it. */
  readonly config: Uint8Array;
  attach(host: VirtioHost): void;
  /** Serves a chain. @returns bytes written from the start of its writable part, or an {@link Outcome} */
  process(queue: number, chain: Chain): number;
  writeConfig?(offset: number, size: number, value: number): void;
  reset(): void;
  save(): VirtioDeviceState;
  /** @throws SnapshotVersionError, SnapshotMismatchError */
  restore(state: VirtioDeviceState): void;
}
