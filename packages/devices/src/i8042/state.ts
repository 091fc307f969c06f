/** Snapshot of a device at the controller. */
export interface Ps2DeviceState {
  /** The command whose argument comes next, or 0. */
  readonly expects: number;
  /** Sends keys or movements. */
  readonly isEnabled: boolean;
  readonly waiting: readonly number[];
  readonly lastSent: number;
}

export interface Ps2KeyboardState extends Ps2DeviceState {
  readonly leds: number;
}

export interface Ps2MouseState extends Ps2DeviceState {
  readonly resolution: number;
  readonly rate: number;
  readonly isScaled: boolean;
  readonly isRemote: boolean;
  readonly wraps: boolean;
  /** 0, 3 (wheel) or 4 (five buttons). */
  readonly id: number;
  /** The last three rates set, which unlock wheel and buttons. */
  readonly rates: readonly number[];
  readonly buttons: number;
}

/** Snapshot of the controller with keyboard and mouse. */
export interface I8042State {
  readonly version: 1;
  readonly configuration: number;
  readonly outputPort: number;
  /** The command whose argument comes next, or 0. */
  readonly expects: number;
  readonly lastWasCommand: boolean;
  readonly passedSelfTest: boolean;
  readonly ram: readonly number[];
  /** What port 60h gives: 256 + byte of the auxiliary device, byte of anything else. */
  readonly output: number;
  readonly outputFull: boolean;
  /** The controller's own answers, like `output`. */
  readonly answers: readonly number[];
  /** Translation has seen F0h. */
  readonly releases: boolean;
  readonly keyboard: Ps2KeyboardState;
  readonly mouse: Ps2MouseState;
}
