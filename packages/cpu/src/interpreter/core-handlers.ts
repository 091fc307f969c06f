import {
  type CodeWriter,
  type Compiler,
  type Expressions,
  type FunctionType,
  type ModuleBuilder,
  Op,
  type Value,
  ValueType,
} from '@nest86/wasm';
import {
  codeEntries,
  codeEntriesOffset,
  codeEntry,
  jumpCacheFactor,
  tlbEntries,
  tlbFold,
} from '../memory/fast-tlb.ts';
import { ExitReason, Row, record, recordSize } from '../records/layout.ts';
import { stateOffset } from '../state/layout.ts';

const type: FunctionType = { parameters: [ValueType.i32, ValueType.i32, ValueType.i32], results: [] };

/** (state, record, budget) to the record to go on with, or 0 for TypeScript; the budget that is left is in the state. */
export const regionType: FunctionType = {
  parameters: [ValueType.i32, ValueType.i32, ValueType.i32],
  results: [ValueType.i32],
};

/** What a core handler is made of; compiled and evaluated ones differ in how they end. */
export interface CoreFrame {
  readonly x: Expressions;
  readonly state: Value;
  readonly rec: Value;
  readonly budget: Value;
  /** Goes on with a record. */
  dispatch(target: Value, budget: Value): void;
  /** Returns to TypeScript. @param reason of `ExitReason` */
  exit(reason: number, budget: Value): void;
}

interface CompiledFrame extends CoreFrame {
  readonly x: Compiler;
  readonly regionTypeIndex: number;
}

/** What core handlers do that need no WebAssembly of their own, by `Row`. */
export const coreDefinitions: Readonly<Record<number, (frame: CoreFrame) => void>> = {
  [Row.block]: writeBlock,
  [Row.end]: writeEnd,
  [Row.page]: writePage,
  [Row.stale]: ({ exit, budget }) => exit(ExitReason.stale, budget),
  [Row.service]: ({ exit, budget }) => exit(ExitReason.service, budget),
  [Row.cross]: writeCross,
  [Row.forward]: ({ x, rec, budget, dispatch }) =>
    dispatch(x.load(Op.i32Load, rec, record.immediate), budget),
};

/** The rows that are no instruction, in their order: see `Row`. Exports `run`, which goes to a record. Answers the function indices. */
export function writeCoreHandlers(module: ModuleBuilder, code: CodeWriter, x: Compiler): number[] {
  const typeIndex = module.type(type);
  const regionTypeIndex = module.type(regionType);
  const write = (name: string, body: (frame: CompiledFrame) => void): number => {
    const index = module.declareFunction(type, name);
    code.begin(type);
    x.begin();
    const [state, rec, budget] = [0, 1, 2].map((local) =>
      x.copy(x.read(x.variable(ValueType.i32, local))),
    ) as [Value, Value, Value];
    body({
      x,
      state,
      rec,
      budget,
      regionTypeIndex,
      dispatch: (target, left) => {
        for (const value of [state, target, left]) x.push(value);
        x.push(x.load(Op.i32Load16U, target, record.handler));
        code.returnCallIndirect(typeIndex);
      },
      exit: (reason, left) => {
        x.store(Op.i32Store, state, x.i32(reason), stateOffset.exitReason);
        x.store(Op.i32Store, state, rec, stateOffset.exitRecord);
        x.store(Op.i32Store, state, left, stateOffset.budget);
        code.op(Op.return);
      },
    });
    code.finish();
    module.define(index, code);
    return index;
  };
  module.exportFunction(
    write('run', ({ rec, budget, dispatch }) => dispatch(rec, budget)),
    'run',
  );
  return [
    write('block', coreDefinitions[Row.block]),
    write('end', coreDefinitions[Row.end]),
    write('page', coreDefinitions[Row.page]),
    write('stale', coreDefinitions[Row.stale]),
    write('service', coreDefinitions[Row.service]),
    write('region', writeRegionGate),
    write('cross', coreDefinitions[Row.cross]),
    write('forward', coreDefinitions[Row.forward]),
  ];
}

function writeBlock({ x, rec, budget, dispatch, exit }: CoreFrame): void {
  const length = x.load(Op.i32Load, rec, record.immediate);
  x.if(x.compute(Op.i32LtS, budget, length), () => exit(ExitReason.budget, budget), undefined, false);
  const heat = x.sub(x.load(Op.i32Load, rec, record.heat), x.i32(1));
  x.store(Op.i32Store, rec, heat, record.heat);
  x.if(x.eqz(heat), () => exit(ExitReason.hot, budget), undefined, false);
  dispatch(x.add(rec, x.i32(recordSize)), x.sub(budget, length));
}

function writeEnd({ x, state, rec, budget, dispatch, exit }: CoreFrame): void {
  const target = x.load(Op.i32Load, rec, record.immediate);
  x.if(
    x.eqz(target),
    () => {
      x.store(Op.i64Store, state, x.i64(record.immediate), stateOffset.exitAddress);
      exit(ExitReason.link, budget);
    },
    undefined,
    false,
  );
  dispatch(target, budget);
}

/** Engine-decision D: an edge to another linear page checks the fetch tag and the host page. */
function writePage(frame: CoreFrame): void {
  const { x, state, rec, budget, dispatch } = frame;
  const delta = x.load(Op.i64Load32S, rec, record.displacement);
  const page = x.add(x.load(Op.i64Load, state, stateOffset.pageBase), delta);
  checkPage(frame, page, page);
  x.store(Op.i64Store, state, page, stateOffset.pageBase);
  x.store(Op.i32Store, state, x.load(Op.i32Load, rec, record.immediate), stateOffset.codeHost);
  const base = x.add(x.load(Op.i64Load, state, stateOffset.instructionBase), delta);
  x.store(Op.i64Store, state, base, stateOffset.instructionBase);
  dispatch(x.load(Op.i32Load, rec, record.target), budget);
}

/** An instruction that reaches into the next page is good while that page is where it was. */
function writeCross(frame: CoreFrame): void {
  const { x, state, rec, budget, dispatch } = frame;
  const page = x.load(Op.i64Load, state, stateOffset.pageBase);
  checkPage(frame, x.add(page, x.i64(4096)), page);
  dispatch(x.load(Op.i32Load, rec, record.target), budget);
}

/** Goes on if a linear page is fetched from the host page that the record names; else TypeScript looks at the record's place in `here`. */
function checkPage({ x, state, rec, budget, exit }: CoreFrame, page: Value, here: Value): void {
  const entry = codeEntryOf(x, x.load(Op.i32Load, state, stateOffset.tlbBank), page);
  const isThere = x.and(
    x.eq(x.load(Op.i64Load, entry, codeEntriesOffset + codeEntry.tag), page),
    x.eq(
      x.load(Op.i32Load, entry, codeEntriesOffset + codeEntry.host),
      x.load(Op.i32Load, rec, record.immediate),
    ),
  );
  x.if(
    x.eqz(isThere),
    () => {
      const offset = x.and(x.load(Op.i32Load16U, rec, record.position), x.i32(0xfff));
      x.store(Op.i64Store, state, x.or(here, x.extendU(offset)), stateOffset.exitAddress);
      exit(ExitReason.jump, budget);
    },
    undefined,
    false,
  );
}

/**
 * Regions are called through a table that only this module knows, and answer the record to go on with, or 0 for TypeScript: every module that
 * imports a table copies it on V8 up to 12 (engine-decision C).
 */
function writeRegionGate(frame: CompiledFrame): void {
  const { x, state, rec, budget, regionTypeIndex, dispatch } = frame;
  const { code } = x;
  const next = x.temporary(ValueType.i32);
  x.write(next, rec);
  x.store(Op.i32Store, state, budget, stateOffset.budget);
  x.loop((again) => {
    x.push(state);
    x.push(x.read(next));
    x.push(x.load(Op.i32Load, state, stateOffset.budget));
    x.push(x.load(Op.i32Load, x.read(next), record.slot));
    code.callIndirect(regionTypeIndex, 1);
    x.write(next, x.pop(ValueType.i32));
    x.if(x.eqz(x.read(next)), () => code.op(Op.return), undefined, false);
    const edge = x.copy(x.read(next));
    x.if(x.eq(x.load(Op.i32Load16U, edge, record.handler), x.i32(Row.page)), () => {
      const left = x.load(Op.i32Load, state, stateOffset.budget);
      writePage({ ...frame, rec: edge, budget: left, dispatch: (target) => x.write(next, target) });
    });
    const row = x.load(Op.i32Load16U, x.read(next), record.handler);
    again(x.eq(row, x.i32(Row.region)));
  });
  dispatch(x.read(next), x.load(Op.i32Load, state, stateOffset.budget));
}

/** No page has this host address, nor has an empty entry of the jump cache, which is all ones. */
const unknownHost = -2;

/**
 * Host address of the code page of a linear address, or `unknownHost`: the present page, or what the fast TLB says. Staying in the page never asks the
 * TLB, in any engine, so that its content does not depend on how code is executed (engine-decision E).
 *
 * @param here linear address of the present page
 */
export function hostOfCode(
  x: Expressions,
  state: Value,
  linear: Value,
  page: Value,
  here: Value = x.load(Op.i64Load, state, stateOffset.pageBase),
): Value {
  const other = hostInBank(x, state, linear, page);
  const isSame = x.eq(here, page);
  return x.select(isSame, x.load(Op.i32Load, state, stateOffset.codeHost), other);
}

/** Host address of the code page of a linear address as the fast TLB has it, or `unknownHost`. */
export function hostInBank(x: Expressions, state: Value, linear: Value, page: Value): Value {
  const entry = codeEntryOf(x, x.load(Op.i32Load, state, stateOffset.tlbBank), linear);
  return x.select(
    x.eq(x.load(Op.i64Load, entry, codeEntriesOffset + codeEntry.tag), page),
    x.load(Op.i32Load, entry, codeEntriesOffset + codeEntry.host),
    x.i32(unknownHost),
  );
}

/** Address, less `codeEntriesOffset`, of the entry for the code page of a linear address. @param bank address of the fast TLB's bank */
export function codeEntryOf(x: Expressions, bank: Value, linear: Value): Value {
  return x.add(bank, x.and(x.shrU(x.wrap(linear), x.i32(8)), x.i32((codeEntries - 1) << 4)));
}

/** Address, less `jumpCacheOffset`, of the jump cache's entry for a linear address. @param bank address of the fast TLB's bank */
export function jumpEntryOf(x: Expressions, bank: Value, linear: Value): Value {
  const hash = x.shrU(x.mul(x.wrap(linear), x.i32(jumpCacheFactor | 0)), x.i32(20));
  return x.add(bank, x.shl(hash, x.i32(4)));
}

/** Notes where a call will return to. @param link record to go on with there, or 0 */
export function pushReturn(x: Expressions, state: Value, linear: Value, link: Value): void {
  const host = x.load(Op.i32Load, state, stateOffset.codeHost);
  pushReturnOf(x, state, linear, x.or(x.extendU(link), x.shl(x.extendU(host), x.i64(32))));
}

/** The same. @param place i64, the link and above it the host address of the page of code */
export function pushReturnOf(x: Expressions, state: Value, linear: Value, place: Value): void {
  const top = x.copy(x.and(x.add(x.load(Op.i32Load, state, stateOffset.returnTop), x.i32(16)), x.i32(0xf0)));
  x.store(Op.i32Store, state, top, stateOffset.returnTop);
  const entry = x.copy(x.add(state, top));
  x.store(Op.i64Store, entry, linear, stateOffset.returns);
  x.store(Op.i64Store, entry, place, stateOffset.returns + 8);
}

/**
 * Takes the last noted return. @param host host address of the page that is returned to
 * @returns the record to go on with, or 0 if the return goes elsewhere
 */
export function popReturn(x: Expressions, state: Value, linear: Value, host: Value): Value {
  const top = dropReturn(x, state);
  const entry = x.add(state, top);
  const isExpected = x.and(
    x.eq(x.load(Op.i64Load, entry, stateOffset.returns), linear),
    x.eq(x.load(Op.i32Load, entry, stateOffset.returns + 12), host),
  );
  return x.select(isExpected, x.load(Op.i32Load, entry, stateOffset.returns + 8), x.i32(0));
}

/** Forgets the last noted return; answers where it stood. */
export function dropReturn(x: Expressions, state: Value): Value {
  const top = x.copy(x.load(Op.i32Load, state, stateOffset.returnTop));
  x.store(Op.i32Store, state, x.and(x.sub(top, x.i32(16)), x.i32(0xf0)), stateOffset.returnTop);
  return top;
}

/** Address of the fast TLB's entry for data at a linear address. @param bank address of the bank @param low lower half of the address */
export function dataEntryOf(x: Expressions, bank: Value, low: Value): Value {
  const folded = x.shrU(x.xor(low, x.shrU(low, x.i32(tlbFold))), x.i32(7));
  return x.add(bank, x.and(folded, x.i32((tlbEntries - 1) << 5)));
}

/** Whether the tag of a data entry, i64, is not that of the page in which all of so many bytes at an address lie. */
export function isOtherPage(x: Expressions, tag: Value, address: Value, bytes: number): Value {
  return x.gtU(x.xor(tag, address), x.i64(4096 - bytes));
}
