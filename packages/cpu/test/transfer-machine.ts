import { DecoderOptions, DecodeStatus, decode, Instruction } from '@nest86/decoder';
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
import { deriveSegmentAccess } from '../src/state/segment-cache.ts';
import { VcpuState } from '../src/state/vcpu-state.ts';
import { EventDelivery } from '../src/system/exceptions.ts';
import { GuestFault, guestFault, pageFault } from '../src/system/fault.ts';
import { transferForm, transferServices } from '../src/system/transfer-services.ts';
import type { LinearMemory, SystemUnit } from '../src/system/unit.ts';

/** An exception that reached the test instead of the guest: `14(2)`, or `3` without error code. */
export type Seen = string;

/** What a descriptor says, for {@link TransferMachine.describe}. */
export interface DescriptorText {
  readonly base?: number;
  /** Bytes, or pages with G in `attributes`. */
  readonly limit?: number;
  /** Bits 15:8 and 23:20 of the upper word: type, S, DPL, P in 7:0, AVL, L, D/B, G in 15:12. */
  readonly attributes: number;
}

// Places in RAM.
export const gdt = 0x1000;
export const ldt = 0x2000;
const idt = 0x3000;
export const tss = 0x5000;
export const otherTss = 0x6000;
export const stack0 = 0x9000;
export const stack1 = 0xa000;
export const stack3 = 0xb000;
export const interruptStack = 0xc000;
export const program = 0x1_0000;
const tables = 0x10_0000;
const ramSize = 0x20_0000;

/** Selectors of what every machine's GDT holds. */
export const Selector = {
  code: 0x08,
  data: 0x10,
  userCode: 0x1b,
  userData: 0x23,
  longCode: 0x28,
  longUserCode: 0x33,
  conforming: 0x38,
  code16: 0x40,
  data16: 0x48,
  code1: 0x51,
  data1: 0x59,
  ldt: 0x60,
  tss: 0x70,
  /** The first of those that tests describe themselves. */
  free: 0x80,
} as const;

const flat = (attributes: number): DescriptorText => ({ base: 0, limit: 0xfffff, attributes });

const descriptors: readonly (readonly [selector: number, text: DescriptorText])[] = [
  [Selector.code, flat(0xc09a)],
  [Selector.data, flat(0xc092)],
  [Selector.userCode, flat(0xc0fa)],
  [Selector.userData, flat(0xc0f2)],
  [Selector.longCode, flat(0xa09a)],
  [Selector.longUserCode, flat(0xa0fa)],
  [Selector.conforming, flat(0xc09e)],
  [Selector.code16, { base: 0x1000, limit: 0xffff, attributes: 0x009a }],
  [Selector.data16, { base: 0x1000, limit: 0xffff, attributes: 0x0092 }],
  [Selector.code1, flat(0xc0ba)],
  [Selector.data1, flat(0xc0b2)],
  [Selector.ldt, { base: ldt, limit: 0xff, attributes: 0x82 }],
  [Selector.tss, { base: tss, limit: 0x2ff, attributes: 0x8b }],
];

/** A `SystemUnit` over 2 MiB of RAM with the real memory unit; it executes one service at a time. */
export class TransferMachine implements SystemUnit {
  readonly state: VcpuState = new VcpuState(new ArrayBuffer(stateSize), 0, stateSize);
  readonly view: DataView;
  readonly mmu: Mmu;
  readonly context: PagingContext = new PagingContext();
  readonly memory: LinearMemory;
  readonly delivery: EventDelivery = new EventDelivery();
  readonly capabilities: SystemUnit['capabilities'] = {} as SystemUnit['capabilities'];
  readonly io: SystemUnit['io'] = { read: () => -1, write: () => {} };
  readonly cpuid: SystemUnit['cpuid'] = { read: (_leaf, _subleaf, out) => out.fill(0) };
  readonly msrs: SystemUnit['msrs'] = { read: () => false, write: () => false };
  readonly time: SystemUnit['time'] = { tsc: (out) => out.fill(0), writeTsc: () => {} };
  nextLow = 0;
  nextHigh = 0;
  ripLow: number = program;
  ripHigh = 0;
  isStopped = false;
  private readonly instruction = new Instruction();

  constructor({ vendor = 'intel' }: { vendor?: 'intel' | 'amd' } = {}) {
    const memory = new PhysicalMemory({ buffer: new ArrayBuffer(ramSize) });
    memory.addRegion({ kind: 'ram', start: 0, size: ramSize, backing: 0 });
    this.view = new DataView(memory.bytes.buffer);
    this.mmu = new Mmu({ memory, tlb: createTlb('exact'), model: new PagingModel({ vendor }) });
    this.mmu.enter(this.context);
    this.memory = new TranslatedMemory(this);
    for (const [selector, text] of descriptors) this.describe(selector, text);
    this.state.setPair('tableBase', gdt, 0, 0);
    this.state.set('tableLimit', 0x7ff, 0);
    this.state.setPair('tableBase', idt, 0, 1);
    this.state.set('tableLimit', 0xfff, 1);
    this.state.setPair('debug', 0x400, 0, 7);
    this.setRegister(4, stack0);
    this.state.flags = 2;
  }

  contextChanged(): void {
    const { context, state } = this;
    context.ac = (state.get('systemFlags') & 0x40000) !== 0 && state.get('cpl') !== 3;
    context.update();
  }

  segmentsChanged(): void {}
  breakpointsChanged(): void {}
  smmChanged(): void {}

  stop(): void {
    this.isStopped = true;
  }

  unimplemented(what: string): never {
    throw new Error(what);
  }

  random(): number {
    return 4;
  }

  // Modes.

  real(): this {
    for (let segment = 0; segment < 6; segment++) this.segment(segment, 0, 0, 0xffff, 0x93);
    this.ripLow = 0x8000;
    this.setRegister(4, 0x7000);
    this.state.setPair('tableBase', 0, 0, 1);
    this.state.set('tableLimit', 0x3ff, 1);
    return this;
  }

  /** 32-bit protected mode with flat segments at a level, without paging. */
  protected(privilege = 0): this {
    this.context.set({ cr0: 1 });
    const [code, data] = [
      [Selector.code, Selector.data],
      [Selector.code1, Selector.data1],
      [],
      [Selector.userCode, Selector.userData],
    ][privilege];
    for (let segment = 0; segment < 6; segment++)
      this.segment(segment, data, 0, -1, 0xc093 | (privilege << 5));
    this.segment(Segment.cs, code, 0, -1, 0xc09b | (privilege << 5));
    this.state.set('cpl', privilege);
    this.setRegister(4, privilege === 0 ? stack0 : privilege === 1 ? stack1 : stack3);
    this.task(0x8b);
    return this;
  }

  /** 64-bit mode at a level, identity-mapped by 4-level paging for user and supervisor. */
  long(privilege: 0 | 3 = 0): this {
    this.mapAll();
    this.context.set({ cr0: 0x80000001 | 0, cr4: 0x20, cr3: tables, efer: 0xd01 });
    const [code, data] =
      privilege === 0 ? [Selector.longCode, Selector.data] : [Selector.longUserCode, Selector.userData];
    for (let segment = 0; segment < 6; segment++)
      this.segment(segment, data, 0, -1, 0xc093 | (privilege << 5));
    this.segment(Segment.cs, code, 0, -1, 0xa09b | (privilege << 5));
    this.state.set('cpl', privilege);
    this.setRegister(4, privilege === 0 ? stack0 : stack3);
    this.task(0x8b);
    return this;
  }

  /** Compatibility mode: 32-bit code under EFER.LMA. */
  compatibility(privilege: 0 | 3 = 0): this {
    this.long(privilege);
    const code = privilege === 0 ? Selector.code : Selector.userCode;
    return this.segment(Segment.cs, code, 0, -1, 0xc09b | (privilege << 5));
  }

  virtual8086(ioPrivilege = 3): this {
    this.protected(3);
    this.state.flags = 0x20002 | (ioPrivilege << 12);
    for (let segment = 0; segment < 6; segment++) this.segment(segment, 0x100, 0x1000, 0xffff, 0xf3);
    this.ripLow = 0x40;
    this.setRegister(4, 0x700);
    return this;
  }

  /** TR at `tss` with stacks of levels 0 and 1. */
  private task(attributes: number): void {
    this.segment(Segment.tr, Selector.tss, tss, 0x2ff, attributes);
    this.segment(Segment.ldtr, Selector.ldt, ldt, 0xff, 0x82);
    if ((this.context.efer & 0x400) !== 0) {
      this.words(tss, 0, stack0 - 0x100, 0, stack1, 0);
      for (let i = 0; i < 7; i++) this.words(tss + 0x24 + 8 * i, interruptStack + 0x100 * i, 0);
      return;
    }
    this.words(tss, 0, stack0 - 0x100, Selector.data, stack1, Selector.data1);
  }

  private mapAll(): void {
    const entry = (at: number, value: number): void => {
      this.view.setUint32(at, value, true);
      this.view.setUint32(at + 4, 0, true);
    };
    entry(tables, (tables + 0x1000) | 7);
    entry(tables + 0x1000, (tables + 0x2000) | 7);
    entry(tables + 0x2000, (tables + 0x3000) | 7);
    for (let page = 0; page < 512; page++) entry(tables + 0x3000 + 8 * page, (page << 12) | 7);
  }

  /** Writes the page table entry of an address, for the long modes. @param bits 0 unmaps it */
  map(linear: number, bits: number): void {
    this.view.setUint32(
      tables + 0x3000 + 8 * (linear >> 12),
      bits === 0 ? 0 : (linear & ~0xfff) | bits,
      true,
    );
    this.mmu.invlpg(this.context, linear, 0);
  }

  // State.

  segment(segment: number, selector: number, base: number, limit: number, attributes: number): this {
    const { state } = this;
    state.set('segmentSelector', selector, segment);
    state.setPair('segmentBase', base, 0, segment);
    state.set('segmentLimit', limit, segment);
    state.set('segmentAttributes', attributes, segment);
    deriveSegmentAccess(this.state, segment);
    this.segmentsChanged();
    return this;
  }

  register(number: number): bigint {
    return this.state.getBig('gpr', number);
  }

  setRegister(number: number, value: number | bigint): void {
    this.state.setBig('gpr', BigInt.asUintN(64, BigInt(value)), number);
  }

  get rip(): bigint {
    return (BigInt(this.ripHigh >>> 0) << 32n) | BigInt(this.ripLow >>> 0);
  }

  selector(segment: number): number {
    return this.state.get('segmentSelector', segment);
  }

  attributes(segment: number): number {
    return this.state.get('segmentAttributes', segment);
  }

  get cpl(): number {
    return this.state.get('cpl');
  }

  get flags(): number {
    return this.state.flags;
  }

  // Memory.

  words(address: number, ...values: number[]): void {
    for (const [i, value] of values.entries()) this.view.setInt32(address + 4 * i, value, true);
  }

  halves(address: number, ...values: number[]): void {
    for (const [i, value] of values.entries()) this.view.setInt16(address + 2 * i, value, true);
  }

  longs(address: number, ...values: (number | bigint)[]): void {
    for (const [i, value] of values.entries()) this.view.setBigInt64(address + 8 * i, BigInt(value), true);
  }

  /** Unsigned numbers of 2 or 4 bytes each. */
  read(address: number, count: number, bytes: 2 | 4 = 4): number[] {
    return Array.from({ length: count }, (_, i) =>
      bytes === 2 ? this.view.getUint16(address + 2 * i, true) : this.view.getUint32(address + 4 * i, true),
    );
  }

  readLongs(address: number, count: number): bigint[] {
    return Array.from({ length: count }, (_, i) => this.view.getBigUint64(address + 8 * i, true));
  }

  /** Writes a descriptor; the selector's RPL means nothing, its TI chooses the LDT. */
  describe(selector: number, { base = 0, limit = 0, attributes }: DescriptorText): this {
    this.words(
      this.descriptorAddress(selector),
      (base << 16) | (limit & 0xffff),
      ((base >>> 16) & 0xff) | (base & 0xff00_0000) | ((attributes & 0xf0ff) << 8) | (limit & 0xf_0000),
    );
    return this;
  }

  /** The access byte of a descriptor as it is in memory. */
  accessByte(selector: number): number {
    return this.view.getUint8(this.descriptorAddress(selector) + 5);
  }

  private descriptorAddress(selector: number): number {
    return ((selector & 4) !== 0 ? ldt : gdt) + (selector & 0xfff8);
  }

  /** Writes a call or task gate into the GDT. */
  callGate(selector: number, target: number, offset: number, access: number, count = 0, upper = 0): this {
    this.words(
      this.descriptorAddress(selector),
      (target << 16) | (offset & 0xffff),
      (offset & 0xffff_0000) | (access << 8) | count,
      upper,
      0,
    );
    return this;
  }

  /** Writes a gate of 8 bytes, or 16 in long mode, into the IDT. */
  interruptGate(vector: number, target: number, offset: number, access: number, ist = 0, upper = 0): this {
    const isLong = (this.context.efer & 0x400) !== 0;
    const words = [(target << 16) | (offset & 0xffff), (offset & 0xffff_0000) | (access << 8) | ist];
    if (isLong) words.push(upper, 0);
    this.words(idt + vector * (isLong ? 16 : 8), ...words);
    return this;
  }

  // Execution.

  /** Executes one instruction given in hexadecimal. @returns the exception that it raises, or `''` */
  run(code: string): Seen {
    const bytes = Buffer.from(code.replaceAll(' ', ''), 'hex');
    const { state, instruction } = this;
    const isLong = (this.context.efer & 0x400) !== 0 && (this.attributes(Segment.cs) & 0x2000) !== 0;
    const mode = isLong ? 64 : (this.attributes(Segment.cs) & 0x4000) !== 0 ? 32 : 16;
    const options = new DecoderOptions({ mode, vendor: this.mmu.model.vendor });
    const status = decode(bytes, 0, options, instruction);
    if (status !== DecodeStatus.ok || instruction.length !== bytes.length)
      throw new Error(`${code} is no instruction`);
    const name = mnemonicName(mnemonic(instruction)).toUpperCase();
    const service = transferServices[name + transferForm(name, instruction)];
    if (service === undefined) throw new Error(`${name} is no service`);
    const next = (this.ripLow >>> 0) + instruction.length;
    this.nextLow = mode === 16 ? next & 0xffff : next | 0;
    this.nextHigh = mode === 64 ? this.ripHigh + Math.floor(next / 2 ** 32) : 0;
    const isReturn = name.startsWith('IRET') && state.get('nmiBlocked') !== 0;
    const before = state.bytes.slice();
    const rip = this.rip;
    try {
      service(this, instruction);
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      this.seeFault(fault);
      // What throws has changed nothing, unless it is an exception of a new task, or the unblocking of NMIs by IRET.
      if (this.rip === rip && !isReturn && Buffer.compare(before, state.bytes) !== 0)
        throw new Error(`${name} changed the state and faulted`);
      return this.seen;
    }
    this.arrive();
    return '';
  }

  /** Address of the last #PF that the test saw. */
  faultAddress = 0n;
  private seen = '';

  private seeFault({ vector, errorCode, addressLow, addressHigh }: GuestFault): void {
    this.seen = errorCode === -1 ? `${vector}` : `${vector}(${errorCode.toString(16)})`;
    this.faultAddress = (BigInt(addressHigh >>> 0) << 32n) | BigInt(addressLow >>> 0);
  }

  /** Delivers an exception. */
  raise(vector: number, errorCode = -1): void {
    this.between(() => this.delivery.exception(this, vector, errorCode));
  }

  /** Delivers something between instructions. */
  between(event: () => void): void {
    this.nextLow = this.ripLow;
    this.nextHigh = this.ripHigh;
    event();
    this.arrive();
  }

  private arrive(): void {
    this.ripLow = this.nextLow;
    this.ripHigh = this.nextHigh;
  }
}

class TranslatedMemory implements LinearMemory {
  /** There is no fast TLB: transfers go the general way. */
  readonly words: Int32Array = new Int32Array(0);
  private readonly out = new Translation();

  constructor(private readonly machine: TransferMachine) {}

  read(low: number, high: number, bytes: number, system = false): number {
    let value = 0;
    for (let i = 0; i < bytes; i++)
      value |= this.machine.view.getUint8(this.locate(low, high, i, Access.read, system)) << (8 * i);
    return value;
  }

  write(low: number, high: number, bytes: number, value: number, system = false): void {
    this.probe(low, high, bytes, true, system);
    for (let i = 0; i < bytes; i++)
      this.machine.view.setUint8(this.locate(low, high, i, Access.write, system), value >>> (8 * i));
  }

  wordsAt(): number {
    return -1;
  }

  readPair(low: number, high: number, out: Int32Array, system = false): void {
    const first = this.read(low, high, 4, system);
    const carried = low >>> 0 > 0xfffffffb ? 1 : 0;
    out[1] = this.read((low + 4) | 0, this.isLong ? high + carried : high, 4, system);
    out[0] = first;
  }

  writePair(low: number, high: number, valueLow: number, valueHigh: number, system = false): void {
    this.write(low, high, 4, valueLow, system);
    const carried = low >>> 0 > 0xfffffffb ? 1 : 0;
    this.write((low + 4) | 0, this.isLong ? high + carried : high, 4, valueHigh, system);
  }

  private get isLong(): boolean {
    return (this.machine.context.efer & 0x400) !== 0;
  }

  probe(low: number, high: number, bytes: number, isWrite: boolean, system = false): void {
    for (let i = 0; i < bytes; i++) this.locate(low, high, i, isWrite ? Access.write : Access.read, system);
  }

  private locate(low: number, high: number, offset: number, kind: number, system: boolean): number {
    const { mmu, context, state } = this.machine;
    const sum = (low >>> 0) + offset;
    const at = sum | 0;
    const isLong = (context.efer & 0x400) !== 0;
    const atHigh = sum > 0xffffffff && isLong ? (high + 1) | 0 : high;
    if (!isLong && high !== 0) throw new Error('an address of more than 32 bits outside long mode');
    const by = system ? Access.implicit : state.get('cpl') === 3 ? Access.user : 0;
    const fault = mmu.translate(context, at, atHigh, kind | by, this.out);
    if (fault === Fault.page) throw pageFault(this.out.errorCode, at, atHigh);
    if (fault === Fault.nonCanonical) throw new Error('a non-canonical access was not checked');
    if (fault !== Fault.none) throw guestFault(13, 0);
    return this.out.page * 4096 + (at & 0xfff);
  }
}
