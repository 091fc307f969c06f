import {
  DecoderOptions,
  DecodeStatus,
  decode,
  Instruction,
  operandCount,
  operandRegister,
  RegisterClass,
  registerClass,
} from '@nest86/decoder';
import { mnemonic, mnemonicName } from '@nest86/decoder/mnemonic';
import {
  Access,
  createTlb,
  Fault,
  Mmu,
  PagingContext,
  PagingModel,
  PhysicalMemory,
  Translation,
} from '@nest86/mmu';
import { Segment, stateSize } from '../src/state/layout.ts';
import { VcpuState } from '../src/state/vcpu-state.ts';
import { type Capabilities, capabilitiesOf } from '../src/system/capabilities.ts';
import { EventDelivery } from '../src/system/exceptions.ts';
import { GuestFault, guestFault, pageFault } from '../src/system/fault.ts';
import { registerServices } from '../src/system/register-services.ts';
import type {
  CpuidSource,
  IoPorts,
  LinearMemory,
  MsrSource,
  SystemUnit,
  TaskPriority,
  TimeSource,
} from '../src/system/unit.ts';

export type Mode = 'long64' | 'compatibility' | 'protected32' | 'protected16' | 'real' | 'virtual8086';

export interface MachineOptions {
  readonly mode?: Mode;
  readonly cpl?: number;
  readonly vendor?: 'intel' | 'amd';
  /** Words of CPUID by `leaf.subleaf` in hexadecimal that differ from the defaults. */
  readonly cpuid?: Readonly<Record<string, readonly [number, number, number, number]>>;
  readonly capabilities?: Partial<Capabilities>;
}

/** CPUID of a processor with all that the services ask for; 48-bit addresses. */
const cpuidLeaves: Readonly<Record<string, readonly [number, number, number, number]>> = {
  '0.0': [0x1f, 0, 0, 0],
  // MONITOR VMX PCID XSAVE; everything up to SSE2.
  '1.0': [0x806e9, 0, 0x0402_0028, 0x0781_fbff],
  '5.0': [64, 64, 3, 0],
  // FSGSBASE SMEP INVPCID SMAP; UMIP PKU RDPID.
  '7.0': [0, 0x0010_0481, 0x0040_000c, 0],
  'd.0': [0x2e7, 0, 2696, 0],
  'd.1': [0xf, 0, 0, 0],
  'd.2': [256, 576, 0, 0],
  'd.5': [64, 1088, 0, 0],
  'd.6': [512, 1152, 0, 0],
  'd.7': [1024, 1664, 0, 0],
  'd.9': [8, 2688, 0, 0],
  '80000000.0': [0x8000_0008 | 0, 0, 0, 0],
  // SYSCALL NX RDTSCP LM; SVM.
  '80000001.0': [0, 0, 4, 0x2810_0800],
};

const pageTables = 0xf_0000;
/** Pages that are not present, and one for supervisors. */
export const absentPage = 0x8000;
export const supervisorPage = 0xa000;
/** Where operands of tests lie. */
export const data = 0x4000;

/** What became of an instruction: nothing, or its exception. */
export type Outcome = 'done' | { readonly vector: number; readonly errorCode: number };

export const UD: Outcome = { vector: 6, errorCode: -1 };
export const NM: Outcome = { vector: 7, errorCode: -1 };
export const GP0: Outcome = { vector: 13, errorCode: 0 };
export const SS0: Outcome = { vector: 12, errorCode: 0 };
export const AC0: Outcome = { vector: 17, errorCode: 0 };
export const MF: Outcome = { vector: 16, errorCode: -1 };
export const DB: Outcome = { vector: 1, errorCode: -1 };

/** A processor without an engine: executes instructions that have a service, over 1 MiB of RAM and the real memory unit. */
export class Machine implements SystemUnit {
  readonly ram: Uint8Array = new Uint8Array(1 << 20);
  readonly view: DataView = new DataView(this.ram.buffer);
  readonly state: VcpuState = new VcpuState(new ArrayBuffer(stateSize), 0, stateSize);
  readonly context: PagingContext = new PagingContext();
  readonly mmu: Mmu;
  readonly capabilities: Capabilities;
  /** Values of MSRs that others own. */
  readonly others: Map<number, bigint> = new Map();
  /** Values of ports, and what was done, as text. */
  readonly ports: Map<number, number> = new Map();
  readonly log: string[] = [];
  tscValue = 0n;
  cr8 = 0;
  readonly taskPriority: TaskPriority = {
    read: () => this.cr8,
    write: (value) => {
      this.cr8 = value;
    },
  };
  readonly delivery: EventDelivery = new EventDelivery();
  nextLow = 0;
  nextHigh = 0;
  ripLow = 0x1000;
  ripHigh = 0;
  isStopped = false;
  inSmram = false;
  contextChanges = 0;
  private readonly out: Translation = new Translation();
  private readonly leaves: Readonly<Record<string, readonly [number, number, number, number]>>;
  private seed = 0;

  constructor(readonly options: MachineOptions = {}) {
    const { vendor = 'intel', mode = 'long64', cpl = mode === 'virtual8086' ? 3 : 0 } = options;
    this.leaves = { ...cpuidLeaves, ...options.cpuid };
    this.capabilities = { ...capabilitiesOf(this.cpuid), ...options.capabilities };
    const physical = new PhysicalMemory({ buffer: this.ram.buffer });
    physical.addRegion({ kind: 'ram', start: 0, size: 1 << 20, backing: 0 });
    this.mmu = new Mmu({ memory: physical, tlb: createTlb('exact'), model: new PagingModel({ vendor }) });
    this.buildTables();
    const paged = 0x8005_0033 | 0;
    const isLong = mode === 'long64' || mode === 'compatibility';
    const cr0 = mode === 'real' ? 0x30 : isLong ? paged : 0x31;
    // PSE PAE PGE OSFXSR OSXMMEXCPT OSXSAVE
    this.context.set({ cr0, cr3: pageTables, cr4: isLong ? 0x406b0 : 0x40600, efer: isLong ? 0xd01 : 0 });
    this.mmu.enter(this.context);
    const { state } = this;
    const isReal = mode === 'real' || mode === 'virtual8086';
    for (let segment = 0; segment < 6; segment++) {
      const limit = isReal ? 0xffff : -1;
      const isCode = segment === Segment.cs;
      const code = mode === 'long64' ? 0xa09b : mode === 'protected16' ? 0x809b : 0xc09b;
      state.set('segmentAttributes', isReal ? 0x93 : (isCode ? code : 0xc093) | (cpl << 5), segment);
      state.set('segmentLimit', limit, segment);
      state.set('segmentLast', limit, segment);
      state.set('segmentRights', isCode && !isReal ? 1 : 3, segment);
    }
    state.set('segmentAttributes', 0x8b, Segment.tr);
    state.set('segmentAttributes', 0x82, Segment.ldtr);
    state.set('cpl', cpl);
    state.flags = mode === 'virtual8086' ? 0x2_0002 : 2;
    state.setBig('gpr', 0x7000n, 4);
    state.setBig('xcr0', 7n);
    state.set('mxcsr', 0x1f80);
    state.set('x87Control', 0x37f);
    state.setBig('debug', 0xffff0ff0n, 6);
    state.setBig('debug', 0x400n, 7);
    state.setBig('miscEnable', 0x4_0001n);
    state.set('smbase', 0x3_0000);
  }

  private buildTables(): void {
    const { view } = this;
    view.setBigUint64(pageTables, BigInt(pageTables + 0x1000) | 7n, true);
    view.setBigUint64(pageTables + 0x1000, BigInt(pageTables + 0x2000) | 7n, true);
    view.setBigUint64(pageTables + 0x2000, BigInt(pageTables + 0x3000) | 7n, true);
    for (let page = 0; page < 256; page++) {
      const address = page << 12;
      if (address === absentPage) continue;
      const bits = address === supervisorPage ? 3n : 7n;
      view.setBigUint64(pageTables + 0x3000 + 8 * page, BigInt(address) | bits, true);
    }
  }

  /** Executes an instruction, given in hexadecimal. An exception must leave the state as it was; DR6 then gets what #DB brings. */
  execute(code: string): Outcome {
    const { state, context } = this;
    const instruction = this.decode(code);
    const { length } = instruction;
    this.nextLow = this.ripLow + length;
    this.nextHigh = this.ripHigh;
    const before = state.bytes.slice();
    const registers = JSON.stringify({ ...context, secondStage: null, owner: null, tlbContext: 0 });
    const memory = this.ram.slice();
    try {
      registerServices[this.serviceOf(instruction)](this, instruction);
      return 'done';
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      if (!equal(state.bytes, before)) throw new Error(`${code}: the state changed before the exception`);
      if (JSON.stringify({ ...context, secondStage: null, owner: null, tlbContext: 0 }) !== registers)
        throw new Error(`${code}: control registers changed before the exception`);
      // Accessed and dirty bits may be set.
      if (!equal(this.ram.subarray(0, pageTables), memory.subarray(0, pageTables)))
        throw new Error(`${code}: memory changed before the exception`);
      if (fault.vector === 1) state.setPair('debug', state.low('debug', 6) | fault.addressLow, 0, 6);
      return { vector: fault.vector, errorCode: fault.errorCode };
    }
  }

  decode(code: string): Instruction {
    const { mode = 'long64', vendor = 'intel' } = this.options;
    const bits = mode === 'long64' ? 64 : mode === 'compatibility' || mode === 'protected32' ? 32 : 16;
    const instruction = new Instruction();
    const status = decode(
      Uint8Array.from(Buffer.from(code.replaceAll(' ', ''), 'hex')),
      0,
      new DecoderOptions({ mode: bits, vendor }),
      instruction,
    );
    if (status !== DecodeStatus.ok) throw new Error(`${code} is no instruction`);
    return instruction;
  }

  serviceOf(instruction: Instruction): string {
    const name = mnemonicName(mnemonic(instruction)).toUpperCase();
    for (let i = 0; name === 'MOV' && i < operandCount(instruction); i++) {
      const group = registerClass(operandRegister(instruction, i));
      if (group === RegisterClass.control) return 'MOV.CONTROL';
      if (group === RegisterClass.debug) return 'MOV.DEBUG';
    }
    if (registerServices[name] === undefined) throw new Error(`no service ${name}`);
    return name;
  }

  // Short ways for tests.

  get rax(): bigint {
    return this.state.getBig('gpr', 0);
  }
  set rax(value: bigint) {
    this.state.setBig('gpr', value, 0);
  }
  get rcx(): bigint {
    return this.state.getBig('gpr', 1);
  }
  set rcx(value: bigint) {
    this.state.setBig('gpr', value, 1);
  }
  get rdx(): bigint {
    return this.state.getBig('gpr', 2);
  }
  set rdx(value: bigint) {
    this.state.setBig('gpr', value, 2);
  }
  get rbx(): bigint {
    return this.state.getBig('gpr', 3);
  }
  set rbx(value: bigint) {
    this.state.setBig('gpr', value, 3);
  }
  get rsp(): bigint {
    return this.state.getBig('gpr', 4);
  }
  set rsp(value: bigint) {
    this.state.setBig('gpr', value, 4);
  }
  get rsi(): bigint {
    return this.state.getBig('gpr', 6);
  }
  set rsi(value: bigint) {
    this.state.setBig('gpr', value, 6);
  }
  get rdi(): bigint {
    return this.state.getBig('gpr', 7);
  }
  set rdi(value: bigint) {
    this.state.setBig('gpr', value, 7);
  }
  get flags(): number {
    return this.state.flags;
  }
  set flags(value: number) {
    this.state.flags = value;
  }
  set cr4(value: number) {
    this.context.set({ cr4: value });
  }
  get cr4(): number {
    return this.context.cr4;
  }

  /** WRMSR. */
  wrmsr(index: number, value: bigint): Outcome {
    this.rcx = BigInt(index >>> 0);
    this.rax = value & 0xffff_ffffn;
    this.rdx = value >> 32n;
    return this.execute('0f30');
  }

  /** RDMSR: the value, or what was raised. */
  rdmsr(index: number): bigint | Outcome {
    this.rcx = BigInt(index >>> 0);
    const outcome = this.execute('0f32');
    return outcome === 'done' ? (this.rdx << 32n) | this.rax : outcome;
  }

  // SystemUnit and what it is made of.

  readonly io: IoPorts = {
    read: (port, bytes) => {
      this.log.push(`in ${port.toString(16)} ${bytes}`);
      return this.ports.get(port) ?? -1;
    },
    write: (port, bytes, value) => {
      this.log.push(`out ${port.toString(16)} ${bytes} ${(value >>> 0).toString(16)}`);
    },
  };

  readonly cpuid: CpuidSource = {
    read: (leaf, subleaf, out) => {
      out.set(this.leaves[`${(leaf >>> 0).toString(16)}.${subleaf.toString(16)}`] ?? [0, 0, 0, 0]);
    },
  };

  readonly msrs: MsrSource = {
    read: (index, out) => {
      const value = this.others.get(index);
      if (value === undefined) return false;
      split(value, out);
      return true;
    },
    write: (index, low, high) => {
      if (!this.others.has(index)) return false;
      this.others.set(index, join(low, high));
      return true;
    },
  };

  readonly time: TimeSource = {
    tsc: (out) => split(this.tscValue, out),
    writeTsc: (low, high) => {
      this.tscValue = join(low, high);
    },
  };

  readonly memory: LinearMemory = {
    read: (low, high, bytes, system = false) => {
      let value = 0;
      for (let i = 0; i < bytes; i++) {
        const at = this.translate(low, high, i, Access.read, system);
        value |= this.mmu.memory.read(this.out.page, at, 1) << (8 * i);
      }
      return value;
    },
    write: (low, high, bytes, value, system = false) => {
      this.memory.probe(low, high, bytes, true, system);
      for (let i = 0; i < bytes; i++) {
        const at = this.translate(low, high, i, Access.write, system);
        this.mmu.memory.write(this.out.page, at, 1, (value >>> (8 * i)) & 0xff);
      }
    },
    words: new Int32Array(0),
    wordsAt: () => -1,
    readPair: (low, high, out, system = false) => {
      const first = this.memory.read(low, high, 4, system);
      out[1] = this.memory.read(low + 4, high, 4, system);
      out[0] = first;
    },
    writePair: (low, high, valueLow, valueHigh, system = false) => {
      this.memory.write(low, high, 4, valueLow, system);
      this.memory.write(low + 4, high, 4, valueHigh, system);
    },
    probe: (low, high, bytes, isWrite, system = false) => {
      for (let i = 0; i < bytes; i++)
        this.translate(low, high, i, isWrite ? Access.write : Access.read, system);
    },
  };

  random(): number {
    return ++this.seed;
  }
  contextChanged(): void {
    this.contextChanges++;
    this.context.ac = (this.state.flags & 0x4_0000) !== 0;
    this.context.update();
  }
  segmentsChanged(): void {}
  breakpointsChanged(): void {}
  smmChanged(isInside: boolean): void {
    this.inSmram = isInside;
  }
  stop(): void {
    this.isStopped = true;
  }
  unimplemented(what: string): never {
    throw new Error(what);
  }

  /** Offset in the page that `out` describes. */
  private translate(low: number, high: number, plus: number, kind: number, system: boolean): number {
    const sum = (low >>> 0) + plus;
    const at = sum | 0;
    const atHigh = sum > 0xffff_ffff && (this.context.efer & 0x400) !== 0 ? high + 1 : high;
    const by = system ? Access.implicit : this.state.get('cpl') === 3 ? Access.user : 0;
    const fault = this.mmu.translate(this.context, at, atHigh, kind | by, this.out);
    if (fault === Fault.page) throw pageFault(this.out.errorCode, at, atHigh);
    if (fault !== Fault.none) throw guestFault(13, 0);
    return at & 0xfff;
  }
}

function split(value: bigint, out: Int32Array): void {
  out[0] = Number(BigInt.asIntN(32, value));
  out[1] = Number(BigInt.asIntN(32, value >> 32n));
}

function join(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** A page fault. */
export function PF(errorCode: number): Outcome {
  return { vector: 14, errorCode };
}
