import { eptFrom } from '@nest86/mmu';
import { memoryHash, stateHash } from '../../src/engine/state-hash.ts';
import { Segment, stateOffset } from '../../src/state/layout.ts';
import { setSegmentCache } from '../../src/state/segment-cache.ts';
import { type BareOptions, BareProcessor } from '../bare-processor.ts';
import { ToyExtension } from './toy-extension.ts';

/** Where the guest's memory lies in the machine's, and its size. */
const guestBase = 0x40_0000;
const eptTables = 0x10_0000;
/** Guest-physical addresses. */
export const Guest = {
  code: 0x1000,
  idt: 0x2000,
  gdt: 0x3000,
  tss: 0x4000,
  stack: 0x6000,
  data: 0x7000,
  other: 0x8000,
  handlers: 0xa000,
  tables: 0x10000,
  /** Linear addresses from here on go through a page table of their own, at `tables + 4000h`, to `data`. */
  far: 0x20_0000,
  farTable: 0x14000,
} as const;
/** Vectors with an error code. */
const withError: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17, 21]);

export interface ToyOptions extends BareOptions {
  /** Instructions between VMRUNs; default none. */
  readonly host?: readonly number[];
  readonly extension?: ToyExtension;
}

/** A host that enters its guest again and again, and a guest in 64-bit mode at level 0 under extended page tables. */
export class ToyMachine {
  readonly cpu: BareProcessor;
  readonly extension: ToyExtension;
  readonly view: DataView;
  pendingInterrupts: number[] = [];
  readonly ports: string[] = [];
  /** Vectors that were acknowledged. */
  readonly acknowledged: number[] = [];
  /** Called at a write to a port, and when a run stops early. */
  onPort: () => void = () => {};
  onStop: (() => void) | undefined;
  private isDone = false;

  constructor(
    guestCode: readonly number[],
    { host = [], parts, extension = new ToyExtension(), ...options }: ToyOptions = {},
  ) {
    const interrupts = {
      isPending: false,
      acknowledge: () => {
        const vector = this.pendingInterrupts.shift() ?? 0;
        this.acknowledged.push(vector);
        interrupts.isPending = this.pendingInterrupts.length > 0;
        return vector;
      },
    };
    this.dropInterrupts = () => {
      this.pendingInterrupts.length = 0;
      interrupts.isPending = false;
    };
    this.raise = (...vectors) => {
      this.pendingInterrupts.push(...vectors);
      interrupts.isPending = true;
    };
    const cpu = new BareProcessor({
      ramSize: 8 << 20,
      recordBytes: 1 << 20,
      vendor: 'amd',
      ...options,
      parts: {
        interrupts,
        extension,
        observer: { exception: () => false },
        io: {
          read: (port) => port,
          write: (port, _bytes, value) => {
            this.ports.push(`${port}=${value}`);
            this.onPort();
          },
        },
        time: {
          tsc: (out) => {
            out[0] = this.cpu.processor.retired;
            out[1] = 0;
          },
          writeTsc: () => {},
        },
        ...parts,
      },
    });
    this.cpu = cpu;
    this.extension = extension;
    this.view = new DataView(cpu.engine.memory.buffer, cpu.engine.physical.base);
    // VMRUN; the host's own; JMP to the first.
    cpu.ram.set([0x0f, 0x01, 0xd8, ...host, 0xeb, 256 - host.length - 5], 0x1000);
    cpu.rip = 0x1000;
    cpu.setRegister(4, 0x9000n);
    this.buildEpt();
    this.buildGuest(guestCode);
  }

  readonly raise: (...vectors: number[]) => void;
  readonly dropInterrupts: () => void;

  private entry(address: number, value: number): void {
    this.view.setUint32(address, value, true);
    this.view.setUint32(address + 4, 0, true);
  }

  private buildEpt(): void {
    for (let level = 0; level < 3; level++)
      this.entry(eptTables + 0x1000 * level, (eptTables + 0x1000 * (level + 1)) | 7);
    for (let page = 0; page < 512; page++) this.map(page << 12, 7);
  }

  /** Permissions of a guest page in the second stage: read 1, write 2, execute 4. */
  map(address: number, rights: number): void {
    const page = address >>> 12;
    this.entry(eptTables + 0x3000 + 8 * page, (guestBase + (page << 12)) | 0x30 | rights);
  }

  guestWrite(address: number, bytes: readonly number[]): void {
    this.cpu.ram.set(bytes, guestBase + address);
  }

  guestRead(address: number, bytes: number): number[] {
    return [...this.cpu.ram.subarray(guestBase + address, guestBase + address + bytes)];
  }

  private buildGuest(code: readonly number[]): void {
    const { tables } = Guest;
    this.guestWrite(Guest.code, code);
    for (let level = 0; level < 3; level++)
      this.entry(guestBase + tables + 0x1000 * level, (tables + 0x1000 * (level + 1)) | 7);
    for (let page = 0; page < 512; page++)
      this.entry(guestBase + tables + 0x3000 + 8 * page, (page << 12) | 7);
    this.entry(guestBase + tables + 0x2000 + 8, Guest.farTable | 7);
    this.entry(guestBase + Guest.farTable, Guest.data | 7);
    for (let vector = 0; vector < 256; vector++) {
      const at = guestBase + Guest.idt + 16 * vector;
      this.view.setUint32(at, ((8 << 16) | (Guest.handlers + 16 * vector)) >>> 0, true);
      this.view.setUint32(at + 4, 0x8e00, true);
      const drop = withError.has(vector) ? [0x48, 0x83, 0xc4, 8] : [];
      // MOV R15D, vector; the error code is dropped; IRETQ.
      this.guestWrite(Guest.handlers + 16 * vector, [0x41, 0xbf, vector, 0, 0, 0, ...drop, 0x48, 0xcf]);
    }
    this.view.setBigUint64(guestBase + Guest.gdt + 8, 0x00af_9b00_0000_ffffn, true);
    this.view.setBigUint64(guestBase + Guest.gdt + 16, 0x00cf_9300_0000_ffffn, true);
    const { extension, cpu } = this;
    const { guest } = extension;
    guest.context.set({ cr0: 0x80050033 | 0, cr3: tables, cr4: 0x40620, efer: 0x500 | 0x800 });
    guest.context.secondStage = eptFrom(eptTables | 0x1e);
    cpu.processor.mmu.enter(guest.context, { owner: 'vmx', vpidOrAsid: 1 });
    // The guest's registers are made in the processor, and put aside.
    const { state } = cpu.processor;
    extension.host.store(cpu.processor, 0x1000, 0);
    setSegmentCache(state, Segment.cs, { selector: 8, base: 0, limit: -1 >>> 0, attributes: 0xa09b });
    for (const segment of [Segment.ds, Segment.es, Segment.ss])
      setSegmentCache(state, segment, { selector: 16, base: 0, limit: -1 >>> 0, attributes: 0xc093 });
    setSegmentCache(state, Segment.tr, { selector: 24, base: Guest.tss, limit: 0x67, attributes: 0x8b });
    state.setPair('tableBase', Guest.gdt, 0, 0);
    state.set('tableLimit', 0xff, 0);
    state.setPair('tableBase', Guest.idt, 0, 1);
    state.set('tableLimit', 0xfff, 1);
    state.setPair('gpr', Guest.stack, 0, 4);
    state.flags = 2;
    state.setPair('debug', 0xffff0ff0 | 0, 0, 6);
    state.setPair('debug', 0x400, 0, 7);
    guest.store(cpu.processor, Guest.code, 0);
    extension.host.load(cpu.processor);
    cpu.processor.stateChanged();
  }

  /** Ends the run. */
  stop(): void {
    this.isDone = true;
    this.cpu.processor.stop();
  }

  /** Runs, in slices, until the count or a stop. */
  run(count: number, slice: number = count): this {
    const { processor } = this.cpu;
    const end = processor.retired + count;
    while (processor.retired < end && !this.isDone) {
      const before = processor.retired;
      const why = processor.run(Math.min(end - before, slice));
      if (why === 'stopped' && this.onStop !== undefined) this.onStop();
      else if (processor.retired === before) break;
    }
    return this;
  }

  private guestWord(offset: number): number {
    return this.extension.guest.at(offset);
  }

  // The guest's registers while the host runs.

  get guestFlags(): number {
    return this.extension.guest.words[this.guestWord(stateOffset.systemFlags)];
  }

  /** TF IF and their likes; not the status flags. */
  set guestFlags(value: number) {
    this.extension.guest.words[this.guestWord(stateOffset.systemFlags)] = value;
  }

  set guestStack(value: number) {
    this.extension.guest.words[this.guestWord(stateOffset.gpr + 8 * 4)] = value;
  }

  get guestStack(): number {
    return this.extension.guest.words[this.guestWord(stateOffset.gpr + 8 * 4)];
  }

  set guestActivity(value: number) {
    this.extension.guest.words[this.guestWord(stateOffset.activity)] = value;
  }

  get guestDr6(): number {
    return this.extension.guest.words[this.guestWord(stateOffset.debug + 8 * 6)] >>> 0;
  }

  /** All that must not depend on how code is executed. */
  get hash(): string {
    const { processor, ram } = this.cpu;
    return `${processor.retired} ${stateHash(processor)} ${memoryHash(ram)} ${this.extension.guest.words.join()}`;
  }
}
