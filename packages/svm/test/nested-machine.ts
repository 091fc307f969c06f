import {
  type CpuidSource,
  capabilitiesOf,
  Engine,
  type EngineOptions,
  EventSource,
  memoryHash,
  Processor,
  resetState,
  Segment,
  setSegmentCache,
  stateHash,
} from '@nest86/cpu';
import { createTlb, Mmu, PagingContext, PagingModel, type TlbName } from '@nest86/mmu';
import { SvmExtension, type SvmFeatures, svmFeatures } from '../src/extension/index.ts';
import { ExitCode, exitName, type VmcbFieldName, type VmcbValues, vmcbFields } from '../src/index.ts';

/** Host-physical addresses. */
export const Host = {
  code: 0x1000,
  idt: 0x2000,
  gdt: 0x3000,
  stack: 0x9000,
  handlers: 0xa000,
  vmcb: 0x1_0000,
  otherVmcb: 0x1_1000,
  iopm: 0x2_0000,
  msrpm: 0x2_4000,
  npt: 0x10_0000,
  tables: 0x20_0000,
  guest: 0x40_0000,
} as const;

/** Guest-physical addresses. */
export const Guest = {
  code: 0x1000,
  idt: 0x2000,
  gdt: 0x3000,
  tss: 0x4000,
  stack: 0x6000,
  data: 0x7000,
  handlers: 0xa000,
  tables: 0x1_0000,
} as const;

export const instruction = {
  vmrun: [0x0f, 0x01, 0xd8],
  vmmcall: [0x0f, 0x01, 0xd9],
  vmload: [0x0f, 0x01, 0xda],
  vmsave: [0x0f, 0x01, 0xdb],
  stgi: [0x0f, 0x01, 0xdc],
  clgi: [0x0f, 0x01, 0xdd],
  invlpga: [0x0f, 0x01, 0xdf],
  cpuid: [0x0f, 0xa2],
  hlt: [0xf4],
} as const;

export interface NestedOptions extends Partial<EngineOptions> {
  readonly tlb?: TlbName;
  readonly features?: Partial<SvmFeatures>;
  /** Host code behind VMRUN; default: tells the test, and again. */
  readonly host?: readonly number[];
}

const byName = new Map(vmcbFields.map((field) => [field.name, field]));
const withError: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);
/** MOV R15D, vector; the error code is dropped; IRETQ. */
const handler = (vector: number): number[] => [
  ...[0x41, 0xbf, vector, 0, 0, 0],
  ...(withError.has(vector) ? [0x48, 0x83, 0xc4, 8] : []),
  ...[0x48, 0xcf],
];

/** A host in 64-bit mode whose program is VMRUN, a port that asks the test, and again; its guest runs in 64-bit mode under nested paging. */
export class NestedMachine {
  readonly processor: Processor;
  readonly engine: Engine;
  readonly svm: SvmExtension;
  readonly ram: Uint8Array;
  readonly view: DataView;
  readonly context: PagingContext = new PagingContext();
  readonly mmu: Mmu;
  /** Called when the host's program writes to port 10h, after each exit. */
  onExit: () => void = () => {};
  readonly ports: string[] = [];
  /** Called at all other ports. */
  onPort: (port: number) => void = () => {};
  tpr = 0;
  private readonly interrupts = { isPending: false, acknowledge: () => this.acknowledge() };
  private readonly vectors: number[] = [];
  private isDone = false;

  constructor(guestCode: readonly number[], options: NestedOptions = {}) {
    const { tlb = 'set-associative', features = {}, host, ...engineOptions } = options;
    const ramSize = 8 << 20;
    this.engine = new Engine({ recordBytes: 1 << 20, ...engineOptions, ramSize, vendor: 'amd' });
    const { physical } = this.engine;
    physical.addRegion({ kind: 'ram', start: 0, size: ramSize, backing: 0 });
    this.ram = new Uint8Array(this.engine.memory.buffer, physical.base, ramSize);
    this.view = new DataView(this.engine.memory.buffer, physical.base);
    const model = new PagingModel({ vendor: 'amd', physicalBits: 48 });
    this.mmu = new Mmu({ memory: physical, tlb: createTlb(tlb, { vendor: 'amd' }), model });
    // Every feature there is but LA57, and XCR0 components 0 to 2.
    const cpuid: CpuidSource = {
      read: (leaf, subleaf, out) => {
        out.fill(leaf === 13 && subleaf === 0 ? 7 : -1);
        if ((leaf & 0xffff) === 0) out[0] = leaf | 0xff;
        if (leaf === 7) out[2] &= ~(1 << 16);
      },
    };
    this.svm = new SvmExtension({ ...svmFeatures(() => true), ...features });
    this.processor = new Processor(this.engine, 0, {
      mmu: this.mmu,
      context: this.context,
      cpuid,
      capabilities: capabilitiesOf(cpuid),
      extension: this.svm,
      interrupts: this.interrupts,
      msrs: {
        read: (index, out) => this.svm.msrs.read(index, out),
        write: (index, low, high) => this.svm.msrs.write(index, low, high),
      },
      io: {
        read: (port) => port,
        write: (port, _bytes, value) => {
          if (port === 0x10) this.onExit();
          else {
            this.ports.push(`${port.toString(16)}=${value}`);
            this.onPort(port);
          }
        },
      },
      time: {
        tsc: (out) => {
          out[0] = this.processor.retired + 1000;
          out[1] = 0;
        },
        writeTsc: () => {},
      },
      taskPriority: {
        read: () => this.tpr,
        write: (value) => {
          this.tpr = value;
        },
      },
      initialize: () => {
        this.svm.initialize();
        resetState(this.processor.state, this.context, 0);
        this.mmu.enter(this.context);
        this.stop();
      },
    });
    // VMRUN; OUT 10h, AL; JMP.
    this.ram.set([...instruction.vmrun, ...(host ?? [0xe6, 0x10, 0xeb, 0xf9])], Host.code);
    this.tables(Host.tables, 0, 0x8_0000);
    this.tables(Host.npt, Host.guest, 0);
    this.buildHost();
    this.tables(Host.guest + Guest.tables, 0, -Host.guest);
    this.buildGuest(guestCode);
  }

  /** Four levels that map 2 MiB from 0 on by pages of 4 KiB, or all RAM by large ones. */
  private tables(at: number, target: number, large: number): void {
    const base = large < 0 ? large : 0;
    for (let level = 0; level < 2; level++)
      this.entry(at + 0x1000 * level, at + base + 0x1000 * (level + 1) + 7);
    if (large > 0) {
      for (let i = 0; i < 4; i++) this.entry(at + 0x2000 + 8 * i, (i << 21) | 0x87);
      return;
    }
    this.entry(at + 0x2000, at + base + 0x3000 + 7);
    for (let page = 0; page < 512; page++) this.entry(at + 0x3000 + 8 * page, target + (page << 12) + 7);
  }

  private entry(address: number, value: number): void {
    this.view.setUint32(address, value, true);
    this.view.setUint32(address + 4, 0, true);
  }

  /** Rights of a guest page in the nested tables: present 1, write 2. */
  map(address: number, rights: number): void {
    const page = address >>> 12;
    this.entry(Host.npt + 0x3000 + 8 * page, Host.guest + (page << 12) + (rights === 0 ? 0 : rights | 4));
  }

  /** Rights of a guest page in the guest's own tables. */
  mapGuest(address: number, rights: number): void {
    this.entry(Host.guest + Guest.tables + 0x3000 + 8 * (address >>> 12), (address & ~0xfff) + rights);
  }

  private gates(idt: number, handlers: number, at: number): void {
    for (let vector = 0; vector < 256; vector++) {
      this.view.setUint32(at + idt + 16 * vector, ((8 << 16) | (handlers + 24 * vector)) >>> 0, true);
      this.view.setUint32(at + idt + 16 * vector + 4, 0x8e00, true);
      this.ram.set(handler(vector), at + handlers + 24 * vector);
    }
    const gdt = at + (at === 0 ? Host.gdt : Guest.gdt);
    this.view.setBigUint64(gdt + 8, 0x00af_9b00_0000_ffffn, true);
    this.view.setBigUint64(gdt + 16, 0x00cf_9300_0000_ffffn, true);
  }

  private buildHost(): void {
    this.gates(Host.idt, Host.handlers, 0);
    const { state } = this.processor;
    resetState(state, this.context, 0);
    setSegmentCache(state, Segment.cs, { selector: 8, base: 0, limit: 0xffff_ffff, attributes: 0xa09b });
    for (const segment of [Segment.ds, Segment.es, Segment.ss])
      setSegmentCache(state, segment, { selector: 16, base: 0, limit: 0xffff_ffff, attributes: 0xc093 });
    state.setPair('tableBase', Host.gdt, 0, 0);
    state.set('tableLimit', 0xff, 0);
    state.setPair('tableBase', Host.idt, 0, 1);
    state.set('tableLimit', 0xfff, 1);
    state.setPair('gpr', Host.vmcb, 0, 0);
    state.setPair('gpr', Host.stack, 0, 4);
    state.setPair('rip', Host.code, 0);
    state.flags = 2;
    this.context.set({ cr0: 0x8005_0033 | 0, cr3: Host.tables, cr4: 0x620, efer: 0x1d00 });
    this.mmu.enter(this.context);
    this.processor.stateChanged();
  }

  private buildGuest(code: readonly number[]): void {
    this.gates(Guest.idt, Guest.handlers, Host.guest);
    this.guestWrite(Guest.code, code);
    this.set({
      intercept1: 0,
      // VMRUN and VMMCALL.
      intercept2: 3,
      iopmBase: Host.iopm,
      msrpmBase: Host.msrpm,
      asid: 1,
      nestedControl: 1,
      nestedCr3: Host.npt,
      guestPat: 0x0007_0406_0007_0406n,
      csSelector: 8,
      csAttributes: 0x29b,
      csLimit: 0xffff_ffff,
      gdtrBase: Guest.gdt,
      gdtrLimit: 0xff,
      idtrBase: Guest.idt,
      idtrLimit: 0xfff,
      efer: 0x1d00,
      cr0: 0x8005_0033,
      cr3: Guest.tables,
      cr4: 0x620,
      dr6: 0xffff_0ff0,
      dr7: 0x400,
      rflags: 2,
      rip: Guest.code,
      rsp: Guest.stack,
    });
    for (const name of ['ds', 'es', 'ss'] as const)
      this.set({ [`${name}Selector`]: 16, [`${name}Attributes`]: 0xc93, [`${name}Limit`]: 0xffff_ffff });
  }

  guestWrite(address: number, bytes: readonly number[]): void {
    this.ram.set(bytes, Host.guest + address);
  }

  get(name: VmcbFieldName): bigint {
    const { offset, bytes } = byName.get(name)!;
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.ram[Host.vmcb + offset + i]);
    return value;
  }

  set(values: VmcbValues): void {
    for (const [name, value] of Object.entries(values)) {
      const { offset, bytes } = byName.get(name as VmcbFieldName)!;
      let rest = BigInt.asUintN(8 * bytes, BigInt(value));
      for (let i = 0; i < bytes; i++, rest >>= 8n) this.ram[Host.vmcb + offset + i] = Number(rest & 0xffn);
    }
  }

  register(number: number): bigint {
    return this.processor.state.getBig('gpr', number);
  }

  raise(vector: number): void {
    this.vectors.push(vector);
    this.interrupts.isPending = true;
  }

  nmi(): void {
    this.processor.events.pending |= EventSource.nmi;
  }

  private acknowledge(): number {
    const vector = this.vectors.shift() ?? 0;
    this.interrupts.isPending = this.vectors.length > 0;
    return vector;
  }

  stop(): void {
    this.isDone = true;
    this.processor.stop();
  }

  run(count: number = 2000, slice: number = count): this {
    const { processor } = this;
    const end = processor.retired + count;
    while (processor.retired < end && !this.isDone) {
      const before = processor.retired;
      processor.run(Math.min(end - before, slice));
      if (processor.retired === before) break;
    }
    return this;
  }

  /** All that must not depend on how code is executed. */
  get hash(): string {
    return `${this.processor.retired} ${stateHash(this.processor)} ${memoryHash(this.ram)}`;
  }

  /** The last exit in short: name, EXITINFO, nRIP and RIP from the start of the guest's code. */
  get exit(): string {
    const name = exitName(Number(BigInt.asIntN(32, this.get('exitCode'))));
    const info = [this.get('exitInfo1'), this.get('exitInfo2')].map((value) => value.toString(16)).join(' ');
    const interrupted = this.get('exitIntInfo');
    const during = interrupted === 0n ? '' : ` during ${interrupted.toString(16)}`;
    const next = this.get('nextRip');
    const behind = next === 0n ? '' : ` next ${next - BigInt(Guest.code)}`;
    return `${name} ${info} at ${this.get('rip') - BigInt(Guest.code)}${behind}${during}`;
  }
}

const ways: readonly (readonly [options: NestedOptions, slice: number])[] = [
  [{ accel: 'interp' }, 2000],
  [{ accel: 'jit', heat: 1 }, 2000],
  [{ accel: 'jit', heat: 2 }, 5],
  [{ accel: 'interp', tlb: 'none' }, 1],
];

/**
 * Runs a guest until it has called VMMCALL, which is put behind its code, in several ways that must agree. Exits at an instruction are gone on
 * behind it, unless `onExit` says true.
 */
export function scenario(
  code: readonly number[],
  prepare: (machine: NestedMachine) => void = () => {},
  onExit: (machine: NestedMachine, exit: string) => unknown = () => {},
  options: NestedOptions = {},
): { exits: string[]; machine: NestedMachine } {
  const ends = ways.map(([way, slice]) => {
    const machine = new NestedMachine([...code, ...instruction.vmmcall], { ...options, ...way });
    const exits: string[] = [];
    machine.onExit = () => {
      exits.push(machine.exit);
      const code = Number(machine.get('exitCode') & 0xffff_ffffn);
      if (
        exits.length > 50 ||
        code === ExitCode.vmmcall ||
        code === 0xffff_ffff ||
        code === ExitCode.shutdown
      )
        machine.stop();
      if (onExit(machine, exits[exits.length - 1]) !== true && machine.get('nextRip') !== 0n)
        machine.set({ rip: machine.get('nextRip') });
    };
    prepare(machine);
    machine.run(2000, slice);
    return { hash: machine.hash, exits, machine };
  });
  for (const { hash, exits } of ends.slice(1)) {
    if (exits.join('\n') !== ends[0].exits.join('\n'))
      throw new Error(`${exits.join('\n')}\n--- but ---\n${ends[0].exits.join('\n')}`);
    if (hash !== ends[0].hash) throw new Error('the end states differ');
  }
  return ends[0];
}
