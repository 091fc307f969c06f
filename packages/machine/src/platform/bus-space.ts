import type { AddressSpace, MmioHandler, PortHandler, PortMap } from '@nest86/devices';
import type { PhysicalMemory } from '@nest86/mmu';

const nothing = { remove(): void {} };

/** Where PCI base address registers put their handlers: below everything else that is there, so that no guest can move a BAR over its RAM or another chip. */
export class BusSpace implements AddressSpace {
  constructor(
    private readonly physical: PhysicalMemory,
    private readonly ports: PortMap,
  ) {}

  mapMemory(start: number, size: number, handler: MmioHandler): { remove(): void } {
    if (start + size > 2 ** 52) return nothing;
    return this.physical.addRegion({ kind: 'mmio', start, size, handler, priority: -1, name: 'PCI memory' });
  }

  mapIo(port: number, size: number, handler: PortHandler): { remove(): void } {
    return this.ports.isFree(port, size) ? this.ports.add(port, size, handler) : nothing;
  }
}
