import { ByteWriter } from './bytes.ts';
import type { CodeWriter } from './code.ts';
import type { FunctionType, MemoryShape, ValueType } from './types.ts';

const section = {
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  export: 7,
  element: 9,
  code: 10,
} as const;
const kind = { function: 0, table: 1, memory: 2, global: 3 } as const;
const funcref = 0x70;

/** Puts functions together to a module. Indices count imports first, as in the binary format: import before you define. */
export class ModuleBuilder {
  private readonly types: FunctionType[] = [];
  private readonly imports: ((out: ByteWriter) => void)[] = [];
  private readonly exports: ((out: ByteWriter) => void)[] = [];
  private readonly functionTypes: number[] = [];
  private readonly functionNames = new Map<number, string>();
  /** Bodies with their sizes in front, one behind the other. */
  private bodies = takeSpare();
  private bodyCount = 0;
  /** Of each function that has any: its index, how many, and offset and value of each. */
  private readonly hints: number[] = [];
  private hintedFunctions = 0;
  private readonly elements: { offset: number; functions: readonly number[] }[] = [];
  private memory: MemoryShape | undefined;
  private table: { minimum: number; maximum: number | undefined } | undefined;
  private importedFunctions = 0;
  private importedGlobals = 0;

  /** Index of a function type; equal types share one. */
  type(type: FunctionType): number {
    const known = this.types.findIndex((other) => other === type || isSameType(other, type));
    return known >= 0 ? known : this.types.push(type) - 1;
  }

  importFunction(module: string, name: string, type: FunctionType): number {
    if (this.functionTypes.length > 0) throw new Error(`import of "${name}" after a function was declared`);
    const typeIndex = this.type(type);
    this.import(module, name, kind.function, (out) => out.unsigned(typeIndex));
    return this.importedFunctions++;
  }

  importMemory(module: string, name: string, shape: MemoryShape): void {
    this.import(module, name, kind.memory, (out) => writeMemory(out, shape));
  }

  importTable(module: string, name: string, minimum: number): void {
    this.import(module, name, kind.table, (out) => writeTable(out, minimum, undefined));
  }

  importGlobal(module: string, name: string, type: ValueType, mutable: boolean): number {
    this.import(module, name, kind.global, (out) => {
      out.byte(type);
      out.byte(mutable ? 1 : 0);
    });
    return this.importedGlobals++;
  }

  defineMemory(shape: MemoryShape, exportName: string): void {
    this.memory = shape;
    this.export(exportName, kind.memory, 0);
  }

  defineTable(minimum: number, maximum: number | undefined, exportName: string | undefined): void {
    this.table = { minimum, maximum };
    if (exportName !== undefined) this.export(exportName, kind.table, 0);
  }

  /** Reserves the index of a function, so that others can call it before it is defined. */
  declareFunction(type: FunctionType, name: string | undefined = undefined): number {
    const index = this.importedFunctions + this.functionTypes.push(this.type(type)) - 1;
    if (name !== undefined) this.functionNames.set(index, name);
    return index;
  }

  /** Takes the body that `code` holds; functions are defined in the order in which they were declared. */
  define(index: number, code: CodeWriter): void {
    const { bodies } = this;
    const expected = this.importedFunctions + this.bodyCount;
    if (index !== expected) throw new Error(`function ${index} defined, ${expected} is next`);
    locals.length = 0;
    writeLocals(locals, code.localTypes, code.parameterCount);
    bodies.unsigned(locals.length + code.body.length);
    bodies.appendFrom(locals);
    bodies.appendFrom(code.body);
    this.bodyCount++;
    if (code.hints.length > 0) this.takeHints(index, code.hints, locals.length);
  }

  exportFunction(index: number, name: string): void {
    this.export(name, kind.function, index);
  }

  /** Puts functions into table 0 from `offset` on when the module is instantiated. */
  fillTable(offset: number, functions: readonly number[]): void {
    this.elements.push({ offset, functions });
  }

  /** The finished module; nothing can be added behind. */
  finish(): Uint8Array<ArrayBuffer> {
    const undefinedFunctions = this.functionTypes.length - this.bodyCount;
    if (undefinedFunctions !== 0) throw new Error(`${undefinedFunctions} declared functions have no body`);
    out.length = 0;
    for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.byte(byte);
    list(out, section.type, this.types, (into, type) => {
      into.byte(0x60);
      for (const types of [type.parameters, type.results]) {
        into.unsigned(types.length);
        for (const one of types) into.byte(one);
      }
    });
    list(out, section.import, this.imports, (into, write) => write(into));
    list(out, section.function, this.functionTypes, (into, type) => into.unsigned(type));
    const { table, memory } = this;
    list(out, section.table, table === undefined ? [] : [table], (into, one) =>
      writeTable(into, one.minimum, one.maximum),
    );
    list(out, section.memory, memory === undefined ? [] : [memory], writeMemory);
    list(out, section.export, this.exports, (into, write) => write(into));
    list(out, section.element, this.elements, (into, { offset, functions }) => {
      into.unsigned(0);
      into.byte(0x41);
      into.signed(offset);
      into.byte(0x0b);
      into.unsigned(functions.length);
      for (const index of functions) into.unsigned(index);
    });
    if (this.hints.length > 0) this.writeHints(out);
    if (this.bodyCount > 0) {
      out.byte(section.code);
      const start = out.skipSize();
      out.unsigned(this.bodyCount);
      out.appendFrom(this.bodies);
      if (this.bodies.bytes.length <= largestSpare) spare = this.bodies;
      this.bodies = new ByteWriter(0);
      out.setSize(start);
    }
    if (this.functionNames.size > 0) this.writeNames(out);
    return out.take();
  }

  private import(module: string, name: string, what: number, describe: (out: ByteWriter) => void): void {
    this.imports.push((out) => {
      out.name(module);
      out.name(name);
      out.byte(what);
      describe(out);
    });
  }

  private export(name: string, what: number, index: number): void {
    this.exports.push((out) => {
      out.name(name);
      out.byte(what);
      out.unsigned(index);
    });
  }

  /** Branch hinting proposal: offsets count from the start of the body, local declarations included. */
  private takeHints(index: number, hints: readonly number[], start: number): void {
    this.hintedFunctions++;
    this.hints.push(index, hints.length / 2);
    for (let i = 0; i < hints.length; i += 2) this.hints.push(start + hints[i], hints[i + 1]);
  }

  private writeHints(out: ByteWriter): void {
    const { hints } = this;
    custom(out, 'metadata.code.branch_hint', () => {
      out.unsigned(this.hintedFunctions);
      for (let at = 0; at < hints.length; ) {
        out.unsigned(hints[at++]);
        const count = hints[at++];
        out.unsigned(count);
        for (const end = at + 2 * count; at < end; at += 2) {
          out.unsigned(hints[at]);
          out.unsigned(1);
          out.byte(hints[at + 1]);
        }
      }
    });
  }

  private writeNames(out: ByteWriter): void {
    custom(out, 'name', () => {
      out.byte(1);
      const start = out.skipSize();
      out.unsigned(this.functionNames.size);
      for (const [index, name] of this.functionNames) {
        out.unsigned(index);
        out.name(name);
      }
      out.setSize(start);
    });
  }
}

function list<T>(
  out: ByteWriter,
  id: number,
  items: readonly T[],
  write: (out: ByteWriter, item: T) => void,
): void {
  if (items.length === 0) return;
  out.byte(id);
  const start = out.skipSize();
  out.unsigned(items.length);
  for (const item of items) write(out, item);
  out.setSize(start);
}

function custom(out: ByteWriter, name: string, write: () => void): void {
  out.byte(0);
  const start = out.skipSize();
  out.name(name);
  write();
  out.setSize(start);
}

function writeMemory(out: ByteWriter, shape: MemoryShape): void {
  const { minimumPages, maximumPages, shared, addressType } = shape;
  if (shared && maximumPages === undefined) throw new RangeError('a shared memory needs maximumPages');
  out.byte((maximumPages === undefined ? 0 : 1) | (shared ? 2 : 0) | (addressType === 'i64' ? 4 : 0));
  out.unsigned64(minimumPages);
  if (maximumPages !== undefined) out.unsigned64(maximumPages);
}

function writeTable(out: ByteWriter, minimum: number, maximum: number | undefined): void {
  out.byte(funcref);
  out.byte(maximum === undefined ? 0 : 1);
  out.unsigned(minimum);
  if (maximum !== undefined) out.unsigned(maximum);
}

function isSameType(one: FunctionType, other: FunctionType): boolean {
  return isSameList(one.parameters, other.parameters) && isSameList(one.results, other.results);
}

function isSameList(one: readonly ValueType[], other: readonly ValueType[]): boolean {
  return one.length === other.length && one.every((type, i) => type === other[i]);
}

/** Room for the bodies of the next module: what the last one wrote them to, if it is not large. */
let spare: ByteWriter | undefined;
const largestSpare = 1 << 18;

function takeSpare(): ByteWriter {
  const taken = spare ?? new ByteWriter();
  spare = undefined;
  taken.length = 0;
  return taken;
}

/** Declarations of one function's locals; a whole module. */
const locals = new ByteWriter(256);
const out = new ByteWriter(1 << 14);

/** Runs of equal types, as the format wants them. */
function writeLocals(out: ByteWriter, types: readonly number[], parameters: number): void {
  const isLastOfRun = (i: number): boolean => i + 1 === types.length || types[i + 1] !== types[i];
  let runs = 0;
  for (let i = parameters; i < types.length; i++) if (isLastOfRun(i)) runs++;
  out.unsigned(runs);
  let length = 0;
  for (let i = parameters; i < types.length; i++) {
    length++;
    if (!isLastOfRun(i)) continue;
    out.unsigned(length);
    out.byte(types[i]);
    length = 0;
  }
}
