import { fullTags, notEmptyOf, type Processor, Segment } from '@nest86/cpu';
import { Fault, isCanonical, Translation } from '@nest86/mmu';
import type { RegisterDescription } from './debug-target.ts';

/*
 * Registers of a processor in the order in which gdb has them: those of an x86-64 in every mode, so that one connection sees a boot from 16-bit
 * code on. Names and features are gdb's (gdb manual, G.5.12 "i386 Features"); control registers have a feature of our own.
 */

export interface RegisterEntry extends RegisterDescription {
  readonly feature: string;
  read(processor: Processor): bigint;
  /** False if it cannot have the value, of which there are no more bits than the register has. */
  write(processor: Processor, value: bigint): boolean;
}

const core = 'org.gnu.gdb.i386.core';
const sse = 'org.gnu.gdb.i386.sse';
const avx = 'org.gnu.gdb.i386.avx';
const segmentBases = 'org.gnu.gdb.i386.segments';
const control = 'org.nest86.control';

/** gdb's order, as numbers of the encoding. */
const general = { rax: 0, rbx: 3, rcx: 1, rdx: 2, rsi: 6, rdi: 7, rbp: 5, rsp: 4 };
const segments = {
  cs: Segment.cs,
  ss: Segment.ss,
  ds: Segment.ds,
  es: Segment.es,
  fs: Segment.fs,
  gs: Segment.gs,
};

const efer = { lma: 0x400, /** SCE, NXE and FFXSR: what changes no mode. */ writable: 0x4801 };
const cr0Switches = 0x8000_0001;
const cr4Pae = 0x20;
const flagVm = 0x2_0000;
const codeLong = 0x2000;
/** CR0's bits; ET is 1 for good. */
const cr0Bits = 0xe005_003fn;
const cr0Et = 0x10n;
const mxcsrBits = 0xffffn;

function words(value: bigint): [low: number, high: number] {
  return [Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))];
}

function is64(processor: Processor): boolean {
  const attributes = processor.state.get('segmentAttributes', Segment.cs);
  return (processor.context.efer & efer.lma) !== 0 && (attributes & codeLong) !== 0;
}

/** Whether long mode could hold the address. */
function isAddress(processor: Processor, value: bigint): boolean {
  const { context } = processor;
  return (context.efer & efer.lma) === 0 ? value < 2n ** 32n : isCanonical(context, ...words(value));
}

function word(name: string, read: (processor: Processor) => number, mask: number): RegisterEntry {
  return { ...shown(name, 32, core, 'int', (processor) => BigInt((read(processor) & mask) >>> 0)) };
}

/** A register that keeps its value. */
function shown(
  name: string,
  bits: number,
  feature: string,
  type: string,
  read: (processor: Processor) => bigint,
): RegisterEntry {
  return { name, bits, feature, type, read, write: (processor, value) => value === read(processor) };
}

function generalRegister(name: string, number: number): RegisterEntry {
  const type = name === 'rsp' || name === 'rbp' ? 'data_ptr' : 'int64';
  return {
    ...shown(name, 64, core, type, ({ state }) => state.getBig('gpr', number)),
    write: ({ state }, value) => {
      state.setBig('gpr', value, number);
      return true;
    },
  };
}

const rip: RegisterEntry = {
  ...shown('rip', 64, core, 'code_ptr', ({ state }) => state.getBig('rip')),
  write: (processor, value) => {
    if (is64(processor) ? !isAddress(processor, value) : value >= 2n ** 32n) return false;
    processor.state.setBig('rip', value);
    return true;
  },
};

const flags: RegisterEntry = {
  ...shown('eflags', 32, core, 'x86_eflags', ({ state }) => BigInt(state.flags >>> 0)),
  write: ({ state }, value) => {
    // VM would need segments that fit.
    state.flags = (Number(value) & ~flagVm) | (state.flags & flagVm);
    return true;
  },
};

/** Selectors: what they stand for is in descriptor tables, so that one alone cannot be changed. */
function selector(name: string, number: number): RegisterEntry {
  return word(name, ({ state }) => state.get('segmentSelector', number), 0xffff);
}

function stackTop(processor: Processor): number {
  return (processor.state.get('x87Status') >>> 11) & 7;
}

function floatRegister(number: number): RegisterEntry {
  const place = (processor: Processor): number => 2 * ((stackTop(processor) + number) & 7);
  const read = (processor: Processor): bigint => {
    const { state } = processor;
    const at = place(processor);
    return state.getBig('x87', at) | (BigInt(state.low('x87', at + 1) & 0xffff) << 64n);
  };
  return {
    ...shown(`st${number}`, 80, core, 'i387_ext', read),
    write: (processor, value) => {
      const at = place(processor);
      processor.state.setBig('x87', BigInt.asUintN(64, value), at);
      processor.state.setPair('x87', Number(value >> 64n), 0, at + 1);
      return true;
    },
  };
}

/** A word of the x87's environment. */
function floatWord(
  name: string,
  read: (processor: Processor) => number,
  mask: number,
  set?: (processor: Processor, value: number) => void,
): RegisterEntry {
  const entry = word(name, read, mask);
  if (set === undefined) return entry;
  return {
    ...entry,
    write: (processor, value) => {
      set(processor, Number(value) & mask);
      return true;
    },
  };
}

const floatWords: readonly RegisterEntry[] = [
  floatWord(
    'fctrl',
    ({ state }) => state.get('x87Control'),
    0xffff,
    ({ state }, value) => state.set('x87Control', value | 0x40),
  ),
  floatWord(
    'fstat',
    ({ state }) => state.get('x87Status'),
    0xffff,
    ({ state }, value) => state.set('x87Status', value),
  ),
  floatWord(
    'ftag',
    (processor) => fullTags(processor),
    0xffff,
    ({ state }, value) => state.set('x87Tags', notEmptyOf(value)),
  ),
  floatWord('fiseg', ({ state }) => state.get('x87InstructionSelector'), 0xffff),
  floatWord('fioff', ({ state }) => state.low('x87InstructionPointer'), -1),
  floatWord('foseg', ({ state }) => state.get('x87DataSelector'), 0xffff),
  floatWord('fooff', ({ state }) => state.low('x87DataPointer'), -1),
  floatWord('fop', ({ state }) => state.get('x87Opcode'), 0x7ff),
];

/** 128 bits of a vector register. @param part 0 for the low ones, 1 for those above */
function vector(name: string, number: number, part: number, feature: string, type: string): RegisterEntry {
  const at = 8 * number + 2 * part;
  return {
    ...shown(
      name,
      128,
      feature,
      type,
      ({ state }) => state.getBig('vector', at) | (state.getBig('vector', at + 1) << 64n),
    ),
    write: ({ state }, value) => {
      state.setBig('vector', BigInt.asUintN(64, value), at);
      state.setBig('vector', value >> 64n, at + 1);
      return true;
    },
  };
}

const mxcsr: RegisterEntry = {
  ...shown('mxcsr', 32, sse, 'x86_mxcsr', ({ state }) => BigInt(state.get('mxcsr') >>> 0)),
  write: ({ state }, value) => {
    if ((value & ~mxcsrBits) !== 0n) return false;
    state.set('mxcsr', Number(value));
    return true;
  },
};

function segmentBase(name: string, number: number): RegisterEntry {
  return {
    ...shown(name, 64, segmentBases, 'int64', ({ state }) => state.getBig('segmentBase', number)),
    write: (processor, value) => {
      if (!isAddress(processor, value)) return false;
      processor.state.setBig('segmentBase', value, number);
      return true;
    },
  };
}

const swapped: RegisterEntry = {
  ...shown('k_gs_base', 64, control, 'int64', ({ state }) => state.getBig('kernelGsBase')),
  write: (processor, value) => {
    if (!isAddress(processor, value)) return false;
    processor.state.setBig('kernelGsBase', value);
    return true;
  },
};

const translation = new Translation();

const cr0: RegisterEntry = {
  ...shown('cr0', 64, control, 'x86_cr0', ({ context }) => BigInt(context.cr0 >>> 0)),
  write: (processor, value) => {
    const { context, mmu } = processor;
    const next = Number((value & cr0Bits) | cr0Et) | 0;
    // Another mode would need segments that fit.
    if (value >= 2n ** 32n || ((next ^ context.cr0) & cr0Switches) !== 0) return false;
    return mmu.writeCr0(context, next, is64(processor), translation) === Fault.none;
  },
};

const cr3: RegisterEntry = {
  ...shown(
    'cr3',
    64,
    control,
    'int64',
    ({ context }) => (BigInt(context.cr3High >>> 0) << 32n) | BigInt(context.cr3Low >>> 0),
  ),
  write: ({ context, mmu }, value) => mmu.writeCr3(context, ...words(value), translation) === Fault.none,
};

const cr4: RegisterEntry = {
  ...shown('cr4', 64, control, 'x86_cr4', ({ context }) => BigInt(context.cr4 >>> 0)),
  write: ({ context, mmu, capabilities }, value) => {
    const next = Number(BigInt.asIntN(32, value));
    if (value >= 2n ** 32n || ((next ^ context.cr4) & cr4Pae) !== 0) return false;
    return mmu.writeCr4(context, next, ~capabilities.cr4, translation) === Fault.none;
  },
};

const cr8: RegisterEntry = {
  ...shown('cr8', 64, control, 'int64', ({ taskPriority }) => BigInt(taskPriority?.read() ?? 0)),
  write: ({ taskPriority }, value) => {
    if (value > 15n) return false;
    taskPriority?.write(Number(value));
    return true;
  },
};

const extendedFeatures: RegisterEntry = {
  ...shown('efer', 64, control, 'x86_efer', ({ context }) => BigInt(context.efer >>> 0)),
  write: ({ context }, value) => {
    const next = Number(BigInt.asIntN(32, value));
    if (value >= 2n ** 32n || ((next ^ context.efer) & ~efer.writable) !== 0) return false;
    context.efer = next;
    context.update();
    return true;
  },
};

const cr2: RegisterEntry = {
  ...shown('cr2', 64, control, 'int64', ({ state }) => state.getBig('cr2')),
  write: ({ state }, value) => {
    state.setBig('cr2', value);
    return true;
  },
};

function numbered<T>(count: number, make: (number: number) => T): T[] {
  return Array.from({ length: count }, (_, number) => make(number));
}

/** By gdb's number. */
export const registerTable: readonly RegisterEntry[] = [
  ...Object.entries(general).map(([name, number]) => generalRegister(name, number)),
  ...numbered(8, (i) => generalRegister(`r${8 + i}`, 8 + i)),
  rip,
  flags,
  ...Object.entries(segments).map(([name, number]) => selector(name, number)),
  ...numbered(8, floatRegister),
  ...floatWords,
  ...numbered(16, (i) => vector(`xmm${i}`, i, 0, sse, 'vec128')),
  mxcsr,
  segmentBase('fs_base', Segment.fs),
  segmentBase('gs_base', Segment.gs),
  swapped,
  cr0,
  cr2,
  cr3,
  cr4,
  cr8,
  extendedFeatures,
  ...numbered(16, (i) => vector(`ymm${i}h`, i, 1, avx, 'uint128')),
];
