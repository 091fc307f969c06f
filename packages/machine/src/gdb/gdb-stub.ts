import type { DebugStop, DebugStopKind, DebugTarget, ResumePlan, StopReport } from './debug-target.ts';
import {
  bytesOf,
  framed,
  hexOf,
  littleEndian,
  mostPacketBytes,
  numberOf,
  PacketReader,
  registerValue,
  textOf,
  unhex,
} from './packets.ts';

/** Where the stub's bytes go. */
export interface BytePort {
  write(bytes: Uint8Array): void;
}

/** What gdb wants of the owner of the machine. */
export interface StubOwner {
  /** The target has been told who goes on. */
  resumed(): void;
  /** Everything is to stand still; {@link GdbStub.stopped} is to follow. */
  interrupt(): void;
  /** gdb leaves, and the machine goes on alone. */
  detached(): void;
  killed(): void;
}

// Answers.
const ok = 'OK';
const unknown = '';
/** Numbers as errno has them, which gdb shows. */
const badAddress = 'E0e';
const badArgument = 'E16';
const tooMany = 'E1c';

const stopKinds: Readonly<Record<string, DebugStopKind>> = {
  0: 'software',
  1: 'hardware',
  2: 'write',
  3: 'read',
  4: 'access',
};
const mostStops = 1024;
/** Bytes of a watched range. */
const longestRange = 0x10_0000;

/** Signals by gdb's numbers, which stand for why everything stopped. */
const signals: Readonly<Record<StopReport['kind'], number>> = {
  software: 5,
  hardware: 5,
  write: 5,
  read: 5,
  access: 5,
  step: 5,
  breakpoint: 5,
  interrupt: 2,
  shutdown: 11,
  problem: 4,
};
/** As stop replies name them. */
const reasons: Partial<Record<StopReport['kind'], string>> = {
  software: 'swbreak',
  hardware: 'hwbreak',
  write: 'watch',
  read: 'rwatch',
  access: 'awatch',
};
/** Registers that a stop reply brings along. */
const expedited: readonly string[] = ['rip', 'rsp', 'rbp'];

/** gdb's remote serial protocol for a target, over any stream of bytes. Nothing that arrives can throw. */
export class GdbStub {
  /** The machine is to run until {@link stopped}. */
  isRunning = false;
  private readonly reader: PacketReader;
  private acknowledges = true;
  private last: Uint8Array = new Uint8Array(0);
  private report: StopReport;
  /** Thread of registers and memory. */
  private thread: number;
  /** Thread of `c` and `s`; 0: any. */
  private resumedThread = 0;
  private isPhysical = false;
  private stops: DebugStop[] = [];
  /** gdb said that it knows swbreak and hwbreak. */
  private namesBreakpoints = { software: false, hardware: false };

  /** The target stands still, and does so until gdb says otherwise. */
  constructor(
    private readonly port: BytePort,
    private readonly target: DebugTarget,
    private readonly owner: StubOwner,
  ) {
    this.thread = target.current;
    this.report = { kind: 'interrupt', thread: this.thread };
    this.reader = new PacketReader({
      packet: (data) => this.packet(data),
      damaged: () => this.acknowledge('-'),
      acknowledged: (isGood) => {
        if (!isGood && this.acknowledges) this.port.write(this.last);
      },
      interrupt: () => {
        if (this.isRunning) this.owner.interrupt();
      },
    });
  }

  /** Bytes from gdb. */
  receive(bytes: Uint8Array): void {
    this.reader.receive(bytes);
  }

  /** Everything stands still. */
  stopped(report: StopReport): void {
    this.isRunning = false;
    this.report = report;
    this.thread = report.thread;
    this.resumedThread = 0;
    this.send(this.stopReply());
  }

  /** The machine has ended, and there is nothing more to debug. */
  exited(code: number): void {
    this.isRunning = false;
    this.send(`W${(code & 0xff).toString(16).padStart(2, '0')}`);
  }

  // Answers.

  private acknowledge(sign: '+' | '-'): void {
    if (this.acknowledges) this.port.write(bytesOf(sign));
  }

  private send(text: string): void {
    this.last = framed(bytesOf(text));
    this.port.write(this.last);
  }

  private packet(data: Uint8Array): void {
    this.acknowledge('+');
    const text = textOf(data);
    // While the machine runs, gdb may only interrupt.
    if (this.isRunning) return;
    const answer = this.answer(text);
    if (answer !== undefined) this.send(answer);
  }

  /** undefined: an answer follows when the machine stops, or never. */
  private answer(text: string): string | undefined {
    const rest = text.slice(1);
    switch (text[0]) {
      case '?':
        return this.stopReply();
      case 'g':
        return this.readAll();
      case 'G':
        return this.writeAll(unhex(rest));
      case 'p':
        return this.readOne(rest);
      case 'P':
        return this.writeOne(rest);
      case 'm':
        return this.readMemory(rest);
      case 'M':
        return this.writeMemory(rest, (bytes) => unhex(bytes));
      case 'X':
        return this.writeMemory(rest, bytesOf);
      case 'Z':
      case 'z':
        return this.changeStop(text[0] === 'Z', rest);
      case 'H':
        return this.selectThread(rest);
      case 'T':
        return this.threadOf(rest) > 0 ? ok : badArgument;
      case 'c':
      case 's':
      case 'C':
      case 'S':
        return this.resumeOldStyle(text[0], rest);
      case 'v':
        return this.verbose(text);
      case 'q':
      case 'Q':
        return this.query(text);
      case 'D':
        this.leave();
        this.send(ok);
        this.owner.detached();
        return undefined;
      case 'k':
        this.owner.killed();
        return undefined;
      default:
        return unknown;
    }
  }

  private stopReply(): string {
    const { report, target } = this;
    const parts = [`thread:${report.thread.toString(16)}`];
    for (const [number, { name, bits }] of target.registers.entries()) {
      if (!expedited.includes(name)) continue;
      const bytes = littleEndian(target.readRegister(report.thread, number), bits / 8);
      parts.push(`${number.toString(16).padStart(2, '0')}:${hexOf(bytes)}`);
    }
    const name = reasons[report.kind];
    if (name !== undefined && 'address' in report) {
      const { kind } = report;
      const isBreakpoint = kind === 'software' || kind === 'hardware';
      if (!isBreakpoint) parts.push(`${name}:${report.address.toString(16)}`);
      else if (this.namesBreakpoints[kind]) parts.push(`${name}:`);
    }
    return `T${signals[report.kind].toString(16).padStart(2, '0')}${parts.join(';')};`;
  }

  // Registers.

  private readAll(): string {
    const { target, thread } = this;
    return target.registers
      .map(({ bits }, number) => hexOf(littleEndian(target.readRegister(thread, number), bits / 8)))
      .join('');
  }

  /** Registers that cannot be written keep their values: gdb writes all of them. */
  private writeAll(bytes: Uint8Array | undefined): string {
    const { target, thread } = this;
    const size = target.registers.reduce((sum, { bits }) => sum + bits / 8, 0);
    if (bytes === undefined || bytes.length > size) return badArgument;
    let at = 0;
    for (const [number, { bits }] of target.registers.entries()) {
      const end = at + bits / 8;
      if (end > bytes.length) break;
      const value = registerValue(bytes.subarray(at, end));
      if (value !== target.readRegister(thread, number)) target.writeRegister(thread, number, value);
      at = end;
    }
    return ok;
  }

  private readOne(rest: string): string {
    const number = this.registerOf(rest);
    if (number < 0) return badArgument;
    const { target, thread } = this;
    return hexOf(littleEndian(target.readRegister(thread, number), target.registers[number].bits / 8));
  }

  private writeOne(rest: string): string {
    const [name, digits = ''] = rest.split('=');
    const number = this.registerOf(name);
    const bytes = unhex(digits);
    const { target, thread } = this;
    if (number < 0 || bytes === undefined || bytes.length !== target.registers[number].bits / 8)
      return badArgument;
    return target.writeRegister(thread, number, registerValue(bytes)) ? ok : badArgument;
  }

  private registerOf(text: string): number {
    const number = numberOf(text);
    return number !== undefined && number < BigInt(this.target.registers.length) ? Number(number) : -1;
  }

  // Memory.

  private readMemory(rest: string): string {
    const [address, length] = rest.split(',').map(numberOf);
    if (address === undefined || length === undefined) return badArgument;
    const most = Math.min(Number(length), mostPacketBytes / 2);
    const bytes = this.target.readMemory(this.thread, address, most, this.isPhysical);
    return bytes.length === 0 && most > 0 ? badAddress : hexOf(bytes);
  }

  private writeMemory(rest: string, decode: (text: string) => Uint8Array | undefined): string {
    const colon = rest.indexOf(':');
    const [address, length] = rest.slice(0, Math.max(0, colon)).split(',').map(numberOf);
    const bytes = decode(rest.slice(colon + 1));
    if (colon < 0 || address === undefined || bytes === undefined || BigInt(bytes.length) !== length)
      return badArgument;
    return this.target.writeMemory(this.thread, address, bytes, this.isPhysical) ? ok : badAddress;
  }

  // Breakpoints and watchpoints.

  private changeStop(isSet: boolean, rest: string): string {
    const [type, where, size] = rest.split(',');
    const kind = stopKinds[type];
    const address = numberOf(where);
    const bytes = Number(numberOf(size?.split(';')[0]) ?? 0n);
    if (kind === undefined) return unknown;
    const isData = kind !== 'software' && kind !== 'hardware';
    if (address === undefined || (isData && (bytes < 1 || bytes > longestRange))) return badArgument;
    // The same one may be set twice, and is gone when it is taken away once (gdb manual, E.2).
    const others = this.stops.filter(
      (stop) => stop.kind !== kind || stop.address !== address || (isData && stop.bytes !== bytes),
    );
    if (isSet && others.length >= mostStops) return tooMany;
    this.stops = isSet ? [...others, { kind, address, bytes }] : others;
    this.target.setStops(this.stops);
    return ok;
  }

  // Threads.

  /** 0 if there is no such thread. */
  private threadOf(text: string): number {
    const number = numberOf(text);
    return number !== undefined && number > 0n && number <= BigInt(this.target.threads) ? Number(number) : 0;
  }

  private selectThread(rest: string): string {
    const which = rest.slice(1);
    const isAny = which === '0' || which === '-1';
    const thread = isAny ? 0 : this.threadOf(which);
    if (thread === 0 && !isAny) return badArgument;
    if (rest[0] === 'c') this.resumedThread = thread;
    else if (rest[0] === 'g') this.thread = thread === 0 ? this.report.thread : thread;
    else return badArgument;
    return ok;
  }

  // Going on.

  private resume(plan: ResumePlan): undefined {
    this.isRunning = true;
    this.target.resume(plan);
    this.owner.resumed();
    return undefined;
  }

  /** Packets `c`, `s`, and with a signal, which nobody takes here, `C` and `S`. The other threads go on, too. */
  private resumeOldStyle(letter: string, rest: string): string | undefined {
    const where = letter === 'C' || letter === 'S' ? (rest.split(';')[1] ?? '') : rest;
    const thread = this.resumedThread === 0 ? this.report.thread : this.resumedThread;
    if (where !== '') {
      const address = numberOf(where);
      const rip = this.target.registers.findIndex(({ name }) => name === 'rip');
      if (address === undefined || !this.target.writeRegister(thread, rip, address)) return badArgument;
    }
    const isStep = letter === 's' || letter === 'S';
    return this.resume({ step: isStep ? thread : 0, continues: () => true });
  }

  /** `vCont`: of the actions the first that fits a thread is its own; a thread without one stands still. */
  private resumeByThread(text: string): string | undefined {
    const actions: { readonly isStep: boolean; readonly thread: number }[] = [];
    for (const part of text.split(';').slice(1)) {
      const [action, which] = part.split(':');
      const isStep = /^(s|S..)$/.test(action);
      if (!isStep && !/^(c|C..)$/.test(action)) return badArgument;
      const isAll = which === undefined || which === '-1';
      const thread = isAll ? 0 : this.threadOf(which);
      if (thread === 0 && !isAll) return badArgument;
      actions.push({ isStep, thread });
    }
    const actionOf = (thread: number): boolean | undefined =>
      actions.find((action) => action.thread === 0 || action.thread === thread)?.isStep;
    // Of several that step, the one that gdb shows.
    const { target, report } = this;
    const threads = Array.from({ length: target.threads }, (_, i) => i + 1);
    const step = actionOf(report.thread) ? report.thread : (threads.find((one) => actionOf(one)) ?? 0);
    if (threads.every((thread) => actionOf(thread) === undefined)) return badArgument;
    return this.resume({ step, continues: (thread) => actionOf(thread) === false });
  }

  private leave(): void {
    this.stops = [];
    this.target.setStops([]);
  }

  // The rest.

  private verbose(text: string): string | undefined {
    if (text === 'vCont?') return 'vCont;c;C;s;S';
    if (text.startsWith('vCont;')) return this.resumeByThread(text);
    if (!text.startsWith('vKill;')) return unknown;
    this.send(ok);
    this.owner.killed();
    return undefined;
  }

  private query(text: string): string | undefined {
    const [name] = text.split(/[:,;]/, 1);
    const rest = text.slice(name.length + 1);
    const { target } = this;
    switch (name) {
      case 'qSupported':
        return this.features(rest.split(';'));
      case 'QStartNoAckMode':
        // The answer itself is still acknowledged by gdb.
        this.acknowledges = false;
        return ok;
      case 'qXfer':
        return this.transfer(rest);
      case 'qC':
        return `QC${this.thread.toString(16)}`;
      case 'qAttached':
        return '1';
      case 'qfThreadInfo':
        return `m${Array.from({ length: target.threads }, (_, i) => (i + 1).toString(16)).join(',')}`;
      case 'qsThreadInfo':
        return 'l';
      case 'qThreadExtraInfo': {
        const thread = this.threadOf(rest);
        return thread === 0 ? badArgument : hexOf(bytesOf(target.describeThread(thread)));
      }
      case 'qSymbol':
        return ok;
      case 'qRcmd':
        return this.command(unhex(rest));
      // As QEMU has it, which scripts know: addresses of `m`, `M` and `X` are physical.
      case 'qqemu.PhyMemMode':
        return this.isPhysical ? '1' : '0';
      case 'Qqemu.PhyMemMode':
        if (rest !== '0' && rest !== '1') return badArgument;
        this.isPhysical = rest === '1';
        return ok;
      default:
        return unknown;
    }
  }

  private features(known: readonly string[]): string {
    this.namesBreakpoints = { software: known.includes('swbreak+'), hardware: known.includes('hwbreak+') };
    return [
      `PacketSize=${mostPacketBytes.toString(16)}`,
      'QStartNoAckMode+',
      'vContSupported+',
      'swbreak+',
      'hwbreak+',
      'qXfer:features:read+',
    ].join(';');
  }

  /** A piece of the target description: `features:read:target.xml:OFFSET,LENGTH`. */
  private transfer(rest: string): string {
    const [object, action, annex, range = ''] = rest.split(':');
    if (object !== 'features' || action !== 'read') return unknown;
    if (annex !== 'target.xml') return 'E00';
    const [offset, length] = range.split(',').map(numberOf);
    if (offset === undefined || length === undefined) return badArgument;
    const { description } = this.target;
    const end = Number(offset) + Math.min(Number(length), mostPacketBytes - 1);
    return `${end < description.length ? 'm' : 'l'}${description.slice(Number(offset), end)}`;
  }

  /** `monitor`. What it prints comes in packets of its own. */
  private command(bytes: Uint8Array | undefined): string {
    if (bytes === undefined) return badArgument;
    const text = this.target.command(this.thread, textOf(bytes).trim());
    const most = mostPacketBytes / 2 - 1;
    for (let at = 0; at < text.length; at += most) this.send(`O${hexOf(bytesOf(text.slice(at, at + most)))}`);
    return ok;
  }
}
