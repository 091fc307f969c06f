import { SnapshotMismatchError } from '../snapshot-mismatch.ts';
import { requireVersion } from '../snapshot-version.ts';
import type { BlockStore } from './block-store.ts';
import type { Chain } from './chain.ts';
import { Outcome, type VirtioDevice } from './device.ts';
import { DeviceId } from './registers.ts';
import type { VirtioDeviceState } from './state.ts';

export interface VirtioBlockInit {
  readonly store: BlockStore;
  /** What GET_ID answers: up to 20 bytes of ASCII. Default: "nest86". */
  readonly serial?: string;
  /** Writes fail, and the driver is told so. */
  readonly readOnly?: boolean;
  /** Bytes of a logical block: a power of 2 from 512 to 4096. Default 512. */
  readonly blockSize?: number;
}

/** Feature bits (virtio 1.2, 5.2.3). */
const BlockFeature = {
  sizeMax: 1 << 1,
  segMax: 1 << 2,
  readOnly: 1 << 5,
  blockSize: 1 << 6,
  flush: 1 << 9,
  writeZeroes: 1 << 14,
} as const;

/** Configuration space (5.2.4). */
const BlockConfig = {
  capacity: 0,
  sizeMax: 8,
  segMax: 12,
  blockSize: 20,
  maxWriteZeroesSectors: 48,
  maxWriteZeroesSegments: 52,
  end: 60,
} as const;

/** Request types (5.2.6). */
const Request = { in: 0, out: 1, flush: 4, getId: 8, writeZeroes: 13 } as const;
/** Flag of a WRITE_ZEROES segment. */
const mayUnmap = 1;
const RequestStatus = { ok: 0, ioError: 1, unsupported: 2 } as const;

const sector = 512;
const headerSize = 16;
const idSize = 20;
const queueSize = 256;
/** Header and status need two of the queue's descriptors. */
const segmentLimit = 254;
const segmentSize = 65536;
/** Bytes of one request: what the two limits above allow a driver. Beyond, it is an I/O error. */
const requestLimit: number = segmentLimit * segmentSize;
const chunk = 65536;
/** Bytes that one request may set to zero: no data passes that would count as work. */
const zeroesLimit: number = 1024 * 1024;

/** A disk (virtio 1.2, 5.2) with one queue. */
export class VirtioBlock implements VirtioDevice {
  readonly type: number = DeviceId.block;
  readonly pciClass: number = 0x010000;
  readonly features: number;
  readonly queueSizes: readonly number[] = [queueSize];
  readonly config: Uint8Array = new Uint8Array(BlockConfig.end);
  private readonly store: BlockStore;
  private readonly id = new Uint8Array(idSize);
  private readonly isReadOnly: boolean;
  private readonly scratch = new Uint8Array(chunk);
  private readonly header = new Uint8Array(headerSize);
  private readonly headerView = new DataView(this.header.buffer);
  private readonly statusByte = new Uint8Array(1);
  /** Bytes of data that the request in hand has written to the guest. */
  private delivered = 0;

  /** @throws RangeError for sizes that no driver could use */
  constructor({ store, serial = 'nest86', readOnly = false, blockSize = sector }: VirtioBlockInit) {
    if (![512, 1024, 2048, 4096].includes(blockSize))
      throw new RangeError(`block size ${blockSize}: 512, 1024, 2048 or 4096 is allowed`);
    if (!Number.isSafeInteger(store.size) || store.size < 0 || store.size % blockSize !== 0)
      throw new RangeError(`disk of ${store.size} bytes: a multiple of ${blockSize} is needed`);
    this.store = store;
    this.isReadOnly = readOnly;
    for (let i = 0; i < Math.min(serial.length, idSize); i++) this.id[i] = serial.charCodeAt(i);
    this.features =
      BlockFeature.sizeMax |
      BlockFeature.segMax |
      BlockFeature.blockSize |
      BlockFeature.flush |
      (readOnly ? BlockFeature.readOnly : BlockFeature.writeZeroes);
    const view = new DataView(this.config.buffer);
    const sectors = store.size / sector;
    view.setUint32(BlockConfig.capacity, sectors % 0x1_0000_0000, true);
    view.setUint32(BlockConfig.capacity + 4, Math.floor(sectors / 0x1_0000_0000), true);
    view.setUint32(BlockConfig.sizeMax, segmentSize, true);
    view.setUint32(BlockConfig.segMax, segmentLimit, true);
    view.setUint32(BlockConfig.blockSize, blockSize, true);
    if (!readOnly) {
      view.setUint32(BlockConfig.maxWriteZeroesSectors, zeroesLimit / sector, true);
      view.setUint32(BlockConfig.maxWriteZeroesSegments, 1, true);
    }
  }

  attach(): void {}

  process(_queue: number, chain: Chain): number {
    if (chain.readableLength < headerSize || chain.writableLength < 1) return Outcome.broken;
    if (!chain.read(0, this.header)) return Outcome.broken;
    this.delivered = 0;
    let status: number;
    try {
      status = this.serve(chain);
    } catch {
      // The store failed: the guest's request does, and nothing else.
      status = RequestStatus.ioError;
    }
    if (status < 0) return Outcome.broken;
    this.statusByte[0] = status;
    // The status is the last byte, whatever was filled before it.
    if (!chain.write(chain.writableLength - 1, this.statusByte)) return Outcome.broken;
    return this.delivered + 1 === chain.writableLength ? chain.writableLength : this.delivered;
  }

  reset(): void {}

  save(): VirtioDeviceState {
    const overlay = this.store.save?.();
    return {
      version: 1,
      type: this.type,
      config: [...this.config],
      ...(overlay === undefined ? {} : { overlay }),
    };
  }

  /** Without an overlay the disk's content is its owner's. @throws SnapshotVersionError, SnapshotMismatchError */
  restore(state: VirtioDeviceState): void {
    requireVersion('a virtio block device', state, 1);
    if (state.type !== this.type || state.config.some((byte, i) => byte !== this.config[i]))
      throw new SnapshotMismatchError(
        'virtio block device: the snapshot is of a device of other size or kind',
      );
    const { store } = this;
    if ((state.overlay === undefined) !== (store.save === undefined))
      throw new SnapshotMismatchError(
        `virtio block device: the snapshot is of a disk ${state.overlay === undefined ? 'without' : 'with'} overlay`,
      );
    if (state.overlay !== undefined) store.restore?.(state.overlay);
  }

  /** @returns a status, or an `Outcome` */
  private serve(chain: Chain): number {
    const type = this.headerView.getUint32(0, true);
    switch (type) {
      case Request.in:
        return this.transfer(chain, chain.writableLength - 1, false);
      case Request.out:
        return this.isReadOnly
          ? RequestStatus.ioError
          : this.transfer(chain, chain.readableLength - headerSize, true);
      case Request.flush:
        this.store.flush();
        return RequestStatus.ok;
      case Request.getId:
        return this.identify(chain);
      case Request.writeZeroes:
        return this.isReadOnly ? RequestStatus.unsupported : this.writeZeroes(chain);
      default:
        return RequestStatus.unsupported;
    }
  }

  private transfer(chain: Chain, length: number, isWrite: boolean): number {
    const { headerView, store, scratch } = this;
    const start = (headerView.getUint32(8, true) + headerView.getUint32(12, true) * 0x1_0000_0000) * sector;
    if (!this.isInside(start, length)) return RequestStatus.ioError;
    for (let done = 0; done < length; ) {
      const part = scratch.subarray(0, Math.min(chunk, length - done));
      if (isWrite) {
        if (!chain.read(headerSize + done, part)) return Outcome.broken;
        store.write(start + done, part);
      } else {
        store.read(start + done, part);
        if (!chain.write(done, part)) return Outcome.broken;
        this.delivered += part.length;
      }
      done += part.length;
    }
    return RequestStatus.ok;
  }

  private identify(chain: Chain): number {
    const part = this.id.subarray(0, Math.min(idSize, chain.writableLength - 1));
    if (!chain.write(0, part)) return Outcome.broken;
    this.delivered = part.length;
    return RequestStatus.ok;
  }

  /** One segment: sector, number of sectors, flags (5.2.6). */
  private writeZeroes(chain: Chain): number {
    const { scratch, store } = this;
    const segment = scratch.subarray(0, 16);
    if (chain.readableLength !== headerSize + 16) return RequestStatus.unsupported;
    if (!chain.read(headerSize, segment)) return Outcome.broken;
    const view = new DataView(scratch.buffer);
    const start = (view.getUint32(0, true) + view.getUint32(4, true) * 0x1_0000_0000) * sector;
    const length = view.getUint32(8, true) * sector;
    // Bit 0 allows to unmap, which a device need not do; it must refuse what it does not know (5.2.6.2).
    if ((view.getUint32(12, true) & ~mayUnmap) !== 0) return RequestStatus.unsupported;
    if (!this.isInside(start, length) || length > zeroesLimit) return RequestStatus.ioError;
    scratch.fill(0);
    for (let done = 0; done < length; done += chunk)
      store.write(start + done, scratch.subarray(0, Math.min(chunk, length - done)));
    return RequestStatus.ok;
  }

  private isInside(start: number, length: number): boolean {
    return length % sector === 0 && length <= requestLimit && start + length <= this.store.size;
  }
}
