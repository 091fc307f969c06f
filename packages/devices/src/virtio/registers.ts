/** Device types (virtio 1.2, 5). */
export const DeviceId = { block: 2, console: 3, entropy: 4 } as const;

/** Device status (2.1). */
export const DeviceStatus = {
  acknowledge: 1,
  driver: 2,
  driverOk: 4,
  featuresOk: 8,
  needsReset: 64,
  failed: 128,
} as const;

/** Feature bits 24 to 31 (6), as masks of the low word. */
export const Feature = { indirectDescriptors: 0x10000000, eventIndex: 0x20000000 } as const;

/** Feature bits from 32 on, as masks of the high word. */
export const HighFeature = { version1: 1 } as const;

/** Descriptor flags (2.7.5). */
export const DescriptorFlag = { next: 1, write: 2, indirect: 4 } as const;

/** Flag of the available ring (2.7.6). */
export const AvailableFlag = { noInterrupt: 1 } as const;

/** Bits of the ISR status (4.1.4.5) and of InterruptStatus (4.2.2). */
export const Isr = { queue: 1, config: 2 } as const;

/** Types of virtio's PCI capabilities (4.1.4). */
export const CapabilityType = { common: 1, notify: 2, isr: 3, device: 4, pciConfig: 5 } as const;

/** Vector number that means none (4.1.5.1.2). */
export const noVector = 0xffff;

/** Common configuration (4.1.4.3). */
export const Common = {
  deviceFeatureSelect: 0,
  deviceFeature: 4,
  driverFeatureSelect: 8,
  driverFeature: 12,
  configVector: 16,
  queueCount: 18,
  status: 20,
  configGeneration: 21,
  queueSelect: 22,
  queueSize: 24,
  queueVector: 26,
  queueEnable: 28,
  queueNotifyOffset: 30,
  queueDescriptors: 32,
  queueDriver: 40,
  queueDevice: 48,
  end: 56,
} as const;

/** Registers of the memory-mapped transport (4.2.2). */
export const Mmio = {
  magic: 0x000,
  version: 0x004,
  deviceId: 0x008,
  vendorId: 0x00c,
  deviceFeatures: 0x010,
  deviceFeaturesSelect: 0x014,
  driverFeatures: 0x020,
  driverFeaturesSelect: 0x024,
  queueSelect: 0x030,
  queueSizeMax: 0x034,
  queueSize: 0x038,
  queueReady: 0x044,
  queueNotify: 0x050,
  interruptStatus: 0x060,
  interruptAcknowledge: 0x064,
  status: 0x070,
  queueDescriptors: 0x080,
  queueDriver: 0x090,
  queueDevice: 0x0a0,
  sharedMemoryLengthLow: 0x0b0,
  sharedMemoryBaseHigh: 0x0bc,
  configGeneration: 0x0fc,
  config: 0x100,
} as const;

/** "virt". */
export const mmioMagic = 0x74726976;
/** "QEMU": drivers do not care. */
export const mmioVendor = 0x554d4551;
