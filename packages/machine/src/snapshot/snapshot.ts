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
  if (about === undefined)
    throw new SnapshotError('unit', `unit ${aboutUnit}: it is missing`, { unit: aboutUnit });
  const value = decodeUnit(about);
  requireShape(aboutUnit, value, exampleAbout);
  const { configuration, retired, guestTime } = value as SnapshotAbout;
  return { configuration, retired, guestTime };
}

/** A unit's value, whatever it is. @throws SnapshotError */
export function decodeUnit({ name, bytes }: SnapshotPart): unknown {
  try {
    return decodeValue(bytes);
  } catch (cause) {
    throw new SnapshotError('damaged', `unit ${name}: ${messageOf(cause)}`, { unit: name, cause });
  }
}

/** @param example a value such as the unit should have @throws SnapshotError */
export function requireShape(unit: string, value: unknown, example: unknown): void {
  const mismatch = shapeMismatch(example, value);
  if (mismatch !== undefined)
    throw new SnapshotError(mismatch.isVersion ? 'version' : 'damaged', `unit ${unit}: ${mismatch.text}`, {
      unit,
    });
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
