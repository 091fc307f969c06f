import { SnapshotMismatchError } from '../snapshot-mismatch.ts';
import { requireVersion } from '../snapshot-version.ts';
import type { ByteSink } from '../uart16550/device.ts';
import type { Chain } from './chain.ts';
import { Outcome, type VirtioDevice, type VirtioHost } from './device.ts';
import { DeviceId } from './registers.ts';
import type { VirtioDeviceState } from './state.ts';

export interface VirtioConsoleInit {
  readonly output: ByteSink;
  /** Characters of the terminal. Default 80 by 25. */
  readonly columns?: number;
  readonly rows?: number;
}

/** Feature bits (virtio 1.2, 5.3.3). */
const ConsoleFeature = { size: 1 << 0, emergencyWrite: 1 << 2 } as const;
/** Configuration space (5.3.4). */
const ConsoleConfig = { columns: 0, rows: 2, ports: 4, emergencyWrite: 8, end: 12 } as const;

const receiveQueue = 0;
/** Bytes that wait for the guest at most. */
const receiveLimit = 4096;
const chunk = 4096;
/** Bytes of one buffer to send; a longer one is no driver's. */
const sendLimit = 1024 * 1024;

/** A console with one port (virtio 1.2, 5.3). */
export class VirtioConsole implements VirtioDevice {
  readonly type: number = DeviceId.console;
  readonly pciClass: number = 0x078000;
  readonly features: number = ConsoleFeature.size | ConsoleFeature.emergencyWrite;
  readonly queueSizes: readonly number[] = [128, 128];
  readonly config: Uint8Array = new Uint8Array(ConsoleConfig.end);
  private readonly view = new DataView(this.config.buffer);
  private readonly output: ByteSink;
  private readonly scratch = new Uint8Array(chunk);
  private received: number[] = [];
  private host: VirtioHost | undefined;

  constructor({ output, columns = 80, rows = 25 }: VirtioConsoleInit) {
    this.output = output;
    this.view.setUint16(ConsoleConfig.columns, columns, true);
    this.view.setUint16(ConsoleConfig.rows, rows, true);
    this.view.setUint32(ConsoleConfig.ports, 1, true);
  }

  /** Whether another byte can be received without losing one. */
  get hasRoom(): boolean {
    return this.received.length < receiveLimit;
  }

  /** Bytes arrive from outside. What has no room is lost: see {@link VirtioConsole.hasRoom}. */
  receive(bytes: ArrayLike<number>): void {
    for (let i = 0; i < bytes.length && this.hasRoom; i++) this.received.push(bytes[i] & 0xff);
    this.host?.run(receiveQueue);
  }

  /** The terminal has another size. */
  resize(columns: number, rows: number): void {
    this.view.setUint16(ConsoleConfig.columns, columns, true);
    this.view.setUint16(ConsoleConfig.rows, rows, true);
    this.host?.configChanged();
  }

  attach(host: VirtioHost): void {
    this.host = host;
  }

  process(queue: number, chain: Chain): number {
    return queue === receiveQueue ? this.fill(chain) : this.send(chain);
  }

  writeConfig(offset: number, _size: number, value: number): void {
    if (offset === ConsoleConfig.emergencyWrite) this.output.write(value & 0xff);
  }

  /** Bytes on their way to the guest stay: they are not the driver's. */
  reset(): void {}

  save(): VirtioDeviceState {
    return { version: 1, type: this.type, config: [...this.config], received: [...this.received] };
  }

  /** @throws SnapshotVersionError, SnapshotMismatchError */
  restore(state: VirtioDeviceState): void {
    requireVersion('a virtio console', state, 1);
    if (state.type !== this.type)
      throw new SnapshotMismatchError('virtio console: the snapshot is of another device');
    this.config.set(state.config);
    this.received = [...(state.received ?? [])];
  }

  private fill(chain: Chain): number {
    if (this.received.length === 0) return Outcome.held;
    const bytes = Uint8Array.from(this.received.slice(0, chain.writableLength));
    if (!chain.write(0, bytes)) return Outcome.broken;
    this.received = this.received.slice(bytes.length);
    return bytes.length;
  }

  private send(chain: Chain): number {
    const length = chain.readableLength;
    if (length > sendLimit) return Outcome.broken;
    for (let done = 0; done < length; ) {
      const part = this.scratch.subarray(0, Math.min(chunk, length - done));
      if (!chain.read(done, part)) return Outcome.broken;
      for (const byte of part) this.output.write(byte);
      done += part.length;
    }
    return 0;
  }
}
