import { Ps2Device } from './ps2-device.ts';
import { Ps2 } from './registers.ts';
import type { Ps2MouseState } from './state.ts';

/** Rates that unlock the wheel, and then buttons 4 and 5 (Microsoft's IntelliMouse protocol). */
const wheelKnock = [200, 100, 80] as const;
const buttonsKnock = [200, 200, 80] as const;

/** A PS/2 mouse with three or five buttons and a wheel. */
export class Ps2Mouse extends Ps2Device {
  private resolution = 2;
  private rate = 100;
  private isScaled = false;
  private isRemote = false;
  private wraps = false;
  private id = 0;
  private rates: number[] = [];
  private buttons = 0;

  constructor() {
    super();
    this.reset();
  }

  /**
   * @param x counts to the right, up to 255 @param y counts up, up to 255 @param wheel steps down
   * @param buttons bit 0 left, 1 right, 2 middle, 3 and 4 the others
   * @returns false if it is lost: the mouse is off or the guest does not read
   */
  move(x: number, y: number, wheel: number, buttons: number): boolean {
    this.buttons = buttons & 31;
    return this.isEnabled && !this.isRemote && this.send(this.packet(x, y, wheel));
  }

  reset(): void {
    this.powerUp();
    this.setDefaults();
    this.isRemote = false;
    this.wraps = false;
    this.id = 0;
    this.rates = [];
  }

  write(byte: number): void {
    const command = this.expects;
    this.expects = 0;
    if (this.wraps && byte !== Ps2.reset && byte !== Ps2.resetWrap) this.answer(byte);
    else if (command !== 0) this.writeArgument(command, byte);
    else this.writeCommand(byte);
  }

  save(): Ps2MouseState {
    const { resolution, rate, isScaled, isRemote, wraps, id, rates, buttons } = this;
    return {
      ...this.saveDevice(),
      ...{ resolution, rate, isScaled, isRemote, wraps, id, rates: [...rates], buttons },
    };
  }

  restore(state: Ps2MouseState): void {
    this.restoreDevice(state);
    this.resolution = state.resolution;
    this.rate = state.rate;
    this.isScaled = state.isScaled;
    this.isRemote = state.isRemote;
    this.wraps = state.wraps;
    this.id = state.id;
    this.rates = [...state.rates];
    this.buttons = state.buttons;
  }

  private packet(x: number, y: number, wheel: number): number[] {
    const right = clamp(x, 255);
    const up = clamp(y, 255);
    const signs = (right < 0 ? 0x10 : 0) | (up < 0 ? 0x20 : 0);
    const bytes = [8 | (this.buttons & 7) | signs, right & 0xff, up & 0xff];
    if (this.id === 3) bytes.push(clamp(wheel, 7) & 0xff);
    else if (this.id === 4) bytes.push((clamp(wheel, 7) & 15) | ((this.buttons & 0x18) << 1));
    return bytes;
  }

  private writeCommand(byte: number): void {
    switch (byte) {
      case Ps2.setResolution:
      case Ps2.setRate:
        this.expects = byte;
        break;
      case Ps2.setScaling11:
        this.isScaled = false;
        break;
      case Ps2.setScaling21:
        this.isScaled = true;
        break;
      case Ps2.statusRequest:
        this.answer(Ps2.acknowledge, this.statusByte(), this.resolution, this.rate);
        return;
      case Ps2.setStreamMode:
        this.isRemote = false;
        break;
      case Ps2.setRemoteMode:
        this.isRemote = true;
        break;
      case Ps2.readData:
        this.answer(Ps2.acknowledge, ...this.packet(0, 0, 0));
        return;
      case Ps2.resetWrap:
        this.wraps = false;
        break;
      case Ps2.echo:
        this.wraps = true;
        break;
      case Ps2.identify:
        this.answer(Ps2.acknowledge, this.id);
        return;
      case Ps2.enable:
        this.isEnabled = true;
        break;
      case Ps2.disable:
        this.isEnabled = false;
        break;
      case Ps2.setDefaults:
        this.setDefaults();
        break;
      case Ps2.resend:
        this.resend();
        return;
      case Ps2.reset:
        this.reset();
        this.answer(Ps2.acknowledge, Ps2.testPassed, 0);
        return;
      default:
        this.answer(Ps2.resend);
        return;
    }
    this.answer(Ps2.acknowledge);
  }

  private writeArgument(command: number, byte: number): void {
    if (command === Ps2.setResolution) this.resolution = byte & 3;
    else {
      this.rate = byte;
      this.rates = [...this.rates.slice(-2), byte];
      if (isKnock(this.rates, wheelKnock)) this.id = 3;
      else if (this.id !== 0 && isKnock(this.rates, buttonsKnock)) this.id = 4;
    }
    this.answer(Ps2.acknowledge);
  }

  private statusByte(): number {
    const { buttons } = this;
    return (
      ((buttons & 1) << 2) |
      ((buttons & 4) >> 1) |
      ((buttons & 2) >> 1) |
      (this.isScaled ? 0x10 : 0) |
      (this.isEnabled ? 0x20 : 0) |
      (this.isRemote ? 0x40 : 0)
    );
  }

  private setDefaults(): void {
    this.resolution = 2;
    this.rate = 100;
    this.isScaled = false;
    this.isEnabled = false;
  }
}

function isKnock(rates: readonly number[], knock: readonly number[]): boolean {
  return rates.length === 3 && knock.every((rate, index) => rates[index] === rate);
}

function clamp(value: number, most: number): number {
  return Math.max(-most, Math.min(most, Math.trunc(value)));
}
