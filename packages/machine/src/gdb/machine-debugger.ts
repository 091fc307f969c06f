import type { Machine } from '../machine.ts';
import type { MachineEnd } from '../machine-end.ts';
import type { StopReport } from './debug-target.ts';
import { type BytePort, GdbStub } from './gdb-stub.ts';
import { MachineTarget } from './machine-target.ts';

export interface DebuggerEvents {
  /** What {@link MachineDebugger.poll} answers may be something else now. */
  changed?(): void;
  /** gdb is done with its connection, which is to be closed. */
  left?(): void;
}

/**
 * Connects a machine with at most one gdb. Whoever runs the machine asks {@link poll} before each run and tells {@link ran} of it; in between bytes
 * may come in. A guest's state at the end is the same as without a debugger, unless that wrote to it, or let processors stand still while others ran.
 */
export class MachineDebugger {
  private readonly target: MachineTarget;
  private stub: GdbStub | undefined;
  private state: 'run' | 'stopped' | 'quit';

  /** @param waits the machine does not run before somebody connects */
  constructor(
    machine: Machine,
    private readonly events: DebuggerEvents = {},
    waits = true,
  ) {
    this.state = waits ? 'stopped' : 'run';
    this.target = new MachineTarget(machine, () => this.quit());
  }

  /** Whether a gdb is there. */
  get isConnected(): boolean {
    return this.stub !== undefined;
  }

  /**
   * A gdb is there, and the machine stands still.
   * @returns who takes its bytes
   */
  connect(port: BytePort): { receive(bytes: Uint8Array): void } {
    this.disconnect();
    this.enter('stopped');
    const { target } = this;
    target.release();
    this.stub = new GdbStub(port, target, {
      resumed: () => this.enter('run'),
      interrupt: () => this.stop({ kind: 'interrupt', thread: target.current }),
      detached: () => {
        this.disconnect();
        this.events.left?.();
      },
      killed: () => this.quit(),
    });
    return this.stub;
  }

  /** gdb went away: the machine goes on, without stops. */
  disconnect(): void {
    if (this.stub === undefined) return;
    this.stub = undefined;
    this.target.setStops([]);
    this.target.release();
    this.enter('run');
  }

  /** Whether the machine is to run now. `quit`: gdb ended it. */
  poll(): 'run' | 'stopped' | 'quit' {
    return this.state;
  }

  /**
   * To be told of each run's end. Answers whether the machine goes on, or stands still to be looked at: then what the run ended with is no reason to
   * stop running it.
   */
  ran(end: MachineEnd): boolean {
    const isOver = end.reason === 'exit' || end.reason === 'poweroff' || end.reason === 'reset';
    if (this.stub === undefined || isOver) return end.reason === 'limit' || end.reason === 'idle';
    const report = this.target.stopOf(end);
    if (report !== undefined) this.stop(this.target.shown(report));
    return true;
  }

  /** The machine has ended: gdb hears of it. @param exitCode 0 to 255 */
  close(exitCode = 0): void {
    if (this.state !== 'quit') this.stub?.exited(exitCode);
    this.stub = undefined;
    this.target.setStops([]);
    this.target.release();
    this.enter('quit');
  }

  private stop(report: StopReport): void {
    this.target.release();
    this.enter('stopped');
    this.stub?.stopped(report);
  }

  private quit(): void {
    this.enter('quit');
    this.stub = undefined;
    this.events.left?.();
  }

  private enter(state: 'run' | 'stopped' | 'quit'): void {
    if (this.state === 'quit') return;
    this.state = state;
    this.events.changed?.();
  }
}
