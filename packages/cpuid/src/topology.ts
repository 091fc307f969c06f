import { CpuidOptionError } from './errors.ts';

export interface TopologyInit {
  /** Default 1. */
  readonly packages?: number;
  /** Per package. Default 1. */
  readonly cores?: number;
  /** Per core, 1 or 2. Default 1. */
  readonly threads?: number;
}

/** Most logical processors of a machine; their APIC ids stay below 256. */
const mostProcessors = 255;

/**
 * How logical processors lie in packages and cores, and which APIC ids that gives them: thread, core and package have fields of their own in
 * the id, as wide as they must be (SDM vol. 3, 9.9).
 */
export class Topology {
  readonly packages: number;
  readonly cores: number;
  readonly threads: number;
  /** Bits of the APIC id that tell the thread; and those below the package's. */
  readonly threadBits: number;
  readonly packageShift: number;

  /** @throws CpuidOptionError */
  constructor({ packages = 1, cores = 1, threads = 1 }: TopologyInit = {}) {
    for (const [name, value, most] of [
      ['packages', packages, mostProcessors],
      ['cores', cores, mostProcessors],
      ['threads', threads, 2],
    ] as const)
      if (!Number.isInteger(value) || value < 1 || value > most)
        throw new CpuidOptionError(`${name} ${value}: 1 to ${most} is allowed`);
    this.packages = packages;
    this.cores = cores;
    this.threads = threads;
    this.threadBits = widthOf(threads);
    this.packageShift = this.threadBits + widthOf(cores);
    if (this.processors > mostProcessors || this.apicId(this.processors - 1) >= mostProcessors)
      throw new CpuidOptionError(
        `${packages} packages of ${cores} cores of ${threads} threads: APIC ids up to 254 are allowed`,
      );
  }

  /** Logical processors in a package. */
  get perPackage(): number {
    return this.cores * this.threads;
  }

  /** Logical processors of the machine. */
  get processors(): number {
    return this.packages * this.perPackage;
  }

  /** Initial APIC id of a logical processor, counted from 0: threads of a core first, then cores of a package. */
  apicId(processor: number): number {
    const { threads, cores } = this;
    const core = Math.floor(processor / threads);
    return (
      (Math.floor(core / cores) << this.packageShift) |
      ((core % cores) << this.threadBits) |
      (processor % threads)
    );
  }
}

/** Bits that hold the numbers from 0 up to, and without, `count`. */
function widthOf(count: number): number {
  return 32 - Math.clz32(count - 1);
}
