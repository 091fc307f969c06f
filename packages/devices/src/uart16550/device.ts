import type { InterruptLine } from '../interrupt-line.ts';
import type { BytePorts } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import {
  FifoControl,
  Identification,
  InterruptEnable,
  LineControl,
  LineStatus,
  ModemControl,
  ModemStatus,
  Register,
} from './registers.ts';
import type { Uart16550State } from './state.ts';

/** Where a serial port's bytes go. */
export interface ByteSink {
  write(byte: number): void;
}

export interface Uart16550Ports {
  readonly output: ByteSink;
  readonly interrupt: InterruptLine;
}

const fifoSize = 16;
const triggers = [1, 4, 8, 14] as const;

/**
 * A PC16550D serial port. Bytes are sent in the moment they are written, so the transmitter is always empty; received bytes wait in the
 * FIFO until they are read.
 */
export class Uart16550 implements BytePorts {
  private divisor = 1;
  private interruptEnable = 0;
  private fifoEnabled = false;
  private receiverTrigger = 1;
  private lineControl = 0;
  private modemControl = 0;
  private modemDeltas = 0;
  private overrun = false;
  private scratch = 0;
  private received: number[] = [];
  private transmitterPending = false;

  constructor(private readonly ports: Uart16550Ports) {}

  /** Whether the receiver takes another byte without losing one. */
  get hasRoom(): boolean {
    return this.received.length < (this.fifoEnabled ? fifoSize : 1);
  }

  /** A byte arrives on the line. */
  receive(byte: number): void {
    if ((this.modemControl & ModemControl.loop) === 0) this.take(byte);
  }

  /** @param offset 0 to 7 */
  read(offset: number): number {
    const isDivisor = (this.lineControl & LineControl.divisorLatch) !== 0;
    switch (offset & 7) {
      case Register.data: {
        if (isDivisor) return this.divisor & 0xff;
        const byte = this.received.shift() ?? 0;
        this.updateInterrupt();
        return byte;
      }
      case Register.interruptEnable:
        return isDivisor ? this.divisor >> 8 : this.interruptEnable;
      case Register.identification:
        return this.readIdentification();
      case Register.lineControl:
        return this.lineControl;
      case Register.modemControl:
        return this.modemControl;
      case Register.lineStatus:
        return this.readLineStatus();
      case Register.modemStatus: {
        const status = this.modemLines() | this.modemDeltas;
        this.modemDeltas = 0;
        this.updateInterrupt();
        return status;
      }
      default:
        return this.scratch;
    }
  }

  write(offset: number, value: number): void {
    const byte = value & 0xff;
    const isDivisor = (this.lineControl & LineControl.divisorLatch) !== 0;
    switch (offset & 7) {
      case Register.data:
        if (isDivisor) this.divisor = (this.divisor & 0xff00) | byte;
        else this.transmit(byte);
        break;
      case Register.interruptEnable:
        if (isDivisor) {
          this.divisor = (this.divisor & 0xff) | (byte << 8);
          break;
        }
        // Switching it on while the transmitter is empty raises its interrupt again.
        if ((byte & ~this.interruptEnable & InterruptEnable.transmitterEmpty) !== 0)
          this.transmitterPending = true;
        this.interruptEnable = byte & 15;
        break;
      case Register.identification:
        this.writeFifoControl(byte);
        break;
      case Register.lineControl:
        this.lineControl = byte;
        break;
      case Register.modemControl: {
        const before = this.modemLines();
        this.modemControl = byte & 31;
        this.noteModemChange(before, this.modemLines());
        break;
      }
      case Register.scratch:
        this.scratch = byte;
        break;
      default:
        // Line and modem status are for factory tests only.
        break;
    }
    this.updateInterrupt();
  }

  /** Master reset (data sheet, table I): the divisor and the scratch register stay. */
  reset(): void {
    this.interruptEnable = 0;
    this.fifoEnabled = false;
    this.receiverTrigger = 1;
    this.lineControl = 0;
    this.modemControl = 0;
    this.modemDeltas = 0;
    this.overrun = false;
    this.received = [];
    this.transmitterPending = false;
    this.updateInterrupt();
  }

  save(): Uart16550State {
    const { divisor, interruptEnable, fifoEnabled, receiverTrigger, lineControl, modemControl } = this;
    const { modemDeltas, overrun, scratch, transmitterPending } = this;
    return {
      version: 1,
      divisor,
      interruptEnable,
      fifoEnabled,
      receiverTrigger,
      lineControl,
      modemControl,
      modemDeltas,
      overrun,
      scratch,
      received: [...this.received],
      transmitterPending,
    };
  }

  /** @throws SnapshotVersionError */
  restore(state: Uart16550State): void {
    requireVersion('16550', state, 1);
    this.divisor = state.divisor;
    this.interruptEnable = state.interruptEnable;
    this.fifoEnabled = state.fifoEnabled;
    this.receiverTrigger = state.receiverTrigger;
    this.lineControl = state.lineControl;
    this.modemControl = state.modemControl;
    this.modemDeltas = state.modemDeltas;
    this.overrun = state.overrun;
    this.scratch = state.scratch;
    this.received = [...state.received];
    this.transmitterPending = state.transmitterPending;
    this.updateInterrupt();
  }

  private transmit(byte: number): void {
    // The interrupt goes with the write and comes back when the byte is away: an edge, though the line was high before.
    this.transmitterPending = false;
    this.updateInterrupt();
    if ((this.modemControl & ModemControl.loop) !== 0) this.take(byte);
    else this.ports.output.write(byte);
    this.transmitterPending = true;
  }

  private take(byte: number): void {
    if (!this.hasRoom) {
      this.overrun = true;
      // Without FIFO the new byte replaces the old one; with it, the new one is lost.
      if (!this.fifoEnabled) this.received[0] = byte;
    } else this.received.push(byte);
    this.updateInterrupt();
  }

  private readLineStatus(): number {
    const status =
      LineStatus.holdingEmpty |
      LineStatus.transmitterEmpty |
      (this.received.length > 0 ? LineStatus.dataReady : 0) |
      (this.overrun ? LineStatus.overrun : 0);
    this.overrun = false;
    this.updateInterrupt();
    return status;
  }

  private readIdentification(): number {
    const identification = this.identify();
    if (identification === Identification.transmitterEmpty) {
      this.transmitterPending = false;
      this.updateInterrupt();
    }
    return identification | (this.fifoEnabled ? Identification.fifos : 0);
  }

  /** The interrupt of highest priority that waits (data sheet, table IV). */
  private identify(): number {
    const { interruptEnable } = this;
    if ((interruptEnable & InterruptEnable.lineStatus) !== 0 && this.overrun)
      return Identification.lineStatus;
    if ((interruptEnable & InterruptEnable.received) !== 0 && this.received.length > 0)
      return this.fifoEnabled && this.received.length < this.receiverTrigger
        ? Identification.timeout
        : Identification.received;
    if ((interruptEnable & InterruptEnable.transmitterEmpty) !== 0 && this.transmitterPending)
      return Identification.transmitterEmpty;
    if ((interruptEnable & InterruptEnable.modemStatus) !== 0 && this.modemDeltas !== 0)
      return Identification.modemStatus;
    return Identification.none;
  }

  private writeFifoControl(byte: number): void {
    const isEnabled = (byte & FifoControl.enable) !== 0;
    if (isEnabled !== this.fifoEnabled || (byte & FifoControl.clearReceiver) !== 0) this.received = [];
    this.fifoEnabled = isEnabled;
    this.receiverTrigger = isEnabled ? triggers[byte >> 6] : 1;
  }

  private modemLines(): number {
    const { modemControl } = this;
    if ((modemControl & ModemControl.loop) === 0) return ModemStatus.cts | ModemStatus.dsr | ModemStatus.dcd;
    return (
      ((modemControl & ModemControl.rts) !== 0 ? ModemStatus.cts : 0) |
      ((modemControl & ModemControl.dtr) !== 0 ? ModemStatus.dsr : 0) |
      ((modemControl & ModemControl.out1) !== 0 ? ModemStatus.ri : 0) |
      ((modemControl & ModemControl.out2) !== 0 ? ModemStatus.dcd : 0)
    );
  }

  private noteModemChange(before: number, after: number): void {
    const changed = before ^ after;
    const ring = (before & ~after & ModemStatus.ri) !== 0 ? 4 : 0;
    this.modemDeltas |= ((changed & ~ModemStatus.ri) >> 4) | ring;
  }

  /** The interrupt reaches the line only through OUT2, as PCs wire it. */
  private updateInterrupt(): void {
    const isOpen = (this.modemControl & (ModemControl.out2 | ModemControl.loop)) === ModemControl.out2;
    this.ports.interrupt.set(isOpen && this.identify() !== Identification.none);
  }
}
