import { Handlers } from '../../src/interpreter/handlers.ts';
import { type HandlerShape, shapeName } from '../../src/interpreter/shape.ts';
import { type CodeMode, type CodeModeInit, CodeModes } from '../../src/records/code-mode.ts';
import { record, recordSize } from '../../src/records/layout.ts';
import { Translator, Written } from '../../src/records/translate.ts';
import type { RecordFields } from '../../src/regions/region-operation.ts';
import { plainMode } from '../plain-mode.ts';

/** A form of handler that code can ask for, with the first instruction that was found to do so. */
export interface FoundShape {
  readonly name: string;
  readonly shape: HandlerShape;
  readonly fields: RecordFields;
  readonly code: Uint8Array;
}

export interface ShapeOptions {
  /** Opcodes that are looked at, of each map; default all. */
  readonly opcodes?: (opcode: number) => boolean;
  /** Every address form and every mode for each form of operands, instead of the plainest. */
  readonly all?: boolean;
  readonly bits?: readonly (16 | 32 | 64)[];
}

const memoryShape = { addressType: 'i32', shared: false, minimumPages: 2, maximumPages: 2 } as const;
const at = 0x10000;
/** Offset of the instruction in its page. */
const offset = 0x100;

/**
 * Every shape that the decoder's table and the translator can ask for: all opcodes of the legacy and VEX maps with all operand sizes, REP and LOCK prefixes, with
 * registers and memory; then each of them with every address size, scale and segment, in every mode. Constant immediates take all their values.
 */
export class ShapeFinder {
  readonly found: Map<string, FoundShape> = new Map();
  private readonly view: DataView;
  private readonly handlers: Handlers;
  private readonly translator: Translator;

  constructor() {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 2 });
    this.view = new DataView(memory.buffer);
    // Only its list of shapes is used: nothing is built.
    this.handlers = new Handlers(memory, memoryShape, { access: () => 0, commit: () => {} });
    this.translator = new Translator(this.view, this.handlers);
  }

  find({ opcodes = () => true, all = false, bits = [64, 32, 16] }: ShapeOptions = {}): FoundShape[] {
    for (const size of bits) {
      const [plain, ...others] = modesOf(size, all);
      for (const head of heads(size)) {
        for (let opcode = 0; opcode < 256; opcode++) {
          if (!opcodes(opcode)) continue;
          this.opcode(head, opcode, plain, all ? others : []);
        }
      }
    }
    return [...this.found.values()];
  }

  /** The shape of one instruction in the plainest mode. @throws RangeError if none was made for it, or it is known already */
  of(code: readonly number[], bits: 16 | 32 | 64 = 64): FoundShape {
    const found = this.attempt(code, modesOf(bits, false)[0]);
    if (found === undefined) throw new RangeError(`no new shape for ${code.map(byteText).join(' ')}`);
    return found;
  }

  /** All forms of one opcode. */
  private opcode(head: Head, opcode: number, plain: CodeMode, others: readonly CodeMode[]): void {
    const { prefixes, opcodeMap } = head;
    for (const modrm of modrms) {
      const isMemory = modrm < 0xc0;
      const tail = [...opcodeMap, opcode, modrm, ...immediateBytes];
      const code = [...prefixes, ...tail];
      const fresh = this.attempt(code, plain);
      if (fresh === undefined) continue;
      if (fresh.shape.operands.some((operand) => operand.kind === 'immediate' && operand.value !== undefined))
        this.immediates(code, plain);
      for (const mode of others) this.attempt(code, mode);
      if (others.length === 0) continue;
      const forms =
        isMemory && fresh.shape.memory !== undefined ? addressForms(modrm & 0x38, plain.bits) : [];
      for (const addressSize of [[], [0x67]]) {
        for (const segment of segmentPrefixes) {
          const extra = [...addressSize, ...segment];
          this.attempt([...extra, ...code], plain);
          for (const form of forms)
            this.attempt([...extra, ...prefixes, ...opcodeMap, opcode, ...form, ...immediateBytes], plain);
        }
      }
    }
  }

  /** Every value of the last byte, which is the immediate. */
  private immediates(code: readonly number[], mode: CodeMode): void {
    const length = this.translator.instruction.length;
    const bytes = code.slice(0, length);
    for (let value = 0; value < 256; value++) {
      bytes[length - 1] = value;
      this.attempt([...bytes, ...immediateBytes], mode);
    }
  }

  /** The shape of an instruction if it is a new one. */
  private attempt(code: readonly number[], mode: CodeMode): FoundShape | undefined {
    const { view, translator, handlers } = this;
    // Rows are few; what was found is in `found`.
    if (handlers.isFull) handlers.reset();
    const bytes = new Uint8Array(15);
    bytes.set(code.slice(0, 15));
    for (let i = 0; i < recordSize; i += 4) view.setInt32(at + i, 0, true);
    if (translator.write(at, bytes, 0, offset, mode) === Written.truncated) return undefined;
    const shape = handlers.shapeOf(view.getUint16(at + record.handler, true));
    if (shape === undefined) return undefined;
    const name = `${mode.vendor} ${shapeName(shape)}`;
    if (this.found.has(name)) return undefined;
    const position = view.getUint16(at + record.position, true);
    const one: FoundShape = {
      name,
      shape,
      code: bytes.slice(0, translator.instruction.length),
      fields: {
        a: view.getUint8(at + record.a),
        b: view.getUint8(at + record.b),
        base: view.getUint8(at + record.base),
        index: view.getUint8(at + record.index),
        last: view.getUint8(at + record.last),
        displacement: view.getInt32(at + record.displacement, true),
        immediate: view.getInt32(at + record.immediate, true),
        start: position & 0xfff,
        next: (position & 0xfff) + (position >> 12),
      },
    };
    this.found.set(name, one);
    return one;
  }
}

function byteText(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

/** What stands before the opcode. */
interface Head {
  readonly prefixes: readonly number[];
  readonly opcodeMap: readonly number[];
}

function* heads(bits: number): Iterable<Head> {
  const rex = bits === 64 ? [[], [0x40], [0x48]] : [[]];
  for (const legacy of [[], [0x66], [0xf2], [0xf3], [0x66, 0xf2], [0x66, 0xf3], [0xf0], [0x66, 0xf0]]) {
    for (const opcodeMap of [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]])
      for (const one of rex) yield { prefixes: legacy, opcodeMap: [...one, ...opcodeMap] };
  }
  for (const map of [1, 2, 3])
    for (const w of [0, 1])
      for (const l of [0, 1])
        for (const pp of [0, 1, 2, 3])
          for (const vvvv of [0x78, 0x70])
            yield { prefixes: [], opcodeMap: [0xc4, 0xe0 | map, (w << 7) | vvvv | (l << 2) | pp] };
}

/** Displacements and immediates. */
const immediateBytes: readonly number[] = [0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08];
const modrms: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((reg) => [
  // [rax + rcx + disp8], in 16-bit code [si + disp8]; registers 0 to 7.
  0x44 | (reg << 3),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((rm) => 0xc0 | (reg << 3) | rm),
]);
const segmentPrefixes: readonly (readonly number[])[] = [[], [0x26], [0x2e], [0x36], [0x64], [0x65]];

/** Bytes from ModRM on: without index, with each scale, absolute or relative to RIP. */
function addressForms(reg: number, bits: number): readonly (readonly number[])[] {
  const relative = [reg | 5, 8, 8, 8, 8];
  if (bits === 16) return [[reg | 0], [reg | 2], [reg | 6, 8, 8], relative];
  return [relative, [0x40 | reg, 8], ...[0, 1, 2, 3].map((scale) => [0x44 | reg, (scale << 6) | 0x08, 8])];
}

/** The plainest first. */
function modesOf(bits: 16 | 32 | 64, all: boolean): CodeMode[] {
  const plain = plainMode(bits);
  const inits: CodeModeInit[] = [plain];
  if (all) {
    for (const checksAlignment of [false, true]) {
      if (bits === 64)
        for (const linearBits of [48, 57] as const) inits.push({ ...plain, linearBits, checksAlignment });
      else
        for (const isFlat of [true, false])
          for (const stackAddressBits of [16, 32] as const)
            inits.push({ ...plain, isFlat, stackAddressBits, checksAlignment });
    }
  }
  return (['intel', 'amd'] as const).flatMap((vendor, i) => {
    const modes = new CodeModes(vendor);
    return (i > 0 && !all ? [] : inits).map((init) => modes.of(init));
  });
}
