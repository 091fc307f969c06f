import type { LocalApic } from '@nest86/apic';
import type { PhysicalMemory, RegionHandle } from '@nest86/mmu';

const pageSize = 4096;
/** Over RAM and everything else. */
const priority = 1000;

/** The register pages of local APICs in physical memory: each processor sees its own, where its IA32_APIC_BASE puts it. */
export class LocalApicPages {
  /** By address: the pages that any processor sees. */
  private readonly regions = new Map<number, RegionHandle>();

  /** @param current number of the processor that runs */
  constructor(
    private readonly physical: PhysicalMemory,
    private readonly apics: readonly LocalApic[],
    private readonly current: () => number,
  ) {
    this.update();
  }

  /** A page moved, appeared or went. */
  update(): void {
    const wanted = new Set(
      this.apics.filter((apic) => apic.isMmioVisible).map(({ baseAddress }) => baseAddress),
    );
    for (const [address, region] of this.regions) {
      if (wanted.has(address)) continue;
      region.remove();
      this.regions.delete(address);
    }
    for (const address of wanted) if (!this.regions.has(address)) this.add(address);
  }

  private add(start: number): void {
    const mine = (): LocalApic | undefined => {
      const apic = this.apics[this.current()];
      return apic.isMmioVisible && apic.baseAddress === start ? apic : undefined;
    };
    const handler = {
      read: (offset: number, size: number): number => mine()?.mmio.read(offset, size) ?? -1,
      write: (offset: number, size: number, value: number): void => mine()?.mmio.write(offset, size, value),
    };
    const region = { kind: 'mmio', start, size: pageSize, handler, priority, name: 'local APIC' } as const;
    this.regions.set(start, this.physical.addRegion(region));
  }
}
