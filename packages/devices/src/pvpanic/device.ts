import type { BytePorts } from '../port-map.ts';
import { Event } from './registers.ts';

export interface PvPanicPorts {
  /** The guest's kernel has panicked and stops. */
  panicked(): void;
  /** It has panicked, and goes on with a kernel that dumps it. */
  crashLoaded(): void;
}

/** pvpanic, usually at 505h, one port: a guest tells of its panic. */
export class PvPanic implements BytePorts {
  constructor(private readonly ports: PvPanicPorts) {}

  /** The events that can be told. */
  read(): number {
    return Event.panicked | Event.crashLoaded;
  }

  write(_offset: number, value: number): void {
    if ((value & Event.panicked) !== 0) this.ports.panicked();
    if ((value & Event.crashLoaded) !== 0) this.ports.crashLoaded();
  }
}
