import { featureBits, Register } from './features.ts';

export interface CpuidModelInit {
  /** Default `intel`. */
  readonly vendor?: 'intel' | 'amd';
  /** Names of {@link featureBits}. */
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
}

/** What changes while a processor runs, or differs between processors. */
export interface DynamicBits {
  /** CR4.OSXSAVE. */
  readonly osxsave: boolean;
  /** CR4.PKE. */
  readonly ospke: boolean;
  /** Initial APIC id, 0 to 255. */
  readonly apicId: number;
  /** XCR0, low half: decides the XSAVE area's size. */
  readonly xcr0: number;
}

/** A feature name that does not exist; the message has those that do. */
export class CpuidFeatureError extends RangeError {
  override readonly name: string = 'CpuidFeatureError';
}

/** A property of a model that no processor has; the message says what is allowed. */
export class CpuidOptionError extends RangeError {
  override readonly name: string = 'CpuidOptionError';
}

/** Sizes and offsets of XSAVE components in the standard format (SDM vol. 1, 13.4). */
const components: Readonly<Record<number, { size: number; offset: number; feature: string }>> = {
  2: { size: 256, offset: 576, feature: 'avx' },
  9: { size: 8, offset: 2688, feature: 'pku' },
};

/** Bits of leaf 1 EDX that AMD shows in leaf 80000001h, too (APM vol. 3, appendix E). */
const amdRepeated = 0x0183f3ff;

/**
 * The leaves of one processor model. A bit is set only if its feature is among the model's: everyone else asks `has`, never a raw leaf.
 */
export class CpuidModel {
  readonly vendor: 'intel' | 'amd';
  readonly physicalBits: number;
  readonly linearBits: number;
  /** What CPUID 1 answers in EAX, and EDX holds after RESET: family, model, stepping. */
  readonly signature: number;
  private readonly names: ReadonlySet<string>;
  private readonly brand: string;
  private readonly masks = new Map<number, number>();

  /** @throws CpuidFeatureError, CpuidOptionError */
  constructor(init: CpuidModelInit) {
    const { vendor = 'intel', family = 6, model = 0x9e, stepping = 10 } = init;
    const { physicalBits = 40, brand = 'nest86 x86-64 processor' } = init;
    this.names = new Set(init.features);
    const linearBits = init.linearBits ?? (this.names.has('la57') ? 57 : 48);
    check('vendor', vendor, vendor === 'intel' || vendor === 'amd', 'intel or amd');
    check('physicalBits', physicalBits, isWhole(physicalBits, 32, 52), '32 to 52');
    check('linearBits', linearBits, linearBits === 48 || linearBits === 57, '48 or 57');
    check('brand', brand, /^[\x20-\x7e]{0,47}$/.test(brand), 'up to 47 printable characters of ASCII');
    check('family', family, isWhole(family, 0, 270), '0 to 270');
    check('model', model, isWhole(model, 0, 255), '0 to 255');
    check('stepping', stepping, isWhole(stepping, 0, 15), '0 to 15');
    this.vendor = vendor;
    this.physicalBits = physicalBits;
    this.linearBits = linearBits;
    this.brand = brand;
    const extendedFamily = family > 15 ? family - 15 : 0;
    this.signature =
      stepping |
      ((model & 15) << 4) |
      (Math.min(family, 15) << 8) |
      ((model >> 4) << 16) |
      (extendedFamily << 20);
    for (const name of this.names) {
      const place = featureBits.get(name);
      if (place === undefined)
        throw new CpuidFeatureError(`feature "${name}": allowed are ${[...featureBits.keys()].join(', ')}`);
      const key = keyOf(place.leaf, place.subleaf, place.register);
      this.masks.set(key, (this.masks.get(key) ?? 0) | (1 << place.bit));
    }
  }

  /** Whether the model has a feature, by its name. */
  has(feature: string): boolean {
    return this.names.has(feature);
  }

  /** Names of its features, in the order they were given. */
  get features(): Iterable<string> {
    return this.names;
  }

  /** XCR0 bits that may be set. */
  get xcr0Mask(): number {
    if (!this.has('xsave')) return 0;
    let mask = 3;
    for (const [bit, { feature }] of Object.entries(components))
      if (this.has(feature)) mask |= 1 << Number(bit);
    return mask;
  }

  /** Executes CPUID with EAX = `leaf`, ECX = `subleaf`: EAX EBX ECX EDX are in `out` then. */
  read(leaf: number, subleaf: number, dynamic: DynamicBits, out: Int32Array): void {
    out.fill(0);
    const index = leaf >>> 0;
    const highest = index >= 0x80000000 ? 0x80000008 : 13;
    // Beyond the highest basic leaf, Intel answers as for that leaf; AMD and the extended range with zeros.
    if (index > highest) {
      if (index < 0x80000000 && this.vendor === 'intel') this.read(13, subleaf, dynamic, out);
      return;
    }
    for (let register = 0; register < 4; register++)
      out[register] = this.masks.get(keyOf(index, subleaf, register)) ?? 0;
    switch (index) {
      case 0:
      case 0x80000000:
        this.readVendor(index, out);
        break;
      case 1:
        out[Register.eax] = this.signature;
        out[Register.ebx] = (dynamic.apicId << 24) | (1 << 16) | (8 << 8);
        if (dynamic.osxsave) out[Register.ecx] |= 1 << 27;
        else out[Register.ecx] &= ~(1 << 27);
        break;
      case 7:
        if (subleaf !== 0) out.fill(0);
        else if (dynamic.ospke) out[Register.ecx] |= 16;
        else out[Register.ecx] &= ~16;
        break;
      case 13:
        this.readXsave(subleaf, dynamic, out);
        break;
      case 0x80000002:
      case 0x80000003:
      case 0x80000004:
        for (let i = 0; i < 16; i++) {
          const byte = this.brand.charCodeAt((index - 0x80000002) * 16 + i) || 0;
          out[i >> 2] |= (byte & 0x7f) << (8 * (i & 3));
        }
        break;
      case 0x80000001:
        if (this.vendor === 'amd') {
          out[Register.eax] = this.signature;
          out[Register.edx] |= (this.masks.get(keyOf(1, 0, Register.edx)) ?? 0) & amdRepeated;
        }
        break;
      case 0x80000008:
        out[Register.eax] = this.physicalBits | (this.linearBits << 8);
        break;
      default:
        break;
    }
  }

  private readVendor(index: number, out: Int32Array): void {
    const name = this.vendor === 'intel' ? 'GenuineIntel' : 'AuthenticAMD';
    const word = (at: number): number =>
      [0, 1, 2, 3].reduce((value, i) => value | (name.charCodeAt(at + i) << (8 * i)), 0);
    out[Register.eax] = index === 0 ? 13 : 0x80000008 | 0;
    if (index !== 0 && this.vendor === 'intel') return;
    out[Register.ebx] = word(0);
    out[Register.edx] = word(4);
    out[Register.ecx] = word(8);
  }

  private readXsave(subleaf: number, { xcr0 }: DynamicBits, out: Int32Array): void {
    const mask = this.xcr0Mask;
    if (mask === 0) {
      out.fill(0);
      return;
    }
    const sizeOf = (bits: number): number =>
      Object.entries(components).reduce(
        (size, [bit, { offset, size: length }]) =>
          (bits >> Number(bit)) & 1 ? Math.max(size, offset + length) : size,
        576,
      );
    if (subleaf === 0) {
      out[Register.eax] = mask;
      out[Register.ebx] = sizeOf(xcr0);
      out[Register.ecx] = sizeOf(mask);
    } else if (subleaf === 1) {
      // The compacted area: components follow each other.
      let size = 576;
      for (const [bit, component] of Object.entries(components))
        if ((xcr0 >> Number(bit)) & 1) size += component.size;
      out[Register.ebx] = size;
    } else {
      out.fill(0);
      const component = components[subleaf];
      if (component === undefined || ((mask >> subleaf) & 1) === 0) return;
      out[Register.eax] = component.size;
      out[Register.ebx] = component.offset;
    }
  }
}

function isWhole(value: number, minimum: number, maximum: number): boolean {
  return Number.isInteger(value) && value >= minimum && value <= maximum;
}

function check(name: string, value: unknown, isRight: boolean, allowed: string): void {
  if (!isRight) throw new CpuidOptionError(`${name} ${value}: ${allowed} is allowed`);
}

function keyOf(leaf: number, subleaf: number, register: number): number {
  return (leaf % 0x80000000) * 1024 + (leaf >= 0x80000000 ? 512 : 0) + (subleaf & 63) * 4 + register;
}
