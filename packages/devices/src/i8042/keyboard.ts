import { Ps2Device } from './ps2-device.ts';
import { Ps2 } from './registers.ts';
import type { Ps2KeyboardState } from './state.ts';

const scanCodeSet = 2;

/** A keyboard with 102 keys (MF2), which speaks scan code set 2 and no other. */
export class Ps2Keyboard extends Ps2Device {
  /** Bit 0 scroll lock, 1 num lock, 2 caps lock. */
  leds = 0;

  constructor() {
    super();
    this.reset();
  }

  /** Bytes of keys in scan code set 2. @returns false if they are lost: scanning is off or the guest does not read */
  key(scancodes: readonly number[]): boolean {
    return this.isEnabled && this.send(scancodes);
  }

  reset(): void {
    this.powerUp();
    this.setDefaults();
    this.isEnabled = true;
  }

  write(byte: number): void {
    const command = this.expects;
    this.expects = 0;
    // What is a command is not taken for an argument.
    if (command !== 0 && byte < Ps2.setLeds) this.writeArgument(command, byte);
    else this.writeCommand(byte);
  }

  save(): Ps2KeyboardState {
    return { ...this.saveDevice(), leds: this.leds };
  }

  restore(state: Ps2KeyboardState): void {
    this.restoreDevice(state);
    this.leds = state.leds;
  }

  private writeCommand(byte: number): void {
    switch (byte) {
      case Ps2.setLeds:
      case Ps2.scanCodeSet:
      case Ps2.setRate:
        this.expects = byte;
        this.answer(Ps2.acknowledge);
        break;
      case Ps2.echo:
        this.answer(Ps2.echo);
        break;
      case Ps2.identify:
        this.answer(Ps2.acknowledge, 0xab, 0x83);
        break;
      case Ps2.enable:
        this.forget();
        this.isEnabled = true;
        this.answer(Ps2.acknowledge);
        break;
      case Ps2.disable:
      case Ps2.setDefaults:
        this.forget();
        this.setDefaults();
        this.isEnabled = byte === Ps2.setDefaults;
        this.answer(Ps2.acknowledge);
        break;
      case Ps2.resend:
        this.resend();
        break;
      case Ps2.reset:
        this.reset();
        this.answer(Ps2.acknowledge, Ps2.testPassed);
        break;
      default:
        if (byte > Ps2.setDefaults) {
          // How single keys repeat, which only set 3 knows: accepted, without effect.
          if (byte >= Ps2.keyType && byte <= Ps2.keyTypeLast) this.expects = byte;
          this.answer(Ps2.acknowledge);
        } else this.answer(Ps2.resend);
    }
  }

  private writeArgument(command: number, byte: number): void {
    this.answer(Ps2.acknowledge);
    if (command === Ps2.setLeds) this.leds = byte & 7;
    else if (command === Ps2.scanCodeSet && byte === 0) this.answer(scanCodeSet);
  }

  private setDefaults(): void {
    this.leds = 0;
  }
}
