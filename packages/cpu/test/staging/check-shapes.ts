import { CodeWriter, Compiler, ModuleBuilder, Op, type Value, ValueType } from '@nest86/wasm';
import type { Block } from '../../src/engine/code-cache.ts';
import { regionType } from '../../src/interpreter/core-handlers.ts';
import { definitionInRegions, importServices, writeHandler } from '../../src/interpreter/handlers.ts';
import { type RegisterUse, registersOf } from '../../src/interpreter/register-use.ts';
import type { HandlerShape } from '../../src/interpreter/shape.ts';
import type { CallLibrary, LibraryFunction } from '../../src/library/function.ts';
import { typeOfLibrary } from '../../src/library/library.ts';
import type { CodeMode } from '../../src/records/code-mode.ts';
import { AccessFacts } from '../../src/regions/access-facts.ts';
import { LazyFlags } from '../../src/regions/lazy-flags.ts';
import { RegionOperation } from '../../src/regions/region-operation.ts';
import { PageList } from '../../src/regions/region-pages.ts';
import { RegionRegisters } from '../../src/regions/region-registers.ts';
import { RegionWriter } from '../../src/regions/region-writer.ts';
import { definitions } from '../../src/semantics/definitions.ts';
import { privilegeChanges } from '../../src/semantics/system/transitions.ts';
import type { StateField } from '../../src/state/layout.ts';
import type { FoundShape } from './shapes.ts';
import { WriteOrderCompiler } from './write-order.ts';

const memoryShape = { addressType: 'i32', shared: false, minimumPages: 1, maximumPages: 1 } as const;
const { i32, i64 } = ValueType;
const handlerType = { parameters: [i32, i32, i32], results: [] } as const;
/** A region has these in locals; in memory they are written again when it is left. */
const inLocals: ReadonlySet<StateField> = new Set<StateField>(['flagResult', 'flagAux']);
/** Shapes of one module. */
const chunkSize = 100;

export interface ShapeFindings {
  handlers: number;
  regions: number;
  /** Bytes of all functions. */
  bytes: number;
  /** Shapes that cannot be built, or whose module is not valid. */
  readonly invalid: string[];
  /** Writes before a way out, by mnemonic and kind of finding: the first shape that shows it. */
  readonly disorder: Map<string, string>;
}

/** Tells when a handler ends. */
class WatchedCode extends CodeWriter {
  compiler: WriteOrderCompiler | undefined;

  override op(op: number): void {
    super.op(op);
    if (op === Op.return) this.compiler?.exit();
  }

  override returnCallIndirect(typeIndex: number, table?: number): void {
    super.returnCallIndirect(typeIndex, table);
    this.compiler?.leave();
  }
}

/**
 * Stages the definition of each shape as a handler and as a region: both must be valid WebAssembly, and neither may write what a program can see before it may
 * give the instruction up (engine-decision B).
 */
export function checkShapes(shapes: readonly FoundShape[]): ShapeFindings {
  const findings: ShapeFindings = { handlers: 0, regions: 0, bytes: 0, invalid: [], disorder: new Map() };
  for (let i = 0; i < shapes.length; i += chunkSize) checkChunk(shapes.slice(i, i + chunkSize), findings);
  return findings;
}

function checkChunk(shapes: readonly FoundShape[], findings: ShapeFindings): void {
  const { invalid } = findings;
  const bytes = build(shapes, findings);
  if (bytes !== undefined && WebAssembly.validate(bytes)) return;
  // Which one is it?
  for (const one of shapes) {
    const nothing: ShapeFindings = { handlers: 0, regions: 0, bytes: 0, invalid: [], disorder: new Map() };
    const alone = build([one], nothing);
    if (alone === undefined) invalid.push(...nothing.invalid);
    else if (!WebAssembly.validate(alone)) invalid.push(`${one.name}: ${reasonOf(alone)}`);
  }
}

function reasonOf(bytes: Uint8Array<ArrayBuffer>): string {
  try {
    new WebAssembly.Module(bytes);
    return 'valid';
  } catch (error) {
    return String(error);
  }
}

/** A module with all of them; undefined if one cannot be built. */
function build(shapes: readonly FoundShape[], findings: ShapeFindings): Uint8Array<ArrayBuffer> | undefined {
  const module = new ModuleBuilder();
  module.importMemory('engine', 'memory', memoryShape);
  module.importTable('engine', 'handlers', 1);
  const imports = importServices(module);
  const type = module.type(handlerType);
  const code = new WatchedCode(memoryShape);
  for (const one of shapes) {
    try {
      const compiler = new WriteOrderCompiler(code);
      code.compiler = compiler;
      const handler = module.declareFunction(handlerType);
      code.begin(handlerType);
      compiler.begin();
      const operation = writeHandler(compiler, one.shape, imports, libraryOf(module, compiler), type);
      code.finish();
      code.compiler = undefined;
      module.define(handler, code);
      findings.handlers++;
      findings.bytes += code.body.length;
      note(findings, one, 'handler', compiler);
      // These are interpreted.
      if (one.shape.repeat !== 0 || privilegeChanges.has(one.shape.mnemonic)) continue;
      checkRegionOrder(one, module, findings);
      const region = module.declareFunction(regionType);
      const plain = new Compiler(code);
      code.begin(regionType);
      writeRegion(code, plain, one, operation.registerUse, callsOf(module, plain));
      code.finish();
      module.define(region, code);
      findings.regions++;
      findings.bytes += code.body.length;
    } catch (error) {
      findings.invalid.push(`${one.name}: ${String(error)}`);
      return undefined;
    }
  }
  return module.finish();
}

/**
 * What may be written before a way out, each because trying again does no harm: mnemonic, what is written and before what, and why. Everything else is a defect.
 */
const declared: readonly (readonly [mnemonic: RegExp, violation: RegExp, why: string])[] = [
  [
    /./,
    /^mxcsr by simd\.settle is written before (exception 19|leaving the region)$/,
    'a SIMD exception is raised after its flag was set (SDM vol. 1, 11.5.2), and setting it again changes nothing',
  ],
  [
    /^VCVTPS2PH$/,
    /^mxcsr by simd\.settle is written before a fault of memory$/,
    'on Intel the flags stay if memory then faults',
  ],
  [/^VP?GATHER/, /^vector/, 'the mask tells what is done (SDM vol. 2C, VGATHERDPS)'],
  [
    /^(V?MASKMOV|VPMASKMOV)/,
    /^memory or register is written in a loop/,
    'all places were checked in an earlier loop',
  ],
  [
    /^(MOVD|MOVQ|MOVNTQ|MASKMOVQ|CVTT?P[SD]2PI|CVTPI2PS)$/,
    /^x87Status is written/,
    'TOP is 0 even after a fault, and making it 0 again changes nothing',
  ],
  [/^POP$/, /^(memory or register|register 4) is written/, 'RSP is put back before the way out'],
];
/** Each repetition is complete by itself; bulk moves do whole ones or nothing. */
const declaredRepeated = /^memory( or register)? is written (before a fault of memory|in a loop)/;

function isDeclared({ mnemonic, repeat }: HandlerShape, violation: string): boolean {
  if (repeat !== 0 && declaredRepeated.test(violation)) return true;
  return declared.some(([names, what]) => names.test(mnemonic) && what.test(violation));
}

/** What library functions write that programs can see. */
const libraryWrites = new Map<LibraryFunction, string>();

function writesOf(fn: LibraryFunction): string {
  let written = libraryWrites.get(fn);
  if (written === undefined) {
    libraryWrites.set(fn, '');
    const module = new ModuleBuilder();
    const code = new CodeWriter(memoryShape);
    const compiler = new WriteOrderCompiler(code, fn.name === 'materialize_flags' ? inLocals : undefined);
    code.begin(typeOfLibrary(fn));
    compiler.begin();
    const parameters = fn.parameters.map((type, i) => compiler.read(compiler.variable(type, i)));
    fn.build(compiler, parameters, libraryOf(module, compiler));
    written = compiler.written === '' ? '' : `${compiler.written} by ${fn.name}`;
    libraryWrites.set(fn, written);
  }
  return written;
}

function libraryOf(module: ModuleBuilder, compiler: WriteOrderCompiler): CallLibrary {
  const call = callsOf(module, compiler);
  return (fn, args) => {
    compiler.called(writesOf(fn));
    return call(fn, args);
  };
}

function callsOf(module: ModuleBuilder, compiler: Compiler): CallLibrary {
  return (fn, args) => {
    for (const arg of args) compiler.push(arg);
    compiler.code.i32Const(0);
    compiler.code.callIndirect(module.type(typeOfLibrary(fn)));
    return fn.result === undefined ? undefined : compiler.pop(fn.result);
  };
}

function note(
  { disorder }: ShapeFindings,
  { name, shape }: FoundShape,
  staging: string,
  { violations }: WriteOrderCompiler,
): void {
  for (const violation of violations) {
    if (isDeclared(shape, violation)) continue;
    const key = `${shape.mnemonic}${shape.repeat === 0 ? '' : ' REP'} (${staging}): ${violation}`;
    if (!disorder.has(key)) disorder.set(key, name);
  }
}

/** The definition with registers in locals, as in a region; ways out that give up are told by the cells. */
function checkRegionOrder(one: FoundShape, module: ModuleBuilder, findings: ShapeFindings): void {
  const code = new CodeWriter(memoryShape);
  const x = new WriteOrderCompiler(code, inLocals);
  code.begin(regionType);
  x.begin();
  const library = libraryOf(module, x);
  const state = x.variable(i32, 0);
  const bank = x.variable(i32);
  const instructionBase = x.variable(i64);
  const all = { general: 0xffff, vectors: -1 };
  const registers = new RegionRegisters(x, state, all);
  // As in the middle of a block.
  registers.take(all, all);
  for (let i = 0; i < 16; i++) x.watch(registers.register(i), `register ${i}`);
  for (let i = 0; i < 32; i++) x.watch(registers.vector(i >> 1, i & 1), `vector register ${i >> 1}`);
  const flags = new LazyFlags(x, state, library);
  // Those after the vectors, as `variable` numbers them: the kind, and operands.
  const last = registers.vector(15, 1);
  for (let variable = last + 1; variable <= last + 7; variable++) x.watch(variable, 'flags');
  flags.startBlock(undefined);
  const accesses = new AccessFacts(x);
  const lowByte = { variable: x.variable(i32), register: -1 };
  const operation = new RegionOperation(
    x,
    one.shape,
    one.fields,
    {
      state,
      bank,
      budget: x.variable(i32),
      instructionBase: () => x.read(instructionBase),
      registers,
      lowByte,
      loud: undefined,
      constants: new Map(),
      flags,
      accesses,
      leave: () => x.giveUp('leaving the region'),
      goTo: () => x.leave(),
      isLikely: () => undefined,
      endBlock: () => {},
      noteReturn: () => {},
      goToAddress: (_offset: Value, _linear: Value) => x.leave(),
    },
    library,
  );
  definitions[one.shape.mnemonic](operation);
  note(findings, one, 'region', x);
}

/** A region of one block with one instruction. */
function writeRegion(
  code: CodeWriter,
  compiler: Compiler,
  { shape, fields }: FoundShape,
  use: RegisterUse,
  library: CallLibrary,
): void {
  const view = new DataView(new ArrayBuffer(0x1000));
  const header = 0x100;
  // What the writer looks at.
  const block: Partial<Block> = {
    record: header,
    count: 1,
    leadsOn: false,
    start: fields.start,
    end: fields.next,
    page: 0x10000,
    secondPage: -1,
    mode: shape.mode as CodeMode,
    isValid: true,
    comers: [],
  };
  const step = {
    record: header + 16,
    shape,
    definition: definitionInRegions(shape),
    isEnd: false,
    registers: registersOf(shape, fields, use),
    library: [],
    fields,
  };
  const blocks = [{ block: block as Block, steps: [step], pageDelta: 0 }];
  new RegionWriter(code, compiler, blocks, view, library, new PageList(blocks), 0, new Set()).write();
}
