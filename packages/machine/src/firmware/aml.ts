/*
 * An encoder for ACPI Machine Language (ACPI 6.5 §20.2): as much of it as a description of this machine needs. Terms are bytes; a term
 * that holds others takes them as a list.
 */

/** A term, encoded. */
export type Aml = readonly number[];

const zeroOp = 0x00;
const oneOp = 0x01;
const nameOp = 0x08;
const bytePrefix = 0x0a;
const wordPrefix = 0x0b;
const dwordPrefix = 0x0c;
const stringPrefix = 0x0d;
const scopeOp = 0x10;
const bufferOp = 0x11;
const packageOp = 0x12;
const methodOp = 0x14;
const dualNamePrefix = 0x2e;
const multiNamePrefix = 0x2f;
const extendedPrefix = 0x5b;
const rootCharacter = 0x5c;
const argument0 = 0x68;
const storeOp = 0x70;
const deviceOp = 0x82;
const ifOp = 0xa0;
const returnOp = 0xa4;

/** \ and segments of one to four letters with dots between: `\_SB.PCI0`. */
function nameString(name: string): Aml {
  const isRoot = name.startsWith('\\');
  const path = isRoot ? name.slice(1) : name;
  const prefix = isRoot ? [rootCharacter] : [];
  if (path === '') return [...prefix, zeroOp];
  const segments = path.split('.').map((segment) => {
    if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment)) throw new RangeError(`"${name}" is no name of ACPI`);
    return [...segment.padEnd(4, '_')].map((letter) => letter.charCodeAt(0));
  });
  if (segments.length === 2) prefix.push(dualNamePrefix);
  else if (segments.length > 2) prefix.push(multiNamePrefix, segments.length);
  return [...prefix, ...segments.flat()];
}

/** A length that counts itself, then the content (§20.2.4). */
function withLength(content: Aml): Aml {
  const { length } = content;
  if (length + 1 < 0x40) return [length + 1, ...content];
  const extra = length + 2 < 0x1000 ? 1 : 2;
  const total = length + 1 + extra;
  if (total >= 0x10_0000) throw new RangeError(`${total} bytes in one term of AML`);
  const head = [(extra << 6) | (total & 15), (total >> 4) & 0xff, (total >> 12) & 0xff];
  return [...head.slice(0, 1 + extra), ...content];
}

/** @param value a whole number of at most 32 bits, without sign */
export function integer(value: number): Aml {
  if (value === 0) return [zeroOp];
  if (value === 1) return [oneOp];
  if (value < 0x100) return [bytePrefix, value];
  if (value < 0x1_0000) return [wordPrefix, ...littleEndian(value, 2)];
  return [dwordPrefix, ...littleEndian(value, 4)];
}

/** Letters of ASCII. */
export function text(value: string): Aml {
  return [stringPrefix, ...[...value].map((letter) => letter.charCodeAt(0)), 0];
}

/** A plug-and-play ID of three letters and four digits, compressed: `PNP0A08`. */
export function eisaId(id: string): Aml {
  const [first, second, third] = [0, 1, 2].map((at) => id.charCodeAt(at) - 0x40);
  const letters = (first << 10) | (second << 5) | third;
  const product = Number.parseInt(id.slice(3), 16);
  return [dwordPrefix, letters >> 8, letters & 0xff, product >> 8, product & 0xff];
}

export function name(path: string, value: Aml): Aml {
  return [nameOp, ...nameString(path), ...value];
}

export function scope(path: string, ...terms: readonly Aml[]): Aml {
  return [scopeOp, ...withLength([...nameString(path), ...terms.flat()])];
}

export function device(path: string, ...terms: readonly Aml[]): Aml {
  return [extendedPrefix, deviceOp, ...withLength([...nameString(path), ...terms.flat()])];
}

/** A method of 0 to 7 arguments, not serialized. */
export function method(path: string, argumentCount: number, ...terms: readonly Aml[]): Aml {
  return [methodOp, ...withLength([...nameString(path), argumentCount, ...terms.flat()])];
}

/** The first argument of the method around it. */
export const firstArgument: Aml = [argument0];

/** What has this name. */
export function reference(path: string): Aml {
  return nameString(path);
}

export function store(value: Aml, target: Aml): Aml {
  return [storeOp, ...value, ...target];
}

export function whenTrue(condition: Aml, ...terms: readonly Aml[]): Aml {
  return [ifOp, ...withLength([...condition, ...terms.flat()])];
}

export function returned(value: Aml): Aml {
  return [returnOp, ...value];
}

/** At most 255 elements. */
export function packageOf(...elements: readonly Aml[]): Aml {
  return [packageOp, ...withLength([elements.length, ...elements.flat()])];
}

export function buffer(bytes: Aml): Aml {
  return [bufferOp, ...withLength([...integer(bytes.length), ...bytes])];
}

export function littleEndian(value: number, bytes: number): Aml {
  return Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256);
}
