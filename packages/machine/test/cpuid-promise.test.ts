import { type CpuModelData, featureBits } from '@nest86/cpuid';
import { cpuidFeatures } from '@nest86/decoder/info';
import { encodings, reference } from '@nest86/decoder/reference';
import { expect, test } from 'vitest';
import {
  BareMachine,
  bareRequest,
  CpuidModel,
  defaultFeatures,
  defaultModel,
  featuresOnRequest,
  findModel,
  furtherEngineFeatures,
  modelNames,
  resolveModel,
} from '../src/index.ts';

// A CPUID bit is a promise (design, 6). Here each bit of the default model is held to it, and each bit beside it to its absence.

const code = 0x8000;
const data = 0x9000;
const tables = 0x10000;

/** Long mode at CPL 0 on identity-mapped memory, with no IDT: an exception of any kind is a shutdown. */
function prepare(machine: BareMachine): void {
  const { physical, context, processor } = machine;
  machine.startReal(0);
  const entry = (address: number, value: number): void =>
    physical.writeBytes(
      address,
      Uint8Array.of(value & 255, (value >> 8) & 255, (value >> 16) & 255, 0, 0, 0, 0, 0),
    );
  entry(tables, (tables + 0x1000) | 3);
  entry(tables + 0x1000, (tables + 0x2000) | 3);
  entry(tables + 0x2000, 0x83);
  context.set({ cr0: 0x8001_0033 | 0, cr3: tables, cr4: 0x4_06a0, efer: 0xd01 });
  const { state } = processor;
  for (let segment = 0; segment < 6; segment++) {
    state.set('segmentLimit', -1, segment);
    state.set('segmentLast', -1, segment);
    state.set('segmentRights', 3, segment);
    state.set('segmentAttributes', segment === 1 ? 0xa09b : 0xc093, segment);
  }
  state.set('tableLimit', 0, 1);
  state.setPair('xcr0', 7, 0);
  state.set('x87Control', 0x37f);
  for (let i = 0; i < 16; i++) state.setPair('gpr', data, 0, i);
  processor.stateChanged();
}

const bytesOf = (text: string): number[] => text.split(' ').map((byte) => Number.parseInt(byte, 16));

/** Whether code at CPL 0 in 64-bit mode runs to the HLT behind it. */
function works(
  machine: BareMachine,
  text: string,
  registers: Readonly<Record<number, number>> = {},
): boolean {
  prepare(machine);
  machine.physical.writeBytes(code, Uint8Array.from([...bytesOf(text), 0xf4]));
  for (const [number, value] of Object.entries(registers))
    machine.processor.state.setPair('gpr', value | 0, 0, Number(number));
  machine.processor.state.setPair('rip', code, 0);
  machine.processor.stateChanged();
  return machine.run(1000).reason === 'halted';
}

interface Evidence {
  /** The decoder's name of the feature, whose instructions must all be there. */
  readonly instructions?: readonly string[];
  /** Those that generated code does not execute: an example of each. */
  readonly services?: Readonly<Record<string, string>>;
  /** Bits of CR4, EFER and XCR0 that may be set; registers that may be read. */
  readonly cr4?: number;
  readonly efer?: number;
  readonly xcr0?: number;
  readonly msrs?: readonly number[];
  /** A behaviour, and where it is tested. */
  readonly behaviour?: string;
  /** Only AMD's processors have it. */
  readonly isAmd?: boolean;
}

const evidence: Readonly<Record<string, Evidence>> = {
  fpu: {
    instructions: ['FPU', 'FPU287', 'FPU387'],
    services: {
      FLDENV: 'd9 20',
      FNSTENV: 'd9 30',
      FRSTOR: 'dd 20',
      FNSAVE: 'dd 30',
      FNINIT: 'db e3',
    },
  },
  vme: { cr4: 3, behaviour: 'packages/cpu/test/registers-flags.test.ts' },
  de: { cr4: 8 },
  pse: { cr4: 0x10, behaviour: 'packages/mmu' },
  tsc: { instructions: ['TSC'], services: { RDTSC: '0f 31' }, msrs: [0x10], cr4: 4 },
  msr: { instructions: ['MSR'], services: { RDMSR: '48 31 c9 b1 10 0f 32', WRMSR: '48 31 c9 b1 10 0f 30' } },
  pae: { cr4: 0x20 },
  cx8: { instructions: ['CX8'] },
  sep: {
    instructions: ['SEP'],
    services: {
      SYSENTER: 'b9 74 01 00 00 b8 08 00 00 00 31 d2 0f 30 b9 76 01 00 00 b8 1e 80 00 00 31 d2 0f 30 0f 34',
      SYSEXIT: '',
      SYSEXITQ: '',
    },
    msrs: [0x174, 0x175, 0x176],
  },
  pge: { cr4: 0x80 },
  cmov: { instructions: ['CMOV'] },
  pat: { msrs: [0x277] },
  pse36: { behaviour: 'packages/mmu' },
  clflush: { instructions: ['CLFSH'] },
  mmx: { instructions: ['MMX'] },
  fxsr: {
    instructions: ['FXSR'],
    services: {
      FXSAVE: '0f ae 00',
      FXSAVE64: '48 0f ae 00',
      FXRSTOR: '0f ae 00 0f ae 08',
      FXRSTOR64: '48 0f ae 00 48 0f ae 08',
    },
    cr4: 0x200,
  },
  sse: { instructions: ['SSE'], cr4: 0x600 },
  sse2: { instructions: ['SSE2'] },
  sse3: { instructions: ['SSE3'] },
  pclmulqdq: { instructions: ['PCLMULQDQ'] },
  ssse3: { instructions: ['SSSE3'] },
  fma: { instructions: ['FMA'] },
  cx16: { instructions: ['CMPXCHG16B'] },
  pcid: { cr4: 0x2_0000 },
  'sse4.1': { instructions: ['SSE4_1'] },
  'sse4.2': { instructions: ['SSE4_2'] },
  movbe: { instructions: ['MOVBE'] },
  popcnt: { instructions: ['POPCNT'] },
  aes: { instructions: ['AES'] },
  xsave: {
    instructions: ['XSAVE'],
    services: {
      XGETBV: '31 c9 0f 01 d0',
      XSETBV: '31 c9 31 d2 b8 07 00 00 00 0f 01 d1',
      XSAVE: '0f ae 20',
      XSAVE64: '48 0f ae 20',
      XRSTOR: '0f ae 20 0f ae 28',
      XRSTOR64: '48 0f ae 20 48 0f ae 28',
    },
    cr4: 0x4_0000,
    xcr0: 3,
  },
  avx: { instructions: ['AVX'], xcr0: 4 },
  f16c: { instructions: ['F16C'] },
  rdrand: { instructions: ['RDRAND'], services: { RDRAND: '48 0f c7 f0' } },
  hypervisor: { behaviour: 'says that this is a virtual machine; there is no leaf behind it' },
  fsgsbase: {
    instructions: ['FSGSBASE'],
    services: {
      RDFSBASE: '0f 20 e0 48 0f ba e8 10 0f 22 e0 f3 0f ae c0',
      RDGSBASE: '0f 20 e0 48 0f ba e8 10 0f 22 e0 f3 0f ae c8',
      WRFSBASE: '0f 20 e0 48 0f ba e8 10 0f 22 e0 f3 0f ae d0',
      WRGSBASE: '0f 20 e0 48 0f ba e8 10 0f 22 e0 f3 0f ae d8',
    },
    cr4: 0x1_0000,
  },
  bmi1: { instructions: ['BMI1'] },
  avx2: { instructions: ['AVX2'] },
  smep: { cr4: 0x10_0000 },
  bmi2: { instructions: ['BMI2'] },
  erms: { behaviour: 'REP MOVSB and STOSB are as quick as the wide ones' },
  invpcid: { instructions: ['INVPCID'], services: { INVPCID: '31 c0 48 89 01 48 89 41 08 66 0f 38 82 01' } },
  rdseed: { instructions: ['RDSEED'], services: { RDSEED: '48 0f c7 f8' } },
  adx: { instructions: ['ADX'] },
  smap: { instructions: ['SMAP'], services: { CLAC: '0f 01 ca', STAC: '0f 01 cb' }, cr4: 0x20_0000 },
  clflushopt: { instructions: ['CLFLUSHOPT'] },
  clwb: { instructions: ['CLWB'] },
  'sha-ni': { instructions: ['SHA'] },
  umip: { cr4: 0x800, behaviour: 'guests/system' },
  pku: {
    instructions: ['PKU'],
    services: {
      RDPKRU: '0f 20 e0 48 0f ba e8 16 0f 22 e0 31 c9 0f 01 ee',
      WRPKRU: '0f 20 e0 48 0f ba e8 16 0f 22 e0 31 c9 31 d2 31 c0 0f 01 ef',
    },
    cr4: 0x40_0000,
    xcr0: 0x200,
  },
  pks: { cr4: 0x100_0000, msrs: [0x6e1], behaviour: 'guests/system' },
  gfni: { instructions: ['GFNI'] },
  vaes: { instructions: ['VAES'] },
  vpclmulqdq: { instructions: ['VPCLMULQDQ'] },
  rdpid: { instructions: ['RDPID'], services: { RDPID: 'f3 0f c7 f8' }, msrs: [0xc000_0103] },
  xsaveopt: { instructions: ['XSAVEOPT'], services: { XSAVEOPT: '0f ae 30', XSAVEOPT64: '48 0f ae 30' } },
  xsavec: { instructions: ['XSAVEC'], services: { XSAVEC: '0f c7 20', XSAVEC64: '48 0f c7 20' } },
  xgetbv1: { services: { 'XGETBV, ECX 1': 'b9 01 00 00 00 0f 01 d0' } },
  xsaves: {
    instructions: ['XSAVES'],
    services: {
      XSAVES: '0f c7 28',
      XSAVES64: '48 0f c7 28',
      XRSTORS: '0f c7 28 0f c7 18',
      XRSTORS64: '48 0f c7 28 48 0f c7 18',
    },
    msrs: [0xda0],
  },
  syscall: {
    instructions: ['SYSCALL'],
    services: { SYSCALL: 'b9 82 00 00 c0 b8 10 80 00 00 31 d2 0f 30 0f 05', SYSRET: '', SYSRETQ: '' },
    efer: 1,
    msrs: [0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084],
  },
  nx: { efer: 0x800 },
  pdpe1gb: { behaviour: 'packages/mmu' },
  rdtscp: { instructions: ['RDTSCP'], services: { RDTSCP: '0f 01 f9' }, msrs: [0xc000_0103] },
  lm: { efer: 0x500, msrs: [0xc000_0080, 0xc000_0100, 0xc000_0101, 0xc000_0102] },
  'lahf-lm': { services: { 'LAHF, SAHF': '9f 9e' } },
  abm: { instructions: ['LZCNT', 'POPCNT'] },
  '3dnowprefetch': { instructions: ['PREFETCHW'] },
  sse4a: { instructions: ['SSE4A'] },
  mmxext: { behaviour: 'its instructions are those that SSE has for MMX registers' },
  cr8legacy: { services: { 'LOCK MOV EAX, CR0': 'f0 0f 20 c0' }, isAmd: true },
  movdiri: { instructions: ['MOVDIRI'] },
  serialize: { instructions: ['SERIALIZE'], services: { SERIALIZE: '0f 01 e8' } },
  fsrm: { behaviour: 'REP MOVSB of a few bytes is as quick as a longer one' },
  cldemote: { instructions: ['CLDEMOTE'] },
  wbnoinvd: { instructions: ['WBNOINVD'], services: { WBNOINVD: 'f3 0f 09' } },
  'zero-fcs-fds': { behaviour: 'packages/cpu/test/registers-state-images.test.ts' },
  'null-sel-clr-base': { behaviour: 'packages/cpu/test/system-segments.test.ts' },
  'lfence-always-serializing': { behaviour: 'instructions are executed one after the other' },
  monitor: {
    instructions: ['MONITOR'],
    services: {
      MONITOR: 'b9 a0 01 00 00 b8 01 00 04 00 31 d2 0f 30 31 c9 b8 00 90 00 00 0f 01 c8',
      MWAIT: '',
    },
  },
  monitorx: {
    instructions: ['MONITORX'],
    services: { MONITORX: '31 c9 31 d2 0f 01 fa', MWAITX: '' },
    isAmd: true,
  },
};

const everything = [...defaultFeatures, ...furtherEngineFeatures, ...featuresOnRequest];

function machineOf(vendor: 'intel' | 'amd'): BareMachine {
  const cpuid = new CpuidModel({ features: everything, vendor, highestExtended: 0x80000021 });
  return new BareMachine({ memory: 2 << 20, output: { write: () => {} }, cpuid });
}

const intelMachine = machineOf('intel');
const amdMachine = machineOf('amd');
const machine = new BareMachine({ memory: 2 << 20, output: { write: () => {} } });

const promised = new Set(Object.values(evidence).flatMap(({ instructions = [] }) => instructions));

/** Mnemonics of all encodings that need the feature and, beside it, nothing that the model lacks; EVEX is not there at all. */
function mnemonicsOf(feature: string): Set<string> {
  const found = new Set<string>();
  for (let encoding = 0; encoding < encodings(); encoding++) {
    const row = reference(encoding);
    if (row === undefined || row.opcode.startsWith('EVEX')) continue;
    const needed = cpuidFeatures(encoding);
    if (needed.includes(feature) && needed.every((name) => promised.has(name)))
      found.add(row.instruction.split(' ')[0].toUpperCase());
  }
  return found;
}

test.each(everything)('%s is kept', (feature) => {
  const {
    instructions = [],
    services = {},
    cr4 = 0,
    efer = 0,
    xcr0 = 0,
    msrs = [],
    behaviour,
    isAmd = false,
  } = evidence[feature];
  const machine = isAmd ? amdMachine : intelMachine;
  const { capabilities } = machine.processor;
  for (const name of instructions) {
    const mnemonics = mnemonicsOf(name);
    expect(mnemonics.size, `instructions of ${name}`).toBeGreaterThan(0);
    for (const mnemonic of mnemonics)
      expect(machine.engine.handlers.has(mnemonic) || mnemonic in services, `${mnemonic} of ${feature}`).toBe(
        true,
      );
  }
  // Those without an example go to CPL 3; the system guests execute them.
  for (const [mnemonic, text] of Object.entries(services))
    if (text !== '') expect(works(machine, text), mnemonic).toBe(true);
  expect(capabilities.cr4 & cr4).toBe(cr4);
  expect(capabilities.efer & efer).toBe(efer);
  expect(capabilities.xcr0 & xcr0).toBe(xcr0);
  for (const msr of msrs) expect(works(machine, '0f 32', { 1: msr }), `MSR ${msr.toString(16)}`).toBe(true);
  const hasEvidence =
    instructions.length + msrs.length + Object.keys(services).length > 0 || (cr4 | efer | xcr0) !== 0;
  expect(hasEvidence || behaviour !== undefined).toBe(true);
});

test('CPUID shows the default features and no others', () => {
  const model = defaultModel();
  const dynamic = { osxsave: false, ospke: false, apicId: 0, xcr0: 3 };
  const out = new Int32Array(4);
  const shown: string[] = [];
  for (const [name, { leaf, subleaf, register, bit }] of featureBits) {
    if (leaf > model.highestExtended) continue;
    model.read(leaf, subleaf, dynamic, out);
    if ((out[register] >>> bit) & 1) shown.push(name);
  }
  expect(shown.sort()).toEqual([...defaultFeatures].sort());
});

test('a feature that is taken away takes its instructions, register bits and MSRs with it', () => {
  const poor = new BareMachine({
    memory: 2 << 20,
    output: { write: () => {} },
    cpuid: defaultModel(
      ['rdrand', 'rdtscp', 'rdpid', 'smep', 'nx', 'avx', 'pat', 'popcnt'].map((name) => [name, false]),
    ),
  });
  const { capabilities } = poor.processor;
  expect(capabilities.cr4 & 0x10_0000).toBe(0);
  expect(capabilities.efer & 0x800).toBe(0);
  expect(capabilities.xcr0 & 4).toBe(0);
  for (const text of ['48 0f c7 f0', '0f 01 f9', 'f3 0f c7 f8', 'f3 0f b8 c0', 'c5 f0 58 c2']) {
    expect(works(machine, text), text).toBe(true);
    expect(works(poor, text), text).toBe(false);
  }
  for (const msr of [0xc000_0103, 0x277]) expect(works(poor, '0f 32', { 1: msr })).toBe(false);
});

test('features that do not exist are refused, also when they are taken away', () => {
  expect(() => defaultModel([['sse9', true]])).toThrow('feature "sse9": allowed are');
  expect(() => defaultModel([['sse9', false]])).toThrow('feature "sse9": allowed are');
  expect(defaultModel([['vmx', false]]).has('vmx')).toBe(false);
});

test('named models show, on a bare machine, what the engine can and no more', () => {
  const kept = new Set([...defaultFeatures, ...furtherEngineFeatures]);
  const dynamic = { osxsave: false, ospke: false, apicId: 0, xcr0: 3 };
  const out = new Int32Array(4);
  for (const name of modelNames) {
    const { model, leftOut } = resolveModel(findModel(name) as CpuModelData, bareRequest);
    const shown: string[] = [];
    for (const [feature, { leaf, subleaf, register, bit }] of featureBits) {
      if (leaf > (leaf < 0x80000000 ? model.highestBasic : model.highestExtended)) continue;
      model.read(leaf, subleaf, dynamic, out);
      if ((out[register] >>> bit) & 1) shown.push(feature);
    }
    for (const feature of shown) expect(kept.has(feature), `${feature} of ${name}`).toBe(true);
    expect(shown.sort()).toEqual([...model.features].sort());
    expect(leftOut).toContain('apic');
  }
});
