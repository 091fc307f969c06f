import { Ps2 } from './registers.ts';
import type { Ps2DeviceState } from './state.ts';

/** What is on the way to a guest that does not read: keys and movements beyond it are lost. */
const inputRoom = 64;
/** Answers find room behind them; a guest that asks on and never reads loses answers. */
const room = 128;

/** What keyboard and mouse have in common: bytes that wait for the controller. */
export abstract class Ps2Device {
  protected expects = 0;
  protected isEnabled = false;
  private waiting: number[] = [];
  private lastSent = 0;

  get hasByte(): boolean {
    return this.waiting.length > 0;
  }

  take(): number {
    this.lastSent = this.waiting.shift() ?? 0;
    return this.lastSent;
  }

  /** A byte from the controller: command or argument. */
  abstract write(byte: number): void;

  protected answer(...bytes: number[]): void {
    if (this.waiting.length + bytes.length <= room) this.waiting.push(...bytes);
  }

  /** @returns whether all of it found room */
  protected send(bytes: readonly number[]): boolean {
    if (this.waiting.length + bytes.length > inputRoom) return false;
    this.waiting.push(...bytes);
    return true;
  }

  protected resend(): void {
    this.answer(this.lastSent);
  }

  protected forget(): void {
    this.waiting = [];
  }

  protected powerUp(): void {
    this.expects = 0;
    this.waiting = [];
    this.lastSent = Ps2.testPassed;
  }

  protected saveDevice(): Ps2DeviceState {
    const { expects, isEnabled, waiting, lastSent } = this;
    return { expects, isEnabled, waiting: [...waiting], lastSent };
  }

  protected restoreDevice(state: Ps2DeviceState): void {
    this.expects = state.expects;
    this.isEnabled = state.isEnabled;
    this.waiting = [...state.waiting];
    this.lastSent = state.lastSent;
  }
}
