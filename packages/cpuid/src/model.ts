import { CpuidFeatureError, CpuidOptionError } from './errors.ts';
import { featureBits, type LeafRow, Register } from './features.ts';
import { Topology, type TopologyInit } from './topology.ts';
import { amdComponents, compactedSize, intelComponents, standardSize, type XsaveComponent } from './xsave.ts';

/** Leaves of a hypervisor; they are there with the feature `hypervisor` only (S3-13). */
export interface HypervisorRange {
  /** First leaf, 40000000h to 4000FF00h in steps of 100h. */
  readonly base: number;
  /** 12 characters of ASCII in EBX, ECX, EDX of the first leaf. */
  readonly signature: string;
  /** Leaf `base` + 10h tells the frequencies, as several hypervisors have it: kHz of the TSC in EAX, of the APIC timer in EBX. */
  readonly tellsFrequencies?: boolean;
  readonly leaves?: readonly LeafRow[];
}

/** Whole numbers of Hz. */
export interface Frequencies {
  /** The time stamp counter's. Default 1,000,000,000. */
  readonly tsc?: number;
  /** The core crystal clock's, which drives the local APIC's timer (SDM vol. 3, 11.5.4). Default 1,000,000,000. */
  readonly crystal?: number;
}

export interface CpuidModelInit {
  /** Default `intel`. */
  readonly vendor?: 'intel' | 'amd';
  /** Names of {@link featureBits}. They are taken as they are; whether they fit together, `resolveModel` knows. */
  readonly features: Iterable<string>;
  /** Width of physical addresses in bits, 32 to 52. Default 40. */
  readonly physicalBits?: number;
  /** Width of linear addresses in bits, 48 or 57. Default: 57 with `la57`, else 48. */
  readonly linearBits?: number;
  /** Brand string, up to 47 characters of ASCII. */
  readonly brand?: string;
  /** As software computes them from the signature: family 0 to 270, model 0 to 255, stepping 0 to 15. Default 6, 9Eh, 10. */
  readonly family?: number;
  readonly model?: number;
  readonly stepping?: number;
  /** Highest basic leaf. Default: 16h of Intel, 10h of AMD. */
  readonly highestBasic?: number;
  /** Highest extended leaf; at least what the features need. Default: 80000008h of Intel, 80000020h of AMD. */
  readonly highestExtended?: number;
  /** Caches, TLBs and other leaves that are nothing but data; what topology decides in them is filled in. */
  readonly leaves?: readonly LeafRow[];
  /** AMD: cores that share a level 3 cache. Default: all of a package. */
  readonly coresPerL3?: number;
  /** Default: one logical processor. */
  readonly topology?: TopologyInit;
  readonly frequencies?: Frequencies;
  /** Default: none. */
  readonly hypervisor?: readonly HypervisorRange[];
  /** Revision that IA32_BIOS_SIGN_ID tells, unsigned. Default 0. */
  readonly microcode?: number;
  /** IA32_ARCH_CAPABILITIES, low half first; there with `arch-capabilities`. Default 0. */
  readonly archCapabilities?: readonly [low: number, high: number];
}

/** What changes while a processor runs, or differs between processors (S3-03). */
export interface DynamicBits {
  /** CR4.OSXSAVE. */
  readonly osxsave: boolean;
  /** CR4.PKE. */
  readonly ospke: boolean;
  /** Initial APIC id; its low 8 bits are in leaf 1, all of it in leaf 0Bh. */
  readonly apicId: number;
  /** XCR0, low half: decides the XSAVE area's size. */
  readonly xcr0: number;
  /** IA32_XSS, low half. Default 0. */
  readonly xss?: number;
  /** IA32_APIC_BASE bit 11. Default true. */
  readonly apicEnabled?: boolean;
  /** IA32_MISC_ENABLE bit 18; AMD has none. Default true. */
  readonly monitorEnabled?: boolean;
  /** CPUID is executed in 64-bit mode: Intel shows `syscall` there only (S3-08). Default true. */
  readonly in64BitMode?: boolean;
}

/** Bits of leaf 1 EDX that AMD shows in leaf 80000001h, too (APM vol. 3, appendix E). */
const amdRepeated = 0x0183f3ff;

/** Leaves that look at ECX; others answer whatever is there. */
const indexedLeaves: ReadonlySet<number> = new Set([
  4, 7, 0xb, 0xd, 0xf, 0x10, 0x12, 0x14, 0x17, 0x18, 0x1d, 0x1f, 0x20, 0x8000001d, 0x80000020, 0x80000026,
]);

const extended = 0x80000000;

/**
 * The leaves of one processor model. A bit is set only if its feature is among the model's: everyone else asks `has`, never a raw leaf.
 */
export class CpuidModel {
  readonly vendor: 'intel' | 'amd';
  readonly physicalBits: number;
  readonly linearBits: number;
  /** What CPUID 1 answers in EAX, and EDX holds after RESET: family, model, stepping. */
  readonly signature: number;
  readonly brand: string;
  readonly topology: Topology;
  /** Hz. */
  readonly frequencies: Required<Frequencies>;
  readonly microcode: number;
  readonly archCapabilities: readonly [low: number, high: number];
  readonly highestBasic: number;
  readonly highestExtended: number;
  /** IA32_XSS bits that may be set. */
  readonly xssMask: number;
  private readonly names: ReadonlySet<string>;
  private readonly components: readonly XsaveComponent[];
  private readonly userMask: number;
  /** By leaf: rows by subleaf. */
  private readonly rows = new Map<number, Int32Array[]>();
  /** By first leaf of a range: its last one. */
  private readonly hypervisorRanges = new Map<number, number>();

  /** @throws CpuidFeatureError, CpuidOptionError */
  constructor(init: CpuidModelInit) {
    const { vendor = 'intel', family = 6, model = 0x9e, stepping = 10 } = init;
    const { physicalBits = 40, brand = 'nest86 x86-64 processor' } = init;
    const names = new Set(init.features);
    const linearBits = init.linearBits ?? (names.has('la57') ? 57 : 48);
    check('vendor', vendor, vendor === 'intel' || vendor === 'amd', 'intel or amd');
    check('physicalBits', physicalBits, isWhole(physicalBits, 32, 52), '32 to 52');
    check('linearBits', linearBits, linearBits === 48 || linearBits === 57, '48 or 57');
    check('brand', brand, /^[\x20-\x7e]{0,47}$/.test(brand), 'up to 47 printable characters of ASCII');
    check('family', family, isWhole(family, 0, 270), '0 to 270');
    check('model', model, isWhole(model, 0, 255), '0 to 255');
    check('stepping', stepping, isWhole(stepping, 0, 15), '0 to 15');
    const { highestBasic = vendor === 'intel' ? 0x16 : 0x10, microcode = 0 } = init;
    const { highestExtended = vendor === 'intel' ? 0x80000008 : 0x80000020 } = init;
    check('highestBasic', highestBasic, isWhole(highestBasic, 1, 0xff), '1 to 255');
    check(
      'highestExtended',
      highestExtended,
      isWhole(highestExtended, 0x80000008, 0x800000ff),
      '80000008h to 800000FFh',
    );
    check('microcode', microcode, isWhole(microcode, 0, 0xffffffff), '0 to FFFFFFFFh');
    const { tsc = 1e9, crystal = 1e9 } = init.frequencies ?? {};
    check('tsc', tsc, isWhole(tsc, 1e6, 0xffffffff), '1,000,000 to 4,294,967,295');
    check('crystal', crystal, isWhole(crystal, 1e6, 0xffffffff), '1,000,000 to 4,294,967,295');
    this.vendor = vendor;
    this.physicalBits = physicalBits;
    this.linearBits = linearBits;
    this.brand = brand;
    this.topology = new Topology(init.topology);
    this.frequencies = { tsc, crystal };
    this.microcode = microcode;
    this.archCapabilities = init.archCapabilities ?? [0, 0];
    this.highestBasic = highestBasic;
    this.highestExtended = Math.max(
      highestExtended,
      ...[...names].map((name) => featureBits.get(name)?.leaf ?? 0),
    );
    const extendedFamily = family > 15 ? family - 15 : 0;
    this.signature =
      stepping |
      ((model & 15) << 4) |
      (Math.min(family, 15) << 8) |
      ((model >> 4) << 16) |
      (extendedFamily << 20);
    if (this.topology.perPackage > 1) {
      names.add('ht');
      if (vendor === 'amd') names.add('cmp-legacy');
    }
    this.names = names;
    this.components = vendor === 'intel' ? intelComponents : amdComponents;
    const maskOf = (isSupervisor: boolean): number =>
      this.components.reduce(
        (mask, part) =>
          part.isSupervisor === isSupervisor && part.features.some((feature) => names.has(feature))
            ? mask | (1 << part.bit)
            : mask,
        0,
      );
    this.userMask = names.has('xsave') ? maskOf(false) | 3 : 0;
    this.xssMask = names.has('xsaves') ? maskOf(true) : 0;
    for (const [leaf, subleaf, ...words] of init.leaves ?? []) this.row(leaf, subleaf).set(words);
    this.fill(init.coresPerL3 ?? this.topology.cores);
    for (const range of init.hypervisor ?? []) this.addHypervisor(range);
  }

  /** Whether the model has a feature, by its name. */
  has(feature: string): boolean {
    return this.names.has(feature);
  }

  /** Names of its features. */
  get features(): Iterable<string> {
    return this.names;
  }

  /** XCR0 bits that may be set. */
  get xcr0Mask(): number {
    return this.userMask;
  }

  /** First leaves of the hypervisor's ranges. */
  get hypervisorBases(): number[] {
    return [...this.hypervisorRanges.keys()];
  }

  /** Executes CPUID with EAX = `leaf`, ECX = `subleaf`: EAX EBX ECX EDX are in `out` then. */
  read(leaf: number, subleaf: number, dynamic: DynamicBits, out: Int32Array): void {
    out.fill(0);
    let index = leaf >>> 0;
    if (!this.isInRange(index)) {
      // Of a class that ends before, or is not there: Intel answers as for the highest basic leaf, AMD with zeros (S3-12).
      if (this.vendor === 'amd') return;
      index = this.highestBasic;
    }
    const row = this.rows.get(index)?.[indexedLeaves.has(index) ? subleaf >>> 0 : 0];
    if (row !== undefined) for (let register = 0; register < 4; register++) out[register] = row[register];
    switch (index) {
      case 1:
        out[Register.ebx] |= dynamic.apicId << 24;
        if (dynamic.osxsave) out[Register.ecx] |= 1 << 27;
        else out[Register.ecx] &= ~(1 << 27);
        if (dynamic.apicEnabled === false) out[Register.edx] &= ~(1 << 9);
        if (dynamic.monitorEnabled === false && this.vendor === 'intel') out[Register.ecx] &= ~8;
        break;
      case 7:
        if (subleaf !== 0) break;
        if (dynamic.ospke) out[Register.ecx] |= 16;
        else out[Register.ecx] &= ~16;
        break;
      case 0xb:
      case 0x1f:
      case 0x80000026:
        // Levels that are not there: EAX and EBX are 0, the rest is told all the same (SDM vol. 2A, CPUID).
        if (row === undefined) out[Register.ecx] = subleaf & 0xff;
        out[Register.edx] = dynamic.apicId;
        break;
      case 0xd:
        if (subleaf === 0 && this.userMask !== 0)
          out[Register.ebx] = standardSize(this.components, dynamic.xcr0);
        if (subleaf === 1 && (this.has('xsavec') || this.has('xsaves')))
          out[Register.ebx] = compactedSize(this.components, dynamic.xcr0 | (dynamic.xss ?? 0));
        break;
      case 0x80000001:
        if (this.vendor === 'intel' && dynamic.in64BitMode === false) out[Register.edx] &= ~(1 << 11);
        if (this.vendor === 'amd' && dynamic.apicEnabled === false) out[Register.edx] &= ~(1 << 9);
        break;
      case 0x8000001e:
        if (this.has('topoext')) this.readCore(dynamic.apicId, out);
        break;
      default:
        break;
    }
  }

  private isInRange(index: number): boolean {
    if (index <= this.highestBasic) return true;
    if (index >= extended && index < 0xc0000000) return index <= this.highestExtended;
    const last = this.hypervisorRanges.get(index - (index & 0xff));
    return last !== undefined && index <= last;
  }

  private row(leaf: number, subleaf: number): Int32Array {
    let rows = this.rows.get(leaf);
    if (rows === undefined) this.rows.set(leaf, (rows = []));
    return (rows[subleaf] ??= new Int32Array(4));
  }

  /** All that features, topology and widths decide. */
  private fill(coresPerL3: number): void {
    const { topology, vendor, rows, names } = this;
    const isIntel = vendor === 'intel';
    for (const name of names) {
      const place = featureBits.get(name);
      if (place === undefined)
        throw new CpuidFeatureError(`feature "${name}": allowed are ${[...featureBits.keys()].join(', ')}`);
      this.row(place.leaf, place.subleaf)[place.register] |= 1 << place.bit;
    }
    this.fillVendor();
    const first = this.row(1, 0);
    const addressable = isIntel ? 1 << topology.packageShift : topology.perPackage;
    first[Register.eax] = this.signature;
    first[Register.ebx] = (Math.min(addressable, 255) << 16) | (8 << 8);
    this.row(7, 0)[Register.eax] = rows.get(7)?.[1]?.some((word) => word !== 0) === true ? 1 : 0;
    // What waits for a feature is not there without it.
    if (!this.has('monitor')) rows.delete(5);
    if (!this.has('topoext')) rows.delete(0x8000001d);
    if (!this.has('svm')) rows.delete(0x8000000a);
    else this.row(0x8000000a, 0).set([1, svmAsids]);
    this.fillCaches(coresPerL3);
    for (const leaf of isIntel && this.highestBasic >= 0x1f ? [0xb, 0x1f] : [0xb]) {
      this.row(leaf, 0).set([topology.threadBits, topology.threads, 1 << 8]);
      this.row(leaf, 1).set([topology.packageShift, topology.perPackage, 1 | (2 << 8)]);
    }
    this.fillXsave();
    if (isIntel) this.fillFrequencies();
    for (let i = 0; i < 48; i++) {
      const byte = this.brand.charCodeAt(i) || 0;
      this.row(0x80000002 + (i >> 4), 0)[(i >> 2) & 3] |= byte << (8 * (i & 3));
    }
    const sizes = this.row(0x80000008, 0);
    sizes[Register.eax] = this.physicalBits | (this.linearBits << 8);
    if (isIntel) return;
    sizes[Register.ecx] = (topology.perPackage - 1) | (topology.packageShift << 12);
    const flags = this.row(0x80000001, 0);
    flags[Register.eax] = this.signature;
    flags[Register.edx] |= first[Register.edx] & amdRepeated;
  }

  private fillVendor(): void {
    const name = this.vendor === 'intel' ? 'GenuineIntel' : 'AuthenticAMD';
    const [ebx, edx, ecx] = [0, 4, 8].map((at) => wordOf(name, at));
    this.row(0, 0).set([this.highestBasic, ebx, ecx, edx]);
    if (this.vendor === 'amd') this.row(extended, 0).set([this.highestExtended, ebx, ecx, edx]);
    else this.row(extended, 0)[Register.eax] = this.highestExtended;
  }

  /** Who shares a cache: levels 1 and 2 belong to a core, level 3 to a package or a part of it. */
  private fillCaches(coresPerL3: number): void {
    const { topology, vendor } = this;
    for (const row of this.rows.get(vendor === 'intel' ? 4 : 0x8000001d) ?? []) {
      const isShared = ((row[Register.eax] >> 5) & 7) >= 3;
      if (vendor === 'intel') {
        const ids = 1 << (isShared ? topology.packageShift : topology.threadBits);
        const cores = 1 << (topology.packageShift - topology.threadBits);
        row[Register.eax] |= (Math.min(ids - 1, 0xfff) << 14) | (Math.min(cores - 1, 63) << 26);
      } else {
        const cores = isShared ? Math.min(coresPerL3, topology.cores) : 1;
        row[Register.eax] |= (cores * topology.threads - 1) << 14;
      }
    }
  }

  private fillXsave(): void {
    if (this.userMask === 0) {
      this.rows.delete(0xd);
      return;
    }
    const { components, userMask, xssMask } = this;
    this.row(0xd, 0).set([userMask, 0, standardSize(components, userMask)]);
    this.row(0xd, 1)[Register.ecx] = xssMask;
    for (const { bit, size, offset, isSupervisor, isAligned } of components)
      if ((((isSupervisor ? xssMask : userMask) >>> bit) & 1) !== 0)
        this.row(0xd, bit).set([size, offset, (isSupervisor ? 1 : 0) | (isAligned ? 2 : 0)]);
  }

  /** TSC = crystal × EBX / EAX; and MHz, of which software takes the first for the TSC's where the crystal is not told. */
  private fillFrequencies(): void {
    const { tsc, crystal } = this.frequencies;
    let [divisor, rest] = [tsc, crystal];
    while (rest !== 0) [divisor, rest] = [rest, divisor % rest];
    this.row(0x15, 0).set([crystal / divisor, tsc / divisor, crystal]);
    const megahertz = Math.round(tsc / 1e6);
    this.row(0x16, 0).set([megahertz, megahertz, 100]);
  }

  /** AMD's leaf 8000001Eh: who I am (APM vol. 3, E.4.15). */
  private readCore(apicId: number, out: Int32Array): void {
    const { threadBits, packageShift, threads } = this.topology;
    out[Register.eax] = apicId;
    out[Register.ebx] = ((apicId & ((1 << packageShift) - 1)) >> threadBits) | ((threads - 1) << 8);
    out[Register.ecx] = apicId >>> packageShift;
  }

  private addHypervisor({ base, signature, tellsFrequencies = false, leaves = [] }: HypervisorRange): void {
    check(
      'hypervisor base',
      base.toString(16),
      isWhole(base, 0x40000000, 0x4000ff00) && base % 0x100 === 0,
      '40000000 to 4000ff00 in steps of 100',
    );
    check('hypervisor signature', signature, /^[\x20-\x7e]{12}$/.test(signature), '12 characters of ASCII');
    if (!this.has('hypervisor')) return;
    let last = tellsFrequencies ? base + 0x10 : base;
    for (const [leaf, subleaf, ...words] of leaves) {
      check(
        'hypervisor leaf',
        leaf.toString(16),
        leaf > base && leaf <= base + 0xff,
        'base + 1 to base + ff',
      );
      last = Math.max(last, leaf);
      this.row(leaf, subleaf).set(words);
    }
    this.hypervisorRanges.set(base, last);
    this.row(base, 0).set([last, ...[0, 4, 8].map((at) => wordOf(signature, at))]);
    if (!tellsFrequencies) return;
    const { tsc, crystal } = this.frequencies;
    this.row(base + 0x10, 0).set([Math.round(tsc / 1000), Math.round(crystal / 1000)]);
  }
}

/** Address-space ids of SVM, as Zen has them. */
const svmAsids = 0x8000;

function wordOf(text: string, at: number): number {
  return [0, 1, 2, 3].reduce((value, i) => value | (text.charCodeAt(at + i) << (8 * i)), 0);
}

function isWhole(value: number, minimum: number, maximum: number): boolean {
  return Number.isInteger(value) && value >= minimum && value <= maximum;
}

function check(name: string, value: unknown, isRight: boolean, allowed: string): void {
  if (!isRight) throw new CpuidOptionError(`${name} ${value}: ${allowed} is allowed`);
}
