import { DecoderOptions, decode, Instruction } from '@nest86/decoder';
import { formatIntel } from '@nest86/decoder/intel';
import { bodyToText, CodeWriter, Compiler, ModuleBuilder } from '@nest86/wasm';
import { importServices, writeHandler } from '../../src/interpreter/handlers.ts';
import type { CallLibrary } from '../../src/library/function.ts';
import { typeOfLibrary } from '../../src/library/library.ts';
import { type StateField, stateOffset, stateSize } from '../../src/state/layout.ts';
import { ShapeFinder } from './shapes.ts';

/** One instruction of each family, by the name of its file. */
export const goldenInstructions: Readonly<Record<string, readonly number[]>> = {
  'add-register': [0x48, 0x01, 0xd8],
  'add-to-memory': [0x01, 0x58, 0x08],
  'lock-xadd': [0xf0, 0x48, 0x0f, 0xc1, 0x18],
  'lock-cmpxchg': [0xf0, 0x0f, 0xb1, 0x0b],
  'sub-byte-high': [0x28, 0xe3],
  'mov-load-indexed': [0x48, 0x8b, 0x44, 0xcb, 0x10],
  'mov-fs-relative': [0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0],
  'shl-by-cl': [0x48, 0xd3, 0xe0],
  'imul-three-operands': [0x6b, 0xc3, 0x07],
  'div-quadword': [0x48, 0xf7, 0xf3],
  'bt-memory': [0x48, 0x0f, 0xa3, 0x03],
  'jump-if-less': [0x7c, 0x10],
  'jump-indirect': [0xff, 0xe0],
  'call-relative': [0xe8, 0, 1, 0, 0],
  ret: [0xc3],
  push: [0x50],
  'pop-memory': [0x8f, 0x40, 0x08],
  'rep-lodsb': [0xf3, 0xac],
  'repne-scasb': [0xf2, 0xae],
  'sse-paddd': [0x66, 0x0f, 0xfe, 0xc1],
  'sse-addsd': [0xf2, 0x0f, 0x58, 0xc1],
  'avx-vpshufb-256': [0xc4, 0xe2, 0x7d, 0x00, 0x00],
  'mmx-movq-store': [0x0f, 0x7f, 0x03],
  'x87-fadd': [0xd8, 0x03],
  'x87-fxch': [0xd9, 0xc9],
};

const memoryShape = { addressType: 'i32', shared: false, minimumPages: 1, maximumPages: 1 } as const;
const handlerType = { parameters: [0x7f, 0x7f, 0x7f], results: [] } as const;

/** The handler of an instruction in 64-bit code: its shape, its locals, its bytes beside what they mean. */
export function goldenText(code: readonly number[]): string {
  const { name, shape } = new ShapeFinder().of(code);
  const module = new ModuleBuilder();
  const imports = importServices(module);
  const writer = new CodeWriter(memoryShape);
  const compiler = new Compiler(writer);
  const called: string[] = [];
  const library: CallLibrary = (fn, args) => {
    for (const arg of args) compiler.push(arg);
    // The row of a library function depends on what was built before it.
    if (!called.includes(fn.name)) called.push(fn.name);
    writer.i32Const(called.indexOf(fn.name));
    writer.callIndirect(module.type(typeOfLibrary(fn)));
    return fn.result === undefined ? undefined : compiler.pop(fn.result);
  };
  writer.begin(handlerType);
  compiler.begin();
  writeHandler(compiler, shape, imports, library, module.type(handlerType));
  writer.finish();
  const body = writer.body.bytes.slice(0, writer.body.length);
  const lines = bodyToText(body);
  const text = lines.map(({ offset, depth, text: plain }, i) => {
    const named = withStateNames(plain);
    // A field of the state may move: its place is told by name.
    const bytes =
      named === plain ? byteText(body.subarray(offset, lines[i + 1]?.offset ?? body.length)) : '..';
    return `${bytes.padEnd(32)} ${'  '.repeat(depth)}${named}`;
  });
  const locals = writer.localTypes.slice(writer.parameterCount).map(typeName).join(' ');
  return [
    `;; ${instructionText(code)}`,
    `;; ${name}`,
    `;; calls ${called.length === 0 ? 'nothing' : called.map((one, i) => `${i} ${one}`).join(', ')}`,
    `;; parameters: state record budget; locals from 3: ${locals}`,
    ...text,
    '',
  ].join('\n');
}

function byteText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

const fields = (Object.keys(stateOffset) as StateField[]).sort((a, b) => stateOffset[b] - stateOffset[a]);

/** Offsets behind the general registers' cells, which records name by number, as field and distance. */
function withStateNames(text: string): string {
  const named = (offset: number): string => {
    const field = fields.find((one) => stateOffset[one] <= offset)!;
    return `state.${field}${offset === stateOffset[field] ? '' : `+${offset - stateOffset[field]}`}`;
  };
  const isState = (offset: number): boolean => offset >= stateOffset.zero && offset < stateSize;
  return text
    .replace(/offset=(\d+)/, (all, digits: string) =>
      isState(Number(digits)) ? `offset=${named(Number(digits))}` : all,
    )
    .replace(/^i32\.const (\d+)$/, (all, digits: string) =>
      Number(digits) >= stateOffset.scratch && Number(digits) < stateOffset.scratch + 256
        ? `i32.const ${named(Number(digits))}`
        : all,
    );
}

function instructionText(code: readonly number[]): string {
  const bytes = new Uint8Array(15);
  bytes.set(code);
  const instruction = new Instruction();
  decode(bytes, 0, new DecoderOptions(), instruction);
  return formatIntel(instruction);
}

const typeNames: Readonly<Record<number, string>> = {
  127: 'i32',
  126: 'i64',
  125: 'f32',
  124: 'f64',
  123: 'v128',
};

function typeName(type: number): string {
  return typeNames[type];
}
