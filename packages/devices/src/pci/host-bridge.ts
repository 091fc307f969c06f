import { PciFunction } from './function.ts';

/** A host bridge with nothing to configure: QEMU's generic one for PCI Express (1b36:0008), for device 0. */
export function createHostBridge(): PciFunction {
  return new PciFunction({ vendorId: 0x1b36, deviceId: 0x0008, classCode: 0x060000 });
}
