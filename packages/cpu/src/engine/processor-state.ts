import { type StateField, stateFields, stateOffset } from '../state/layout.ts';
import type { Processor } from './processor.ts';

/** A state of another version of the engine than this one. */
export class ProcessorStateError extends RangeError {
  override readonly name: string = 'ProcessorStateError';
}

/** Where instructions are fetched from without asking the memory unit again. */
interface FetchedPage {
  /** Linear address. */
  readonly low: number;
  readonly high: number;
  /** Offset in the backing memory. */
  readonly offset: number;
}

/** Snapshot of a processor between two runs. */
export interface ProcessorState {
  readonly version: 1;
  /** Fields of the state block by name, as bytes; but for what the engine keeps there for itself. */
  readonly fields: Readonly<Record<string, Uint8Array>>;
  /** RFLAGS, of which the block has several forms. */
  readonly flags: number;
  /** Registers that translation depends on. */
  readonly context: Readonly<Record<(typeof contextFields)[number], number>>;
  readonly pdptes: Int32Array;
  /** Events that wait, and the one that is to be injected: see `EventLatches`. */
  readonly events: Readonly<Record<(typeof latches)[number], number>>;
  readonly isInjecting: boolean;
  /** The event that was delivered last, or that is being delivered: see `EventDelivery`. */
  readonly delivery: Readonly<Record<(typeof deliveryFields)[number], number>>;
  /** Bits of DR6 that wait behind a load of SS. */
  readonly held: number;
  readonly retired: number;
  /** Count at the last delivery, and deliveries at that count: too many of them end a turn. */
  readonly retiredAtDelivery: number;
  readonly fruitless: number;
  /** The next instruction asks a device: see `ProcessorMemory.isAlone`. */
  readonly isAlone: boolean;
  /** Null: the page is to be translated at the next instruction. Else that would come too early, and the TLB would notice. */
  readonly page: FetchedPage | null;
}

const contextFields = ['cr0', 'cr3Low', 'cr3High', 'cr4', 'efer', 'pkru', 'pkrs'] as const;
const latches = [
  'pending',
  'startVector',
  'debugBits',
  'vector',
  'type',
  'errorCode',
  'instructionLength',
] as const;
const deliveryFields = ['vector', 'type', 'errorCode', 'instructionLength', 'stage', 'resumeFlag'] as const;

/** What means nothing between two runs, or to another engine; flags are saved as RFLAGS. */
const engineOwn: ReadonlySet<StateField> = new Set<StateField>([
  'zero',
  'pageBase',
  'instructionBase',
  'flagResult',
  'flagAux',
  'systemFlags',
  'tlbBank',
  'callBank',
  'returnBank',
  'eventWaits',
  'codeHost',
  'budget',
  'tscIsStaged',
  'tscAtEnd',
  'exitReason',
  'exitRecord',
  'exitAddress',
  'faultVector',
  'faultError',
  'faultAddress',
  'floatFlags',
  'floatExponent',
  'floatSecondExponent',
  'floatSecond',
  'returnTop',
  'returns',
  'scratch',
]);
const savedFields = stateFields.filter(([name]) => !engineOwn.has(name));

/** @internal @param isPrepared context and mode are those of the state: the present page counts */
export function saveProcessor(processor: Processor, isPrepared: boolean): ProcessorState {
  const { state, context, events, delivery, boundary, finder, breakpoints, memory, retired } = processor;
  const fields: Record<string, Uint8Array> = {};
  for (const [name, size, count] of savedFields)
    fields[name] = state.bytes.slice(stateOffset[name], stateOffset[name] + size * count);
  const { pageLow: low, pageHigh: high, pageHost } = finder;
  return {
    version: 1,
    fields,
    flags: state.flags,
    context: pick(context, contextFields),
    pdptes: context.pdptes.slice(),
    events: pick(events, latches),
    isInjecting: events.isInjecting,
    delivery: pick(delivery, deliveryFields),
    held: breakpoints.held,
    retired,
    retiredAtDelivery: boundary.retiredAtDelivery,
    fruitless: boundary.fruitless,
    isAlone: memory.isAlone,
    page: isPrepared && pageHost >= 0 ? { low, high, offset: pageHost - memoryBase(processor) } : null,
  };
}

/** @internal @param prepare chooses mode and bank, as the first instruction would, which forgets the page */
export function restoreProcessor(processor: Processor, saved: ProcessorState, prepare: () => void): void {
  check(saved);
  const { state, context, events, delivery, boundary, finder, breakpoints, mmu } = processor;
  state.bytes.fill(0);
  for (const [name] of savedFields) state.bytes.set(saved.fields[name], stateOffset[name]);
  state.flags = saved.flags;
  Object.assign(context, pick(saved.context, contextFields));
  context.pdptes.set(saved.pdptes);
  context.update();
  // Its number in the TLB is looked up anew: what was held before is no more.
  context.tlbContext = -1;
  mmu.enter(context);
  Object.assign(events, pick(saved.events, latches));
  events.isInjecting = saved.isInjecting;
  Object.assign(delivery, pick(saved.delivery, deliveryFields));
  breakpoints.held = saved.held;
  processor.retired = saved.retired;
  processor.problem = '';
  boundary.retiredAtDelivery = saved.retiredAtDelivery;
  boundary.fruitless = saved.fruitless;
  processor.memory.isAlone = saved.isAlone;
  processor.engine.code.flush();
  processor.stateChanged();
  prepare();
  const { page } = saved;
  if (page === null) return;
  finder.pageLow = page.low;
  finder.pageHigh = page.high;
  finder.pageHost = page.offset + memoryBase(processor);
}

function check({ version, fields, page, pdptes }: ProcessorState): void {
  if (version !== 1) throw new ProcessorStateError(`processor state of version ${version}: 1 is understood`);
  for (const [name, size, count] of savedFields)
    if (fields[name]?.length !== size * count)
      throw new ProcessorStateError(`processor state: field ${name} is not of ${size * count} bytes`);
  if (pdptes.length !== 8) throw new ProcessorStateError('processor state: PDPTEs are 8 words');
  if (page !== null && (page.offset % 4096 !== 0 || page.offset < 0))
    throw new ProcessorStateError(`processor state: page of code at ${page.offset}`);
}

/** Where the backing memory begins in the engine's. */
function memoryBase({ engine }: Processor): number {
  return engine.physical.base;
}

function pick<Name extends string>(
  from: Readonly<Record<Name, number>>,
  names: readonly Name[],
): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Record<Name, number>;
}
