import type { Clock, Timer } from '../clock.ts';
import type { InterruptLine } from '../interrupt-line.ts';
import { Oscillator } from '../oscillator.ts';
import type { PortHandler } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import { Control, Pm1, Register } from './registers.ts';
import type { AcpiPmState } from './state.ts';

export interface AcpiPmPorts {
  readonly clock: Clock;
  /** The system control interrupt: level-triggered. */
  readonly sci: InterruptLine;
  /** The guest has gone to S5. */
  powerOff(): void;
}

export interface AcpiPmOptions {
  /** Width of the PM timer; the FADT's TMR_VAL_EXT says 32. Default 32. */
  readonly timerBits?: 24 | 32;
}

/** SLP_TYP of S5, for the package `_S5` of the DSDT. */
export const sleepTypeS5 = 7;

/** 3.579545 MHz. */
const crystal = new Oscillator(315, 88_000);
const enableBits = Pm1.timer | Pm1.global | Pm1.powerButton | Pm1.sleepButton | Pm1.rtc;

/** ACPI fixed hardware: PM1a event and control blocks, PM timer, and a GPE0 block in which nothing happens. 64 ports. */
export class AcpiPm implements PortHandler {
  private readonly timer: Timer;
  private readonly timerBits: number;
  private status = 0;
  private enable = 0;
  private control: number = Control.sciEnable;
  private carries = 0;

  constructor(
    private readonly ports: AcpiPmPorts,
    { timerBits = 32 }: AcpiPmOptions = {},
  ) {
    this.timerBits = timerBits;
    this.timer = ports.clock.timer(() => this.update());
  }

  /** @param offset 0 to 63 @param bytes 1, 2 or 4 */
  read(offset: number, bytes: number): number {
    if (offset >= Register.timer && offset < Register.timer + 4) {
      const value = this.timerValue() >>> (8 * (offset - Register.timer));
      return bytes === 4 ? value : value & (bytes === 2 ? 0xffff : 0xff);
    }
    let value = 0;
    for (let i = 0; i < bytes; i++) value |= this.readByte(offset + i) << (8 * i);
    return value >>> 0;
  }

  /** @param offset 0 to 63 @param bytes 1, 2 or 4 */
  write(offset: number, bytes: number, value: number): void {
    for (let i = 0; i < bytes; i++) this.writeByte(offset + i, (value >>> (8 * i)) & 0xff);
    this.update();
  }

  /** The power button was pressed. */
  powerButton(): void {
    this.status |= Pm1.powerButton;
    this.update();
  }

  /** The sleep button was pressed. */
  sleepButton(): void {
    this.status |= Pm1.sleepButton;
    this.update();
  }

  reset(): void {
    this.status = 0;
    this.enable = 0;
    this.control = Control.sciEnable;
    this.carries = this.carriesNow();
    this.update();
  }

  save(): AcpiPmState {
    const { status, enable, control, carries } = this;
    return { version: 1, status, enable, control, carries };
  }

  /** The clock must stand where it stood. @throws SnapshotVersionError */
  restore(state: AcpiPmState): void {
    requireVersion('acpi-pm', state, 1);
    this.status = state.status;
    this.enable = state.enable;
    this.control = state.control;
    this.carries = state.carries;
    this.update();
  }

  private timerValue(): number {
    return crystal.at(this.ports.clock.now) % 2 ** this.timerBits;
  }

  /** How often the timer's highest bit has changed. */
  private carriesNow(): number {
    return Math.floor(crystal.at(this.ports.clock.now) / 2 ** (this.timerBits - 1));
  }

  private statusNow(): number {
    return this.status | (this.carriesNow() !== this.carries ? Pm1.timer : 0);
  }

  private readByte(offset: number): number {
    const shift = 8 * (offset & 1);
    switch (offset & ~1) {
      case Register.pm1Status:
        return (this.statusNow() >> shift) & 0xff;
      case Register.pm1Enable:
        return (this.enable >> shift) & 0xff;
      case Register.pm1Control:
        return (this.control >> shift) & 0xff;
      default:
        return 0;
    }
  }

  private writeByte(offset: number, byte: number): void {
    const shift = 8 * (offset & 1);
    const value = byte << shift;
    const kept = shift === 0 ? 0xff00 : 0x00ff;
    switch (offset & ~1) {
      case Register.pm1Status:
        this.status &= ~value;
        if ((value & Pm1.timer) !== 0) this.carries = this.carriesNow();
        break;
      case Register.pm1Enable:
        this.enable = (this.enable & kept) | (value & enableBits);
        break;
      case Register.pm1Control:
        this.control = (this.control & kept) | (value & Control.writable) | Control.sciEnable;
        if ((value & Control.sleepEnable) !== 0) this.sleep();
        break;
      default:
        break;
    }
  }

  /** Other states than S5 are not offered: nothing sleeps, and the guest finds itself awake. */
  private sleep(): void {
    if ((this.control & Control.sleepType) >> Control.sleepTypeShift === sleepTypeS5) this.ports.powerOff();
    else this.status |= Pm1.wake;
  }

  private update(): void {
    const status = this.statusNow();
    this.ports.sci.set((status & this.enable) !== 0);
    if ((this.enable & ~status & Pm1.timer) === 0) this.timer.clear();
    else this.timer.set(crystal.timeOf((this.carries + 1) * 2 ** (this.timerBits - 1)));
  }
}
