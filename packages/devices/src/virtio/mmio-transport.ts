import type { InterruptLine } from '../interrupt-line.ts';
import type { MmioHandler } from '../pci/ports.ts';
import { requireVersion } from '../snapshot-version.ts';
import { VirtioCore, type VirtioInit } from './core.ts';
import { Area } from './queue.ts';
import { Isr, Mmio, mmioMagic, mmioVendor } from './registers.ts';
import type { VirtioMmioState } from './state.ts';

export interface VirtioMmioInit extends VirtioInit {
  /** Level-triggered, active: true. */
  readonly interrupt: InterruptLine;
}

/** A virtio device as a range of memory-mapped registers (virtio 1.2, 4.2; version 2): 4096 bytes, wherever the machine puts them. */
export class VirtioMmio implements MmioHandler {
  /** Bytes. */
  readonly size: number = 0x1000;
  private readonly core: VirtioCore;
  private isr = 0;
  private featureSelect = 0;
  private driverFeatureSelect = 0;
  private queueSelect = 0;

  constructor(private readonly init: VirtioMmioInit) {
    this.core = new VirtioCore(init, this);
  }

  /** Registers are read in whole words, the configuration space in any size (4.2.2.2). */
  read(offset: number, size: number): number {
    if (offset >= Mmio.config) return this.core.readConfig(offset - Mmio.config, size);
    return size === 4 && (offset & 3) === 0 ? this.readRegister(offset) : 0;
  }

  write(offset: number, size: number, value: number): void {
    if (offset >= Mmio.config) this.core.writeConfig(offset - Mmio.config, size, value);
    else if (size === 4 && (offset & 3) === 0) this.writeRegister(offset, value >>> 0);
  }

  /** @internal */
  get isBusMaster(): boolean {
    return true;
  }

  /** @internal */
  queueInterrupt(): void {
    this.interrupt(Isr.queue);
  }

  /** @internal */
  configInterrupt(): void {
    this.interrupt(Isr.config);
  }

  reset(): void {
    this.core.reset();
    this.isr = 0;
    this.featureSelect = this.driverFeatureSelect = this.queueSelect = 0;
    this.init.interrupt.set(false);
  }

  save(): VirtioMmioState {
    const { core, init, isr, featureSelect, driverFeatureSelect, queueSelect } = this;
    return {
      version: 1,
      core: core.save(),
      device: init.device.save(),
      isr,
      featureSelect,
      driverFeatureSelect,
      queueSelect,
    };
  }

  /** @throws SnapshotVersionError, SnapshotMismatchError */
  restore(state: VirtioMmioState): void {
    requireVersion('a virtio MMIO device', state, 1);
    this.init.device.restore(state.device);
    this.isr = state.isr;
    this.featureSelect = state.featureSelect;
    this.driverFeatureSelect = state.driverFeatureSelect;
    this.queueSelect = state.queueSelect;
    this.core.restore(state.core);
    this.init.interrupt.set(this.isr !== 0);
  }

  private readRegister(offset: number): number {
    const { core, init, queueSelect } = this;
    const queue = core.queues[queueSelect];
    switch (offset) {
      case Mmio.magic:
        return mmioMagic;
      case Mmio.version:
        return 2;
      case Mmio.deviceId:
        return init.device.type;
      case Mmio.vendorId:
        return mmioVendor;
      case Mmio.deviceFeatures:
        return core.offered(this.featureSelect);
      case Mmio.queueSizeMax:
        return queue?.limit ?? 0;
      case Mmio.queueReady:
        return queue?.isEnabled ? 1 : 0;
      case Mmio.interruptStatus:
        return this.isr;
      case Mmio.status:
        return core.status;
      case Mmio.configGeneration:
        return core.configGeneration;
      default:
        // No shared memory: its length and base are ones (4.2.2.1).
        return offset >= Mmio.sharedMemoryLengthLow && offset <= Mmio.sharedMemoryBaseHigh ? -1 : 0;
    }
  }

  private writeRegister(offset: number, value: number): void {
    const { core } = this;
    const queue = core.queues[this.queueSelect];
    switch (offset) {
      case Mmio.deviceFeaturesSelect:
        this.featureSelect = value;
        break;
      case Mmio.driverFeaturesSelect:
        this.driverFeatureSelect = value;
        break;
      case Mmio.driverFeatures:
        core.accept(this.driverFeatureSelect, value);
        break;
      case Mmio.queueSelect:
        this.queueSelect = value;
        break;
      case Mmio.queueSize:
        if (queue !== undefined && !queue.isEnabled) queue.setSize(value);
        break;
      case Mmio.queueReady:
        if (queue === undefined) break;
        if ((value & 1) !== 0) core.enable(queue);
        else queue.reset();
        break;
      case Mmio.queueNotify:
        core.run(value);
        break;
      case Mmio.interruptAcknowledge:
        this.isr &= ~value;
        this.init.interrupt.set(this.isr !== 0);
        break;
      case Mmio.status:
        if ((value & 0xff) === 0) this.reset();
        else core.setStatus(value);
        break;
      default: {
        const area = areaAt(offset);
        if (area >= 0 && queue !== undefined && !queue.isEnabled)
          queue.setAddressWord(area, (offset & 4) !== 0, value);
        break;
      }
    }
  }

  private interrupt(cause: number): void {
    this.isr |= cause;
    this.init.interrupt.set(true);
  }
}

/** Which area's address a register holds a half of; -1: none's. */
function areaAt(offset: number): number {
  switch (offset & ~4) {
    case Mmio.queueDescriptors:
      return Area.descriptors;
    case Mmio.queueDriver:
      return Area.driver;
    case Mmio.queueDevice:
      return Area.device;
    default:
      return -1;
  }
}
