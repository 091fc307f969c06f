import {
  Cell,
  cellOfEncoding,
  FieldWidth,
  launchCell,
  regionBytes,
  type VmcsField,
  vmcsFields,
  widthOf,
} from './fields.ts';

/** Values of fields, as numbers or, for those of 64 bits, as bigint. What is left out is 0. */
export type VmcsValues = Partial<Record<VmcsField, number | bigint>>;

/** Revision identifier of our layout (IA32_VMX_BASIC bits 30:0). */
export const vmcsRevision = 0x4e_5801;

/**
 * A VMCS region in memory. Hot code reads halves by {@link Cell}; names and BigInt are for the edges. The region may lie in a guest's RAM:
 * `words` and `base` can be set anew at each use.
 */
export class Vmcs {
  words: Int32Array;
  /** Word at which the region begins. */
  base: number;

  constructor(words: Int32Array = new Int32Array(regionBytes / 4), base = 0) {
    this.words = words;
    this.base = base;
  }

  /** Low half, or all of a field of 16 or 32 bits. @param cell of {@link Cell} */
  low(cell: number): number {
    return this.words[this.base + cell];
  }

  high(cell: number): number {
    return this.words[this.base + cell + 1];
  }

  setLow(cell: number, low: number): void {
    this.words[this.base + cell] = low;
  }

  setPair(cell: number, low: number, high: number): void {
    this.words[this.base + cell] = low;
    this.words[this.base + cell + 1] = high;
  }

  get isLaunched(): boolean {
    return this.words[this.base + launchCell] !== 0;
  }

  set isLaunched(is: boolean) {
    this.words[this.base + launchCell] = is ? 1 : 0;
  }

  /** Bits 30:0 of the first word; bit 31 marks a shadow VMCS. */
  get revision(): number {
    return this.words[this.base];
  }

  set revision(value: number) {
    this.words[this.base] = value;
  }

  // At the edge.

  /** A field as a whole. */
  get(name: VmcsField): bigint {
    const cell = Cell[name];
    return (BigInt(this.high(cell) >>> 0) << 32n) | BigInt(this.low(cell) >>> 0);
  }

  /** Cuts the value off to the field's width. */
  set(name: VmcsField, value: number | bigint): this {
    const cell = Cell[name];
    const whole = BigInt(value);
    const width = widthOf(encodings.get(name) as number);
    const low = Number(BigInt.asIntN(32, whole));
    const isWide = width === FieldWidth.bits64 || width === FieldWidth.natural;
    this.setPair(
      cell,
      width === FieldWidth.bits16 ? low & 0xffff : low,
      isWide ? Number(BigInt.asIntN(32, whole >> 32n)) : 0,
    );
    return this;
  }
}

const encodings: ReadonlyMap<VmcsField, number> = new Map(vmcsFields);
const names: ReadonlyMap<number, VmcsField> = new Map(vmcsFields.map(([name]) => [Cell[name], name]));

/** Encoding of a field by its name. */
export function encodingOf(name: VmcsField): number {
  return encodings.get(name) as number;
}

/** Name of a field by its encoding; undefined if there is no such field. */
export function fieldNamed(encoding: number): VmcsField | undefined {
  return names.get(cellOfEncoding(encoding));
}

/** An image of a region with these fields, all others 0. */
export function buildVmcs(values: VmcsValues): Vmcs {
  const vmcs = new Vmcs();
  vmcs.revision = vmcsRevision;
  for (const [name, value] of Object.entries(values)) vmcs.set(name as VmcsField, value);
  return vmcs;
}

/** All fields of a region of our layout. @param bytes 4096 of them @throws VmcsImageError for another size or revision */
export function parseVmcs(bytes: Uint8Array): Record<VmcsField, bigint> {
  if (bytes.length !== regionBytes)
    throw new VmcsImageError(`an image of ${bytes.length} bytes: ${regionBytes} are needed`);
  const vmcs = new Vmcs(new Int32Array(bytes.slice().buffer));
  const revision = vmcs.revision & 0x7fff_ffff;
  if (revision !== vmcsRevision)
    throw new VmcsImageError(`revision ${revision.toString(16)}: ${vmcsRevision.toString(16)} is allowed`);
  return Object.fromEntries(vmcsFields.map(([name]) => [name, vmcs.get(name)])) as Record<VmcsField, bigint>;
}

/** Bytes that are no VMCS of ours. */
export class VmcsImageError extends Error {
  override readonly name: string = 'VmcsImageError';
}
