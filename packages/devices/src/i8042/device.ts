import type { InterruptLine } from '../interrupt-line.ts';
import type { BytePorts } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import { Ps2Keyboard } from './keyboard.ts';
import { Ps2Mouse } from './mouse.ts';
import { Command, Configuration, OutputPort, Ps2, Status } from './registers.ts';
import type { I8042State } from './state.ts';
import { toSet1 } from './translation.ts';

export interface I8042Ports {
  /** IRQ 1. */
  readonly keyboardInterrupt: InterruptLine;
  /** IRQ 12. */
  readonly mouseInterrupt: InterruptLine;
  /** The guest wants address line 20 to be passed (true) or held low. Called on changes. */
  a20?(isOpen: boolean): void;
  /** The guest pulses the processor's RESET. */
  reset(): void;
}

const ramSize = 32;
const fromMouse = 0x100;
/** Answers that wait; a guest that asks on and never reads loses more of them. */
const answerRoom = 16;

/** The 8042 keyboard controller with keyboard and mouse. Its ports 60h and 64h are apart: port 61h is another's. */
export class I8042 {
  /** Port 60h. */
  readonly data: BytePorts = {
    read: () => this.readData(),
    write: (_offset, value) => this.writeData(value & 0xff),
  };
  /** Port 64h. */
  readonly command: BytePorts = {
    read: () => this.readStatus(),
    write: (_offset, value) => this.writeCommand(value & 0xff),
  };
  private readonly keyboard = new Ps2Keyboard();
  private readonly mouse = new Ps2Mouse();
  private configuration = 0;
  private outputPort: number = OutputPort.reset | OutputPort.a20;
  private expects = 0;
  private lastWasCommand = false;
  private passedSelfTest = false;
  private ram = new Uint8Array(ramSize);
  private output = 0;
  private outputFull = false;
  private answers: number[] = [];
  private releases = false;

  constructor(private readonly ports: I8042Ports) {
    this.powerUp();
  }

  /** What the guest has lit: bit 0 scroll lock, 1 num lock, 2 caps lock. */
  get leds(): number {
    return this.keyboard.leds;
  }

  /** Keys, as bytes of scan code set 2 (1Ch is A, F0h 1Ch its release). @returns false if they are lost, for the guest does not read or has switched keys off */
  key(scancodes: readonly number[]): boolean {
    const isTaken = this.keyboard.key(scancodes);
    this.update();
    return isTaken;
  }

  /** The mouse has moved, or buttons have changed: see {@link Ps2Mouse.move}. */
  movePointer(x: number, y: number, wheel: number, buttons: number): boolean {
    const isTaken = this.mouse.move(x, y, wheel, buttons);
    this.update();
    return isTaken;
  }

  reset(): void {
    this.setOutputPort(this.outputPort | OutputPort.a20);
    this.powerUp();
    this.update();
  }

  save(): I8042State {
    const { configuration, outputPort, expects, lastWasCommand, passedSelfTest, output, outputFull } = this;
    return {
      version: 1,
      ...{ configuration, outputPort, expects, lastWasCommand, passedSelfTest, output, outputFull },
      ram: [...this.ram],
      answers: [...this.answers],
      releases: this.releases,
      keyboard: this.keyboard.save(),
      mouse: this.mouse.save(),
    };
  }

  /** @throws SnapshotVersionError */
  restore(state: I8042State): void {
    requireVersion('8042', state, 1);
    this.configuration = state.configuration;
    this.outputPort = state.outputPort;
    this.expects = state.expects;
    this.lastWasCommand = state.lastWasCommand;
    this.passedSelfTest = state.passedSelfTest;
    this.output = state.output;
    this.outputFull = state.outputFull;
    this.ram = Uint8Array.from(state.ram);
    this.answers = [...state.answers];
    this.releases = state.releases;
    this.keyboard.restore(state.keyboard);
    this.mouse.restore(state.mouse);
    this.ports.a20?.((this.outputPort & OutputPort.a20) !== 0);
    this.update();
  }

  private powerUp(): void {
    // As firmware leaves it: translation to set 1, the keyboard's interrupt on.
    this.configuration = Configuration.keyboardInterrupt | Configuration.system | Configuration.translate;
    this.outputPort = OutputPort.reset | OutputPort.a20;
    this.expects = 0;
    this.lastWasCommand = false;
    this.passedSelfTest = true;
    this.ram.fill(0);
    this.output = 0;
    this.outputFull = false;
    this.answers = [];
    this.releases = false;
    this.keyboard.reset();
    this.mouse.reset();
  }

  private readData(): number {
    const byte = this.output & 0xff;
    this.outputFull = false;
    // The line falls between two bytes: each of them is an edge.
    this.updateLines();
    this.update();
    return byte;
  }

  private readStatus(): number {
    return (
      Status.notLocked |
      (this.outputFull ? Status.outputFull : 0) |
      (this.outputFull && this.output >= fromMouse ? Status.auxiliary : 0) |
      (this.lastWasCommand ? Status.command : 0) |
      (this.passedSelfTest ? Status.system : 0)
    );
  }

  private writeData(byte: number): void {
    const command = this.expects;
    this.expects = 0;
    this.lastWasCommand = false;
    if (command >= Command.writeRam && command < Command.writeRam + ramSize)
      this.writeRam(command - Command.writeRam, byte);
    else if (command === Command.writeOutput) this.setOutputPort(byte);
    else if (command === Command.writeKeyboardBuffer) this.answer(byte);
    else if (command === Command.writeAuxiliaryBuffer) this.answer(fromMouse | byte);
    else if (command === Command.writeAuxiliary) {
      this.configuration &= ~Configuration.auxiliaryOff;
      this.mouse.write(byte);
    } else {
      // Who writes to the keyboard wants its answer.
      this.configuration &= ~Configuration.keyboardOff;
      this.keyboard.write(byte);
    }
    this.update();
  }

  private writeCommand(byte: number): void {
    this.expects = 0;
    this.lastWasCommand = true;
    if ((byte & 0xe0) === Command.readRam) this.answer(this.readRam(byte & (ramSize - 1)));
    else if ((byte & 0xe0) === Command.writeRam) this.expects = byte;
    else if (byte >= Command.pulse) {
      if ((byte & OutputPort.reset) === 0) this.ports.reset();
    } else this.execute(byte);
    this.update();
  }

  private execute(byte: number): void {
    switch (byte) {
      case Command.auxiliaryOff:
        this.configuration |= Configuration.auxiliaryOff;
        break;
      case Command.auxiliaryOn:
        this.configuration &= ~Configuration.auxiliaryOff;
        break;
      case Command.testAuxiliary:
      case Command.testKeyboard:
        this.answer(0);
        break;
      case Command.selfTest:
        this.passedSelfTest = true;
        this.answer(0x55);
        break;
      case Command.keyboardOff:
        this.configuration |= Configuration.keyboardOff;
        break;
      case Command.keyboardOn:
        this.configuration &= ~Configuration.keyboardOff;
        break;
      case Command.readInput:
        this.answer(0x80);
        break;
      case Command.readOutput:
        this.answer(this.readOutputPort());
        break;
      case Command.writeOutput:
      case Command.writeKeyboardBuffer:
      case Command.writeAuxiliaryBuffer:
      case Command.writeAuxiliary:
        this.expects = byte;
        break;
      case Command.a20Off:
        this.setOutputPort(this.outputPort & ~OutputPort.a20);
        break;
      case Command.a20On:
        this.setOutputPort(this.outputPort | OutputPort.a20);
        break;
      case Command.readTest:
        this.answer(0);
        break;
      default:
        // Unknown commands are taken without an answer.
        break;
    }
  }

  private readRam(index: number): number {
    return index === 0 ? this.configuration : this.ram[index];
  }

  private writeRam(index: number, byte: number): void {
    if (index !== 0) this.ram[index] = byte;
    else {
      this.configuration = byte & ~0x88;
      this.passedSelfTest = (byte & Configuration.system) !== 0;
    }
  }

  private readOutputPort(): number {
    const isMouse = this.output >= fromMouse;
    return (
      this.outputPort |
      OutputPort.lines |
      (this.outputFull && !isMouse ? OutputPort.keyboardFull : 0) |
      (this.outputFull && isMouse ? OutputPort.auxiliaryFull : 0)
    );
  }

  private setOutputPort(value: number): void {
    const changed = this.outputPort ^ value;
    this.outputPort = value & (OutputPort.reset | OutputPort.a20);
    if ((changed & OutputPort.a20) !== 0) this.ports.a20?.((value & OutputPort.a20) !== 0);
    if ((value & OutputPort.reset) === 0) {
      // A processor that is held in RESET could not take it back.
      this.outputPort |= OutputPort.reset;
      this.ports.reset();
    }
  }

  private answer(value: number): void {
    if (this.answers.length < answerRoom) this.answers.push(value);
  }

  /** Puts what waits into the empty output buffer, the controller's answers first, and sets the lines. */
  private update(): void {
    if (!this.outputFull) {
      const byte = this.answers.shift() ?? this.keyboardByte() ?? this.mouseByte();
      if (byte !== undefined) {
        this.output = byte;
        this.outputFull = true;
      }
    }
    this.updateLines();
  }

  private keyboardByte(): number | undefined {
    if ((this.configuration & Configuration.keyboardOff) !== 0) return undefined;
    while (this.keyboard.hasByte) {
      const code = this.keyboard.take();
      if ((this.configuration & Configuration.translate) === 0) return code;
      if (code === Ps2.release) {
        this.releases = true;
        continue;
      }
      const translated = toSet1(code) | (this.releases ? 0x80 : 0);
      this.releases = false;
      return translated;
    }
    return undefined;
  }

  private mouseByte(): number | undefined {
    const isOff = (this.configuration & Configuration.auxiliaryOff) !== 0;
    return isOff || !this.mouse.hasByte ? undefined : fromMouse | this.mouse.take();
  }

  private updateLines(): void {
    const { configuration, outputFull } = this;
    const isMouse = this.output >= fromMouse;
    this.ports.keyboardInterrupt.set(
      outputFull && !isMouse && (configuration & Configuration.keyboardInterrupt) !== 0,
    );
    this.ports.mouseInterrupt.set(
      outputFull && isMouse && (configuration & Configuration.auxiliaryInterrupt) !== 0,
    );
  }
}
