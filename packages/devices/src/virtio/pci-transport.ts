import { type Capability, PciFunction } from '../pci/function.ts';
import { Msix } from '../pci/msix.ts';
import type { MessageSink, MmioHandler } from '../pci/ports.ts';
import { CapabilityId } from '../pci/registers.ts';
import { requireVersion } from '../snapshot-version.ts';
import { VirtioCore, type VirtioInit } from './core.ts';
import { Area, type SplitQueue } from './queue.ts';
import { CapabilityType, Common, Isr, noVector } from './registers.ts';
import type { VirtioPciState } from './state.ts';

export interface VirtioPciInit extends VirtioInit {
  readonly messages: MessageSink;
}

/** Where the structures lie in base address register 0, a page each. */
const Region = { common: 0x0000, isr: 0x1000, device: 0x2000, notify: 0x3000, end: 0x4000 } as const;
const registersBar = 0;
const msixBar = 2;
const notifyMultiplier = 4;
/** Data bytes behind the PCI configuration access capability (4.1.4.9). */
const windowData = 16;

/**
 * A virtio device as a PCI function (virtio 1.2, 4.1), without the legacy interface: registers in base address register 0 (16 KiB,
 * 64-bit), MSI-X tables in 2, a vector for the configuration and for each queue; INTA while MSI-X is off.
 */
export class VirtioPci {
  /** To be added to a bus. */
  readonly pciFunction: PciFunction;
  private readonly core: VirtioCore;
  private readonly msix: Msix;
  private readonly windowAt: number;
  private isr = 0;
  private configVector: number = noVector;
  private featureSelect = 0;
  private driverFeatureSelect = 0;
  private queueSelect = 0;

  constructor(private readonly init: VirtioPciInit) {
    const { device } = init;
    this.msix = new Msix(device.queueSizes.length + 1, init.messages);
    this.pciFunction = new PciFunction({
      vendorId: 0x1af4,
      deviceId: 0x1040 + device.type,
      revision: 1,
      classCode: device.pciClass,
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
      interruptPin: 1,
      bars: [
        { index: registersBar, kind: 'memory', width: 64, size: Region.end, handler: this.registers },
        { index: msixBar, kind: 'memory', width: 32, size: 4096, handler: this.msix.handler },
      ],
      commandChanged: () => {
        this.msix.controlChanged();
        this.core.runAll();
      },
    });
    this.core = new VirtioCore(init, this);
    const { pciFunction } = this;
    this.addStructure(CapabilityType.common, Region.common, Common.end);
    this.addStructure(CapabilityType.notify, Region.notify, notifyMultiplier * device.queueSizes.length, [
      notifyMultiplier,
      0,
      0,
      0,
    ]);
    this.addStructure(CapabilityType.isr, Region.isr, 1);
    if (device.config.length > 0)
      this.addStructure(CapabilityType.device, Region.device, device.config.length);
    this.windowAt = pciFunction.addCapability(this.configurationWindow());
    this.msix.attach(pciFunction, msixBar);
  }

  /** The registers behind base address register 0. */
  readonly registers: MmioHandler = {
    read: (offset, size) => {
      switch (offset & 0xf000) {
        case Region.common: {
          const word = this.readCommon(offset & 0xffc) >>> (8 * (offset & 3));
          return size === 4 ? word | 0 : word & (size === 2 ? 0xffff : 0xff);
        }
        case Region.isr:
          return (offset & 0xfff) === 0 ? this.takeIsr() : 0;
        case Region.device:
          return this.core.readConfig(offset & 0xfff, size);
        default:
          return 0;
      }
    },
    write: (offset, size, value) => {
      switch (offset & 0xf000) {
        case Region.common:
          this.writeCommon(offset, size === 4 ? value >>> 0 : value & (size === 2 ? 0xffff : 0xff));
          break;
        case Region.device:
          this.core.writeConfig(offset & 0xfff, size, value);
          break;
        case Region.notify:
          this.core.run((offset & 0xfff) / notifyMultiplier);
          break;
        default:
          break;
      }
    },
  };

  /** @internal */
  get isBusMaster(): boolean {
    return this.pciFunction.isBusMaster;
  }

  /** @internal */
  queueInterrupt(queue: SplitQueue): void {
    this.interrupt(queue.vector, Isr.queue);
  }

  /** @internal */
  configInterrupt(): void {
    this.interrupt(this.configVector, Isr.config);
  }

  /** Device and PCI function. */
  reset(): void {
    this.resetDevice();
    this.msix.reset();
    this.pciFunction.reset();
  }

  save(): VirtioPciState {
    const {
      core,
      init,
      pciFunction,
      msix,
      isr,
      configVector,
      featureSelect,
      driverFeatureSelect,
      queueSelect,
    } = this;
    return {
      version: 1,
      core: core.save(),
      device: init.device.save(),
      pciFunction: pciFunction.save(),
      msix: msix.save(),
      isr,
      configVector,
      featureSelect,
      driverFeatureSelect,
      queueSelect,
    };
  }

  /** @throws SnapshotVersionError, SnapshotMismatchError */
  restore(state: VirtioPciState): void {
    requireVersion('a virtio PCI device', state, 1);
    // While the function comes back, the device must not be live.
    this.core.reset();
    this.init.device.restore(state.device);
    this.msix.restore(state.msix);
    this.isr = state.isr;
    this.configVector = state.configVector;
    this.featureSelect = state.featureSelect;
    this.driverFeatureSelect = state.driverFeatureSelect;
    this.queueSelect = state.queueSelect;
    this.pciFunction.restore(state.pciFunction);
    this.core.restore(state.core);
  }

  private readCommon(offset: number): number {
    const { core, queueSelect, featureSelect, driverFeatureSelect } = this;
    const queue = core.queues[queueSelect];
    switch (offset) {
      case Common.deviceFeatureSelect:
        return featureSelect;
      case Common.deviceFeature:
        return core.offered(featureSelect);
      case Common.driverFeatureSelect:
        return driverFeatureSelect;
      case Common.driverFeature:
        return core.accepted(driverFeatureSelect);
      case Common.configVector:
        return this.configVector | (core.queues.length << 16);
      case Common.status:
        return core.status | (core.configGeneration << 8) | (queueSelect << 16);
      case Common.queueSize:
        return (queue?.size ?? 0) | ((queue?.vector ?? noVector) << 16);
      case Common.queueEnable:
        return queue === undefined ? 0 : (queue.isEnabled ? 1 : 0) | (queueSelect << 16);
      default:
        if (queue === undefined || offset < Common.queueDescriptors || offset >= Common.end) return 0;
        return queue.addressWord(areaAt(offset), (offset & 4) !== 0);
    }
  }

  private writeCommon(offset: number, value: number): void {
    const { core } = this;
    const queue = core.queues[this.queueSelect];
    switch (offset) {
      case Common.deviceFeatureSelect:
        this.featureSelect = value;
        break;
      case Common.driverFeatureSelect:
        this.driverFeatureSelect = value;
        break;
      case Common.driverFeature:
        core.accept(this.driverFeatureSelect, value);
        break;
      case Common.configVector:
        this.configVector = this.acceptVector(value);
        break;
      case Common.status:
        if ((value & 0xff) === 0) this.resetDevice();
        else core.setStatus(value);
        break;
      case Common.queueSelect:
        this.queueSelect = value & 0xffff;
        break;
      case Common.queueVector:
        if (queue !== undefined) queue.vector = this.acceptVector(value);
        break;
      case Common.queueSize:
        if (queue !== undefined && !queue.isEnabled) queue.setSize(value & 0xffff);
        break;
      case Common.queueEnable:
        if (queue !== undefined && (value & 0xffff) === 1) core.enable(queue);
        break;
      default:
        if (queue === undefined || queue.isEnabled || (offset & 3) !== 0) break;
        if (offset < Common.queueDescriptors || offset >= Common.end) break;
        queue.setAddressWord(areaAt(offset), (offset & 4) !== 0, value);
        break;
    }
  }

  /** A vector that does not exist reads back as none: so the driver learns that it has to do without (4.1.5.1.2). */
  private acceptVector(value: number): number {
    return (value & 0xffff) < this.msix.vectors ? value & 0xffff : noVector;
  }

  private takeIsr(): number {
    const { isr } = this;
    this.isr = 0;
    this.pciFunction.setInterrupt(false);
    return isr;
  }

  private interrupt(vector: number, cause: number): void {
    if (this.msix.isEnabled) {
      if (cause === Isr.config) this.isr |= cause;
      this.msix.notify(vector);
      return;
    }
    this.isr |= cause;
    this.pciFunction.setInterrupt(true);
  }

  private resetDevice(): void {
    this.core.reset();
    this.isr = 0;
    this.configVector = noVector;
    this.featureSelect = this.driverFeatureSelect = this.queueSelect = 0;
    this.pciFunction.setInterrupt(false);
  }

  private addStructure(type: number, offset: number, length: number, more: readonly number[] = []): void {
    this.pciFunction.addCapability({
      id: CapabilityId.vendorSpecific,
      bytes: structure(type, offset, length, more),
    });
  }

  /** Access to the registers without a base address register (4.1.4.9): software that runs before memory is mapped uses it. */
  private configurationWindow(): Capability {
    const at = windowData - 2;
    const writable = new Array<number>(at + 4).fill(0xff, at).fill(0, 0, at);
    // bar, offset and length.
    writable[2] = 0xff;
    writable.fill(0xff, 6, at);
    return {
      id: CapabilityId.vendorSpecific,
      bytes: structure(CapabilityType.pciConfig, 0, 0, [0, 0, 0, 0]),
      writable,
      beforeRead: (offset, size) => {
        if (offset + size > windowData) this.accessWindow(false);
      },
      written: (offset, size) => {
        if (offset + size > windowData) this.accessWindow(true);
      },
    };
  }

  private accessWindow(isWrite: boolean): void {
    const { config } = this.pciFunction;
    const view = new DataView(config.buffer, this.windowAt, windowData + 4);
    const length = view.getUint32(12, true);
    const offset = view.getUint32(8, true);
    if (view.getUint8(4) !== registersBar || (length !== 1 && length !== 2 && length !== 4)) return;
    if (offset % length !== 0 || offset + length > Region.end) return;
    if (isWrite) this.registers.write(offset, length, view.getUint32(windowData, true));
    else {
      const value = this.registers.read(offset, length);
      for (let i = 0; i < length; i++) view.setUint8(windowData + i, value >>> (8 * i));
    }
  }
}

function areaAt(offset: number): number {
  return offset < Common.queueDriver
    ? Area.descriptors
    : offset < Common.queueDevice
      ? Area.driver
      : Area.device;
}

function structure(type: number, offset: number, length: number, more: readonly number[]): number[] {
  const bytes = [16 + more.length, type, registersBar, 0, 0, 0];
  for (const word of [offset, length]) for (let i = 0; i < 4; i++) bytes.push((word >>> (8 * i)) & 0xff);
  return [...bytes, ...more];
}
