import { signatureOf } from './evaluate.ts';
import { nameOf } from './evaluate-vector.ts';
import { Op } from './opcodes.ts';
import { ValueType } from './types.ts';

/** One instruction of a function body as text. */
export interface TextLine {
  /** Offset in the body. */
  readonly offset: number;
  /** Blocks that are open. */
  readonly depth: number;
  readonly text: string;
}

const typeNames = new Map<number, string>(Object.entries(ValueType).map(([name, byte]) => [byte, name]));

/**
 * Text of a body that {@link CodeWriter} wrote, in WebAssembly's text format, one instruction per line: to look at what was compiled.
 * @throws RangeError where the bytes are no instruction that the encoder knows
 */
export function bodyToText(body: Uint8Array): TextLine[] {
  const lines: TextLine[] = [];
  const reader = new Reader(body);
  let depth = 0;
  while (reader.position < body.length) {
    const offset = reader.position;
    const op = reader.op();
    if (op === Op.end || op === Op.else) depth--;
    lines.push({ offset, depth: Math.max(0, depth), text: `${textName(op)}${immediates(op, reader)}` });
    if (op === Op.block || op === Op.loop || op === Op.if || op === Op.else) depth++;
  }
  return lines;
}

/** `i64Load32U` is `i64.load32_u`. */
function textName(op: number): string {
  const name = nameOf(op);
  const known =
    /^(i32|i64|f32|f64|v128|i8x16|i16x8|i32x4|i64x2|f32x4|f64x2|local|global|memory|data|atomic)([A-Z].*)$/.exec(
      name,
    );
  const words = (text: string): string =>
    text
      .replace(/([a-z0-9])([A-Z])/g, (_, before: string, after: string) => `${before}_${after.toLowerCase()}`)
      .toLowerCase()
      .replace(
        /^atomic_rmw(\d*)_(\w+?)(_u)?$/,
        (_, width: string, what: string, sign: string = '') => `atomic.rmw${width}.${what}${sign}`,
      )
      .replace(/^atomic_(load|store)/, 'atomic.$1');
  if (known === null) return name === 'atomicFence' ? 'atomic.fence' : words(name);
  return `${known[1]}.${words(known[2])}`;
}

function immediates(op: number, reader: Reader): string {
  switch (op) {
    case Op.block:
    case Op.loop:
    case Op.if: {
      const type = reader.byte();
      return type === 0x40 ? '' : ` (result ${typeNames.get(type)})`;
    }
    case Op.br:
    case Op.brIf:
    case Op.call:
    case Op.returnCall:
    case Op.localGet:
    case Op.localSet:
    case Op.localTee:
    case Op.globalGet:
    case Op.globalSet:
    case Op.dataDrop:
      return ` ${reader.unsigned()}`;
    case Op.brTable: {
      const count = reader.unsigned();
      return ` ${Array.from({ length: count + 1 }, () => reader.unsigned()).join(' ')}`;
    }
    case Op.callIndirect:
    case Op.returnCallIndirect: {
      const type = reader.unsigned();
      return ` ${reader.unsigned()} (type ${type})`;
    }
    case Op.memorySize:
    case Op.memoryGrow:
    case Op.memoryFill:
    case Op.atomicFence:
      reader.byte();
      return '';
    case Op.memoryCopy:
      reader.byte();
      reader.byte();
      return '';
    case Op.i32Const:
    case Op.i64Const:
      return ` ${reader.signed()}`;
    case Op.f32Const:
      return ` ${reader.hex(4)}`;
    case Op.f64Const:
      return ` ${reader.hex(8)}`;
    case Op.v128Const:
      return ` ${reader.hex(16)}`;
    case Op.i8x16Shuffle:
      return ` ${Array.from({ length: 16 }, () => reader.byte()).join(' ')}`;
  }
  const signature = signatureOf(op);
  let text = '';
  if (signature.startsWith('a')) {
    const align = reader.unsigned();
    const offset = reader.unsigned();
    text += `${offset === 0 ? '' : ` offset=${offset}`}${align === 0 ? '' : ` align=${2 ** align}`}`;
  }
  if (signature.endsWith(' lane')) text += ` ${reader.byte()}`;
  return text;
}

class Reader {
  position = 0;

  constructor(private readonly bytes: Uint8Array) {}

  byte(): number {
    if (this.position >= this.bytes.length)
      throw new RangeError(`function body ends inside an instruction, at ${this.position}`);
    return this.bytes[this.position++];
  }

  op(): number {
    const at = this.position;
    const first = this.byte();
    if (first === 0x1c) {
      this.byte();
      this.byte();
      return Op.select;
    }
    const op = first >= 0xfc ? opsByCode.get((first << 8) | this.unsigned()) : opsByCode.get(first);
    if (op === undefined)
      throw new RangeError(`no instruction at ${at} of the function body: 0x${first.toString(16)}`);
    return op;
  }

  unsigned(): number {
    let result = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      result += (byte & 0x7f) * scale;
      if (byte < 0x80) return result;
    }
  }

  signed(): bigint {
    let result = 0n;
    let shift = 0n;
    for (;;) {
      const byte = this.byte();
      result |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
      if (byte < 0x80) return BigInt.asIntN(Number(shift), result);
    }
  }

  hex(count: number): string {
    return Array.from({ length: count }, () => this.byte().toString(16).padStart(2, '0')).join('');
  }
}

const opsByCode = new Map<number, number>(Object.values(Op).map((op) => [op & 0xffff, op]));
