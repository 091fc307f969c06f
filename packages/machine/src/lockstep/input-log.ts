import type { IoPorts } from '@nest86/cpu';
import type { MachineTaps } from '../bare-machine.ts';

interface Entry {
  readonly kind: 'in' | 'out' | 'random';
  readonly port: number;
  readonly bytes: number;
  /** What was read, or what was written. */
  readonly value: number;
  /** The device stopped the processor. */
  readonly stops: boolean;
}

/**
 * What a processor got from its devices, and what it sent them, since a certain moment: one side of a lockstep run does it, the other is given the same and must ask
 * for the same (engine-decision L).
 */
export class InputLog {
  readonly entries: Entry[] = [];

  clear(): void {
    this.entries.length = 0;
  }
}

/** What a side needs of its processor. */
export interface LoggedProcessor {
  stop(): void;
  /** Whether a device has stopped it for good. */
  readonly hasExited: boolean;
}

/** Stands between a processor and its devices: writes the log while `isRecording`, else reads it, and no device is touched. */
export class InputTap implements MachineTaps {
  isRecording = false;
  /** The next entry to be read. */
  position = 0;
  /** What differed from the log, or ''. */
  mismatch = '';
  processor: LoggedProcessor | undefined;

  constructor(private readonly log: InputLog) {}

  io(ports: IoPorts): IoPorts {
    return {
      read: (port, bytes) => {
        if (!this.isRecording) return this.replay('in', port, bytes, 0);
        const value = ports.read(port, bytes);
        this.record('in', port, bytes, value);
        return value;
      },
      write: (port, bytes, value) => {
        if (!this.isRecording) this.replay('out', port, bytes, value);
        else {
          ports.write(port, bytes, value);
          this.record('out', port, bytes, value);
        }
      },
    };
  }

  random(source: () => number): () => number {
    return () => {
      if (!this.isRecording) return this.replay('random', 0, 4, 0);
      const value = source();
      this.record('random', 0, 4, value);
      return value;
    };
  }

  private record(kind: Entry['kind'], port: number, bytes: number, value: number): void {
    this.log.entries.push({ kind, port, bytes, value, stops: this.processor?.hasExited === true });
  }

  private replay(kind: Entry['kind'], port: number, bytes: number, value: number): number {
    const entry = this.log.entries[this.position++];
    const isSame =
      entry?.kind === kind &&
      entry.port === port &&
      entry.bytes === bytes &&
      (kind !== 'out' || entry.value === value);
    if (!isSame) {
      const expected = entry === undefined ? 'nothing' : entryText(entry.kind, entry.port, entry.value);
      this.mismatch ||= `${entryText(kind, port, value)}, not ${expected}`;
    }
    if (!isSame || entry.stops) this.processor?.stop();
    return entry?.value ?? -1;
  }
}

function entryText(kind: Entry['kind'], port: number, value: number): string {
  if (kind === 'random') return 'a random number';
  return kind === 'in'
    ? `read of port ${port.toString(16)}`
    : `write of ${(value >>> 0).toString(16)} to port ${port.toString(16)}`;
}
