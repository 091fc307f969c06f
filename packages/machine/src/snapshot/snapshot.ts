import type { SnapshotConfiguration } from './configuration.ts';
import { SnapshotError } from './error.ts';
import type { SnapshotPart } from './ram-image.ts';
import { shapeMismatch } from './shape.ts';
import { decodeValue } from './value.ts';

/** What a snapshot says of itself, in its first unit. */
export interface SnapshotAbout {
  readonly configuration: SnapshotConfiguration;
  /** Instructions that each processor had retired. */
  readonly retired: readonly number[];
  /** Nanoseconds. */
  readonly guestTime: number;
}

/** A machine between two runs, as bytes: nothing in it changes when the machine goes on. */
export interface Snapshot extends SnapshotAbout {
  /** State of each part of the machine by name: `about`, `processor/0`, `ram` … In an order of no importance, but that `about` is first. */
  readonly units: readonly SnapshotPart[];
}

/** Name of the first unit. */
export const aboutUnit = 'about';

const exampleAbout: SnapshotAbout & { readonly version: number } = {
  version: 1,
  configuration: {
    memory: 0,
    processors: 1,
    clock: 'deterministic',
    cpu: { vendor: '', brand: '', signature: 0, features: [''], leaves: 0 },
    devices: [{ type: 0, features: 0, config: [0] }],
    testDevice: false,
  },
  retired: [0],
  guestTime: 0,
};

/** @throws SnapshotError */
export function readAbout(units: readonly SnapshotPart[]): SnapshotAbout {
  const about = units.find(({ name }) => name === aboutUnit);
  if (about === undefined) throw new SnapshotError('unit', `unit ${aboutUnit}: it is missing`, { unit: aboutUnit });
  const { configuration, retired, guestTime } = decodeUnit(about, exampleAbout) as SnapshotAbout;
  return { configuration, retired, guestTime };
}

/** A unit's value, if it has the shape of what is saved there. @throws SnapshotError */
export function decodeUnit({ name, bytes }: SnapshotPart, example: unknown): unknown {
  let value: unknown;
  try {
    value = decodeValue(bytes);
  } catch (cause) {
    throw new SnapshotError('damaged', `unit ${name}: ${messageOf(cause)}`, { unit: name, cause });
  }
  const mismatch = shapeMismatch(example, value);
  if (mismatch !== undefined)
    throw new SnapshotError(mismatch.isVersion ? 'version' : 'damaged', `unit ${name}: ${mismatch.text}`, { unit: name });
  return value;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
