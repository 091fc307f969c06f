import { DeliveryMode, type MessageSink } from '../delivery.ts';
import type { InterruptLine } from '../interrupt-line.ts';
import { requireVersion } from '../snapshot.ts';
import { IoIndex, IoRegister, Redirection } from './registers.ts';
import type { IoApicState } from './state.ts';

export interface IoApicParts {
  /** Takes the messages: the fabric. */
  readonly bus: MessageSink;
  /** After reset, 0 to 15. Default 0. */
  readonly id?: number;
}

const pinCount = 24;
const version = 0x20;

/**
 * An I/O APIC: the 82093AA with its 24 pins, at version 20h, which has an EOI register. Pins are asserted or not; the polarity in the entries
 * is kept and means nothing.
 */
export class IoApic {
  private readonly bus: MessageSink;
  private readonly initialId: number;
  private readonly lines: readonly InterruptLine[];
  private id = 0;
  private select = 0;
  private readonly low: Int32Array = new Int32Array(pinCount);
  private readonly high: Int32Array = new Int32Array(pinCount);
  private levels = 0;

  constructor(parts: IoApicParts) {
    this.bus = parts.bus;
    this.initialId = (parts.id ?? 0) & 15;
    this.lines = Array.from({ length: pinCount }, (_, pin) => ({
      set: (level: boolean) => this.setPin(pin, level),
    }));
    this.reset();
  }

  /** @param pin 0 to 23, the global system interrupt of the first I/O APIC */
  line(pin: number): InterruptLine {
    const line = this.lines[pin];
    if (line === undefined) throw new RangeError(`an I/O APIC has the pins 0 to 23, not ${pin}`);
    return line;
  }

  /** A register of its page. Accesses beside the registers read 0. @param offset 0 to FFFh */
  read(offset: number, _size: number): number {
    if (offset === IoRegister.select) return this.select;
    return offset === IoRegister.window ? this.readIndirect() : 0;
  }

  /** The window takes 32 bits, and nothing else. */
  write(offset: number, size: number, value: number): void {
    if (offset === IoRegister.select) this.select = value & 0xff;
    else if (offset === IoRegister.window && size === 4) this.writeIndirect(value | 0);
    else if (offset === IoRegister.endOfInterrupt) this.endOfInterrupt(value & 0xff);
  }

  /** A processor has ended an interrupt: entries of that vector may interrupt again, and do if their pins are still asserted. */
  endOfInterrupt(vector: number): void {
    const { low } = this;
    for (let pin = 0; pin < pinCount; pin++) {
      const entry = low[pin];
      if ((entry & Redirection.remoteIrr) === 0 || (entry & Redirection.vector) !== vector) continue;
      low[pin] = entry & ~Redirection.remoteIrr;
      this.lookAtLevel(pin);
    }
  }

  /** RESET: all pins are masked. What drives them goes on doing so. */
  reset(): void {
    this.id = this.initialId;
    this.select = 0;
    this.low.fill(Redirection.masked);
    this.high.fill(0);
  }

  save(): IoApicState {
    const { id, select, low, high, levels } = this;
    const entries = Array.from({ length: 2 * pinCount }, (_, index) =>
      (index & 1) === 0 ? low[index >> 1] : high[index >> 1],
    );
    return { version: 1, id, select, entries, levels };
  }

  /** @throws ApicSnapshotError for snapshots of other versions */
  restore(state: IoApicState): void {
    requireVersion('I/O APIC', state, 1);
    this.id = state.id;
    this.select = state.select;
    this.levels = state.levels;
    for (let pin = 0; pin < pinCount; pin++) {
      this.low[pin] = state.entries[2 * pin];
      this.high[pin] = state.entries[2 * pin + 1];
    }
  }

  private setPin(pin: number, level: boolean): void {
    const bit = 1 << pin;
    const was = (this.levels & bit) !== 0;
    if (level === was) return;
    this.levels ^= bit;
    if (!level) return;
    const entry = this.low[pin];
    // An edge at a masked pin is lost, as the data sheet has it.
    if (isLevelTriggered(entry)) this.lookAtLevel(pin);
    else if ((entry & Redirection.masked) === 0) this.send(pin, false);
  }

  private readIndirect(): number {
    const { select } = this;
    if (select === IoIndex.id || select === IoIndex.arbitration) return this.id << 24;
    if (select === IoIndex.version) return ((pinCount - 1) << 16) | version;
    const pin = (select - IoIndex.redirection) >> 1;
    if (pin < 0 || pin >= pinCount) return 0;
    return (select & 1) === 0 ? this.low[pin] : this.high[pin];
  }

  private writeIndirect(value: number): void {
    const { select, low, high } = this;
    if (select === IoIndex.id) this.id = (value >> 24) & 15;
    const pin = (select - IoIndex.redirection) >> 1;
    if (pin < 0 || pin >= pinCount) return;
    if ((select & 1) !== 0) high[pin] = value & 0xff00_0000;
    else {
      const entry = value & Redirection.writable;
      // Guests that know no EOI register end an interrupt by making its entry edge-triggered and level-triggered again.
      low[pin] = entry | (isLevelTriggered(entry) ? low[pin] & Redirection.remoteIrr : 0);
    }
    this.lookAtLevel(pin);
  }

  /** A level-triggered pin interrupts while it is asserted and the last interrupt has ended. */
  private lookAtLevel(pin: number): void {
    const entry = this.low[pin];
    if ((this.levels & (1 << pin)) === 0 || !isLevelTriggered(entry)) return;
    if ((entry & (Redirection.masked | Redirection.remoteIrr)) !== 0) return;
    // Set before it is sent, since who gets it may end it at once; an interrupt that nobody takes is tried again when the entry is written.
    this.low[pin] = entry | Redirection.remoteIrr;
    if (!this.send(pin, true)) this.low[pin] &= ~Redirection.remoteIrr;
  }

  private send(pin: number, isLevel: boolean): boolean {
    const entry = this.low[pin];
    const mode = (entry & Redirection.deliveryMode) >> 8;
    const isLogical = (entry & Redirection.logical) !== 0;
    return this.bus.deliver(this.high[pin] >>> 24, isLogical, mode, entry & Redirection.vector, isLevel);
  }
}

/** SMI, NMI, INIT and ExtINT are edges whatever the entry says. */
function isLevelTriggered(entry: number): boolean {
  const mode = (entry & Redirection.deliveryMode) >> 8;
  return (entry & Redirection.level) !== 0 && mode <= DeliveryMode.lowestPriority;
}
