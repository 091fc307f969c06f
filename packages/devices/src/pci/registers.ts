/** Offsets in the configuration space of a type 0 function (PCI 3.0, 6.1). */
export const Config = {
  vendorId: 0x00,
  deviceId: 0x02,
  command: 0x04,
  status: 0x06,
  revision: 0x08,
  classCode: 0x09,
  cacheLineSize: 0x0c,
  latencyTimer: 0x0d,
  headerType: 0x0e,
  baseAddress: 0x10,
  subsystemVendorId: 0x2c,
  subsystemId: 0x2e,
  capabilities: 0x34,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
  end: 0x100,
} as const;

/** Command register (6.2.2). */
export const Command = {
  io: 0x001,
  memory: 0x002,
  busMaster: 0x004,
  parityResponse: 0x040,
  serr: 0x100,
  interruptDisable: 0x400,
} as const;

/** Status register (6.2.3). */
export const Status = { interrupt: 0x08, capabilities: 0x10 } as const;

/** Low bits of a base address register (6.2.5.1). */
export const BaseAddress = { io: 1, memory64: 4, prefetchable: 8 } as const;

/** Capability IDs (appendix H). */
export const CapabilityId = { vendorSpecific: 0x09, msix: 0x11 } as const;

/** Message control of MSI-X (6.8.2.3), and the bit of vector control (6.8.2.9). */
export const MsixControl = { functionMask: 0x4000, enable: 0x8000, vectorMask: 1 } as const;

/** Bits of an address in CONFIG_ADDRESS (3.2.2.3.2). */
export const ConfigAddress = { enable: 0x80000000, mask: 0x80fffffc } as const;
