/*
 * Plain values as bytes: what units hold. Numbers, texts, bigints, arrays, objects without prototype of their own, and typed arrays. A property that is
 * undefined is left out. Numbers of more than a byte have their low byte first, typed arrays too, as all hosts have them that run WebAssembly.
 */

const Tag = {
  null: 0,
  false: 1,
  true: 2,
  int32: 3,
  float64: 4,
  bigint: 5,
  text: 6,
  array: 7,
  object: 8,
  /** Typed arrays: this and their number. */
  columns: 16,
} as const;

const columns = [
  Uint8Array,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
] as const;
type Column = InstanceType<(typeof columns)[number]>;

/** Objects in objects: far more than any state has. */
const mostDepth = 32;

/** What is not among the values above, or bytes that are none of them. */
export class ValueError extends Error {
  override readonly name: string = 'ValueError';
}

/** The kind of a typed array, whatever was made of its class: a Buffer is a Uint8Array. */
export function columnName(value: ArrayBufferView): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1);
}

/** @throws ValueError for a function, a cycle or anything else that is no value */
export function encodeValue(value: unknown): Uint8Array {
  const writer = new Writer();
  writer.value(value, 0);
  return writer.taken();
}

/** @throws ValueError, whatever the bytes are, and nothing else */
export function decodeValue(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Writer {
  private bytes = new Uint8Array(1024);
  private view = new DataView(this.bytes.buffer);
  private at = 0;

  taken(): Uint8Array {
    return this.bytes.slice(0, this.at);
  }

  value(value: unknown, depth: number): void {
    if (depth > mostDepth) throw new ValueError(`values in values: ${mostDepth} levels are allowed`);
    switch (typeof value) {
      case 'boolean':
        this.tag(value ? Tag.true : Tag.false);
        return;
      case 'number':
        this.number(value);
        return;
      case 'bigint':
        this.tag(Tag.bigint);
        this.text(value.toString(16));
        return;
      case 'string':
        this.tag(Tag.text);
        this.text(value);
        return;
      case 'object':
        this.object(value, depth);
        return;
      default:
        throw new ValueError(`a ${typeof value} cannot be saved`);
    }
  }

  private object(value: object | null, depth: number): void {
    if (value === null) this.tag(Tag.null);
    else if (ArrayBuffer.isView(value)) this.column(value);
    else if (Array.isArray(value)) {
      this.tag(Tag.array);
      this.length(value.length);
      for (const element of value) this.value(element, depth + 1);
    } else {
      const properties = Object.entries(value).filter(([, property]) => property !== undefined);
      this.tag(Tag.object);
      this.length(properties.length);
      for (const [name, property] of properties) {
        this.text(name);
        this.value(property, depth + 1);
      }
    }
  }

  private number(value: number): void {
    const isInt = (value | 0) === value && !Object.is(value, -0);
    this.tag(isInt ? Tag.int32 : Tag.float64);
    const at = this.room(isInt ? 4 : 8);
    if (isInt) this.view.setInt32(at, value, true);
    else this.view.setFloat64(at, value, true);
  }

  private column(value: ArrayBufferView): void {
    const name = columnName(value);
    const kind = columns.findIndex((Kind) => Kind.name === name);
    if (kind < 0) throw new ValueError(`a ${name} cannot be saved`);
    this.tag(Tag.columns + kind);
    this.length((value as Column).length);
    const at = this.room(value.byteLength);
    this.bytes.set(new Uint8Array(value.buffer, value.byteOffset, value.byteLength), at);
  }

  private text(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.length(bytes.length);
    const at = this.room(bytes.length);
    this.bytes.set(bytes, at);
  }

  private tag(tag: number): void {
    const at = this.room(1);
    this.bytes[at] = tag;
  }

  private length(length: number): void {
    const at = this.room(4);
    this.view.setUint32(at, length, true);
  }

  /** @returns where so many bytes may be written */
  private room(count: number): number {
    const { at } = this;
    this.at += count;
    if (this.at > this.bytes.length) {
      const bytes = new Uint8Array(Math.max(this.at, this.bytes.length * 2));
      bytes.set(this.bytes);
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer);
    }
    return at;
  }
}

class Reader {
  private readonly view: DataView;
  private at = 0;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  end(): void {
    if (this.at !== this.bytes.length)
      throw new ValueError(`${this.bytes.length - this.at} bytes behind the end of the value`);
  }

  value(depth: number): unknown {
    if (depth > mostDepth) throw new ValueError(`values in values: ${mostDepth} levels are allowed`);
    const tag = this.bytes[this.take(1)];
    switch (tag) {
      case Tag.null:
        return null;
      case Tag.false:
        return false;
      case Tag.true:
        return true;
      case Tag.int32:
        return this.view.getInt32(this.take(4), true);
      case Tag.float64:
        return this.view.getFloat64(this.take(8), true);
      case Tag.bigint:
        return this.bigint();
      case Tag.text:
        return this.text();
      case Tag.array: {
        const count = this.length(1);
        const values: unknown[] = [];
        for (let i = 0; i < count; i++) values.push(this.value(depth + 1));
        return values;
      }
      case Tag.object: {
        const count = this.length(5);
        const properties: [string, unknown][] = [];
        for (let i = 0; i < count; i++) properties.push([this.text(), this.value(depth + 1)]);
        return Object.fromEntries(properties);
      }
      default:
        return this.column(tag - Tag.columns);
    }
  }

  private column(kind: number): Column {
    const Kind = columns[kind];
    if (Kind === undefined) throw new ValueError(`no value begins with ${kind + Tag.columns}`);
    const count = this.length(Kind.BYTES_PER_ELEMENT);
    const at = this.take(count * Kind.BYTES_PER_ELEMENT);
    const column = new Kind(count);
    new Uint8Array(column.buffer).set(this.bytes.subarray(at, this.at));
    return column;
  }

  private bigint(): bigint {
    const digits = this.text();
    if (!/^-?[\da-f]{1,1000}$/.test(digits))
      throw new ValueError('a whole number has other characters than digits');
    return digits.startsWith('-') ? -BigInt(`0x${digits.slice(1)}`) : BigInt(`0x${digits}`);
  }

  private text(): string {
    const count = this.length(1);
    const at = this.take(count);
    return new TextDecoder().decode(this.bytes.subarray(at, this.at));
  }

  /** A number of elements, for which there are bytes enough. @param least bytes of each */
  private length(least: number): number {
    const count = this.view.getUint32(this.take(4), true);
    if (count * least > this.bytes.length - this.at)
      throw new ValueError(`${count} elements in ${this.bytes.length - this.at} bytes`);
    return count;
  }

  private take(count: number): number {
    const { at } = this;
    if (count > this.bytes.length - at) throw new ValueError(`ends at byte ${this.bytes.length}`);
    this.at += count;
    return at;
  }
}
