import type { MsixState, PciFunctionState } from '../pci/state.ts';
import type { OverlayState } from './block-store.ts';

/** Snapshot of a virtqueue. */
export interface QueueState {
  readonly size: number;
  readonly isEnabled: boolean;
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
  readonly vector: number;
  readonly nextAvailable: number;
  readonly nextUsed: number;
  readonly announced: number;
}

/** Snapshot of what all virtio devices share. */
export interface CoreState {
  readonly status: number;
  readonly driverFeatures: number;
  readonly driverFeaturesHigh: number;
  readonly configGeneration: number;
  readonly queues: readonly QueueState[];
  /** Queues whose work goes on at `resumeAt`, in nanoseconds. */
  readonly postponed: readonly number[];
  readonly resumeAt: number;
}

/** Snapshot of a device behind its transport. */
export interface VirtioDeviceState {
  readonly version: 1;
  /** Device type, as the transport names it. */
  readonly type: number;
  /** Configuration space. */
  readonly config: readonly number[];
  /** Console: bytes that wait for the guest. */
  readonly received?: readonly number[];
  /** Disk: what was written, if the store keeps that in memory. */
  readonly overlay?: OverlayState;
  /** Entropy: state of a generator that repeats itself. */
  readonly random?: readonly number[];
}

/** Snapshot of a virtio device and its PCI function. */
export interface VirtioPciState {
  readonly version: 1;
  readonly core: CoreState;
  readonly device: VirtioDeviceState;
  readonly pciFunction: PciFunctionState;
  readonly msix: MsixState;
  readonly isr: number;
  readonly configVector: number;
  readonly featureSelect: number;
  readonly driverFeatureSelect: number;
  readonly queueSelect: number;
}

/** Snapshot of a virtio device and its memory-mapped transport. */
export interface VirtioMmioState {
  readonly version: 1;
  readonly core: CoreState;
  readonly device: VirtioDeviceState;
  readonly isr: number;
  readonly featureSelect: number;
  readonly driverFeatureSelect: number;
  readonly queueSelect: number;
}
