import type { Clock, Timer } from '../clock.ts';
import { SnapshotMismatchError } from '../snapshot-mismatch.ts';
import { Chain } from './chain.ts';
import { Outcome, type VirtioDevice, type VirtioHost } from './device.ts';
import type { GuestMemory } from './guest-memory.ts';
import { Fetch, SplitQueue } from './queue.ts';
import { DeviceStatus, Feature, HighFeature } from './registers.ts';
import type { CoreState } from './state.ts';

/** What every virtio device is made of, whatever its transport. */
export interface VirtioInit {
  readonly device: VirtioDevice;
  readonly memory: GuestMemory;
  /** For work that is too much for one notification. */
  readonly clock: Clock;
}

interface Transport {
  /** Whether the device may reach memory. */
  readonly isBusMaster: boolean;
  queueInterrupt(queue: SplitQueue): void;
  configInterrupt(): void;
}

/** Bytes that one notification moves. What is left goes on by timer, so that no guest holds its own processors up for long. */
const budget = 4 * 1024 * 1024;
/** Each chain counts as at least so many bytes. */
const chainCost = 64;
/** Guest time that moved bytes take once the budget is spent: 1 GB/s. */
const nanosecondsPerByte = 1;

/** Negotiation, status and queues (virtio 1.2, 2 and 3): what both transports show in their own registers. */
export class VirtioCore implements VirtioHost {
  readonly queues: readonly SplitQueue[];
  status = 0;
  configGeneration = 0;
  private readonly device: VirtioDevice;
  private readonly clock: Clock;
  private readonly chains: readonly Chain[];
  private readonly timer: Timer;
  private driverFeatures = 0;
  private driverFeaturesHigh = 0;
  private postponed: number[] = [];
  private resumeAt = 0;

  constructor(
    { device, memory, clock }: VirtioInit,
    private readonly transport: Transport,
  ) {
    this.device = device;
    this.clock = clock;
    this.queues = device.queueSizes.map((limit) => new SplitQueue(memory, limit));
    // A chain may be direct up to an indirect table, which may have as many again.
    this.chains = device.queueSizes.map((limit) => new Chain(memory, 2 * limit));
    this.timer = clock.timer(() => this.resume());
    device.attach(this);
  }

  /** Words of 32 feature bits that the device offers. */
  offered(word: number): number {
    if (word === 0) return this.device.features | Feature.indirectDescriptors | Feature.eventIndex;
    return word === 1 ? HighFeature.version1 : 0;
  }

  accepted(word: number): number {
    return word === 0 ? this.driverFeatures : word === 1 ? this.driverFeaturesHigh : 0;
  }

  /** Takes the driver's features, until it has said FEATURES_OK. */
  accept(word: number, features: number): void {
    if ((this.status & DeviceStatus.featuresOk) !== 0) return;
    if (word === 0) this.driverFeatures = features | 0;
    else if (word === 1) this.driverFeaturesHigh = features | 0;
  }

  /** The driver adds bits to the status, FEATURES_OK only if its features are acceptable (3.1.1). Writing 0, a reset, is the transport's. */
  setStatus(value: number): void {
    value &= 0xff & ~DeviceStatus.needsReset;
    if (!this.areFeaturesAcceptable()) value &= ~(DeviceStatus.featuresOk & ~this.status);
    const wasLive = this.isLive;
    this.status |= value;
    if (!wasLive) this.runAll();
  }

  /** Puts a queue to use, if its rings are where memory can be. */
  enable(queue: SplitQueue): void {
    if (queue.isEnabled) return;
    queue.isEnabled = true;
    if (!queue.isReachable) this.fail();
  }

  /** The driver notifies a queue, or the device itself does. */
  run(index: number): void {
    const queue = this.queues[index];
    if (queue === undefined || !queue.isEnabled || !this.isLive || this.postponed.includes(index)) return;
    const eventIndex = (this.driverFeatures & Feature.eventIndex) !== 0;
    const moved = this.drain(queue, index);
    if (moved < 0 || (eventIndex && !queue.requestNotification())) {
      this.fail();
      return;
    }
    if (queue.wantsInterrupt(eventIndex)) this.transport.queueInterrupt(queue);
    if (moved > 0 && queue.hasWork) this.postpone(index, moved);
  }

  /** Looks at every queue: the device may have been kept from it. */
  runAll(): void {
    for (let index = 0; index < this.queues.length; index++) this.run(index);
  }

  configChanged(): void {
    this.configGeneration = (this.configGeneration + 1) & 0xff;
    if ((this.status & DeviceStatus.driverOk) !== 0) this.transport.configInterrupt();
  }

  readConfig(offset: number, size: number): number {
    const { config } = this.device;
    let value = 0;
    for (let i = 0; i < size; i++) value |= (config[offset + i] ?? 0) << (8 * i);
    return value;
  }

  writeConfig(offset: number, size: number, value: number): void {
    if (offset + size <= this.device.config.length) this.device.writeConfig?.(offset, size, value);
  }

  reset(): void {
    this.status = 0;
    this.driverFeatures = this.driverFeaturesHigh = 0;
    this.configGeneration = 0;
    this.postponed = [];
    this.timer.clear();
    for (const queue of this.queues) queue.reset();
    this.device.reset();
  }

  save(): CoreState {
    const { status, driverFeatures, driverFeaturesHigh, configGeneration, queues, postponed, resumeAt } =
      this;
    return {
      status,
      driverFeatures,
      driverFeaturesHigh,
      configGeneration,
      queues: queues.map((queue) => queue.save()),
      postponed: [...postponed],
      resumeAt,
    };
  }

  /** @throws SnapshotMismatchError */
  restore(state: CoreState): void {
    if (state.queues.length !== this.queues.length)
      throw new SnapshotMismatchError(
        `virtio: ${state.queues.length} queues, ${this.queues.length} are here`,
      );
    this.status = state.status;
    this.driverFeatures = state.driverFeatures;
    this.driverFeaturesHigh = state.driverFeaturesHigh;
    this.configGeneration = state.configGeneration;
    for (const [index, queue] of this.queues.entries()) queue.restore(state.queues[index]);
    this.postponed = [...state.postponed];
    this.resumeAt = state.resumeAt;
    if (this.postponed.length > 0) this.timer.set(this.resumeAt);
    else this.timer.clear();
  }

  /**
   * Serves chains until none is left or the device holds one (0), or one notification has had its share: as many chains as the queue
   * has entries, or the budget.
   * @returns bytes moved if there may be more; 0 if not; below 0 if the rings are broken
   */
  private drain(queue: SplitQueue, index: number): number {
    const { device } = this;
    const chain = this.chains[index];
    const indirect = (this.driverFeatures & Feature.indirectDescriptors) !== 0;
    let moved = 0;
    for (let left = queue.size; left > 0 && moved < budget; left--) {
      const found = queue.fetch(chain, indirect);
      if (found === Fetch.none) return 0;
      if (found === Fetch.broken) return -1;
      const written = device.process(index, chain);
      if (written === Outcome.held) return 0;
      if (written < 0 || !queue.complete(chain, written)) return -1;
      moved += chainCost + chain.readableLength + written;
    }
    return moved;
  }

  private get isLive(): boolean {
    const live = DeviceStatus.driverOk | DeviceStatus.featuresOk;
    return (this.status & (live | DeviceStatus.needsReset)) === live && this.transport.isBusMaster;
  }

  private areFeaturesAcceptable(): boolean {
    return (this.driverFeatures & ~this.offered(0)) === 0 && this.driverFeaturesHigh === HighFeature.version1;
  }

  /** The driver did what none may: nothing more is done until it resets the device (2.1.2). */
  private fail(): void {
    this.status |= DeviceStatus.needsReset;
    if ((this.status & DeviceStatus.driverOk) !== 0) this.transport.configInterrupt();
  }

  private postpone(index: number, moved: number): void {
    this.postponed.push(index);
    if (this.postponed.length > 1) return;
    this.resumeAt = this.clock.now + moved * nanosecondsPerByte;
    this.timer.set(this.resumeAt);
  }

  private resume(): void {
    const { postponed } = this;
    this.postponed = [];
    for (const index of postponed) this.run(index);
  }
}
