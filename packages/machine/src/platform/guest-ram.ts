import type { GuestMemory } from '@nest86/devices';
import { PageKind, type PhysicalMemory } from '@nest86/mmu';

const pageSize = 4096;

/** The guest's RAM as devices that master the bus see it. */
export class GuestRam implements GuestMemory {
  constructor(private readonly physical: PhysicalMemory) {}

  read(address: number, target: Uint8Array): boolean {
    if (!this.isRam(address, target.length)) return false;
    this.physical.readBytes(address, target);
    return true;
  }

  write(address: number, source: Uint8Array): boolean {
    if (!this.isRam(address, source.length)) return false;
    this.physical.writeBytes(address, source);
    return true;
  }

  private isRam(address: number, length: number): boolean {
    const last = Math.floor((address + length - 1) / pageSize);
    for (let page = Math.floor(address / pageSize); page <= last; page++)
      if (this.physical.kindOf(page) !== PageKind.ram) return false;
    return true;
  }
}
