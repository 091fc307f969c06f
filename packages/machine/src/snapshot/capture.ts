import type { PhysicalMemory } from '@nest86/mmu';
import { differences, type SnapshotConfiguration } from './configuration.ts';
import { SnapshotError } from './error.ts';
import { partMismatch, type RamIndex, restoreRam, type SnapshotPart, saveRam } from './ram-image.ts';
import {
  aboutUnit,
  decodeUnit,
  messageOf,
  requireShape,
  type Snapshot,
  type SnapshotAbout,
} from './snapshot.ts';
import type { SnapshotUnit } from './unit.ts';
import { encodeValue } from './value.ts';

/** A machine as snapshots see it. */
export interface CapturedMachine {
  readonly about: SnapshotAbout;
  readonly physical: PhysicalMemory;
  /** In the order in which they are restored: whoever drives another one before that one. */
  readonly units: readonly SnapshotUnit[];
}

const ramUnit = 'ram';
const partOfRam = /^ram\/(\d{1,5})$/;
/** Units that a snapshot may do without. */
const optionalUnit = /^tlb\/\d+$/;

/** @param leftOut whether a unit is not wanted @throws SnapshotError if a unit of the user's holds what cannot be saved */
export function capture(machine: CapturedMachine, leftOut: (name: string) => boolean): Snapshot {
  const { about, physical, units } = machine;
  const parts: SnapshotPart[] = [{ name: aboutUnit, bytes: encodeValue({ version: 1, ...about }) }];
  for (const { name, save } of units) {
    if (leftOut(name)) continue;
    try {
      parts.push({ name, bytes: encodeValue(save()) });
    } catch (cause) {
      throw new SnapshotError('unit', `unit ${name} cannot be saved: ${messageOf(cause)}`, {
        unit: name,
        cause,
      });
    }
  }
  parts.push(...saveRam(physical, about.configuration.memory));
  return { ...about, units: parts };
}

/**
 * Checks all of a snapshot that can be checked beforehand, then takes it over.
 *
 * @param begun told before anything changes
 * @throws SnapshotError: `needsReset` tells whether something has changed
 */
export function apply(machine: CapturedMachine, snapshot: Snapshot, begun: () => void): void {
  checkConfiguration(snapshot.configuration, machine.about.configuration);
  const parts = new Map(snapshot.units.map((part) => [part.name, part]));
  checkNames(machine.units, parts);
  const states = machine.units.map((unit) => {
    const part = parts.get(unit.name);
    return part === undefined ? undefined : readState(unit, part);
  });
  const ram = readRam(parts, machine.about.configuration.memory);
  begun();
  for (const [i, unit] of machine.units.entries()) {
    try {
      unit.restore(states[i]);
    } catch (cause) {
      throw new SnapshotError(
        'damaged',
        `unit ${unit.name} cannot be restored: ${messageOf(cause)}; the machine must be reset`,
        { unit: unit.name, needsReset: true, cause },
      );
    }
    // Devices look at RAM when they are restored, time is what all depends on.
    if (i === 0) restoreRam(machine.physical, machine.about.configuration.memory, ram);
  }
}

function checkConfiguration(saved: SnapshotConfiguration, own: SnapshotConfiguration): void {
  const found = differences(saved, own);
  if (found.length > 0)
    throw new SnapshotError('configuration', `the snapshot is of another machine: ${found.join('; ')}`);
}

function checkNames(units: readonly SnapshotUnit[], parts: ReadonlyMap<string, SnapshotPart>): void {
  const known = new Set([aboutUnit, ramUnit, ...units.map(({ name }) => name)]);
  for (const name of parts.keys())
    if (!known.has(name) && !partOfRam.test(name))
      throw new SnapshotError('unit', `unit ${name}: this machine has no such part`, { unit: name });
  const optional = [...known].filter((name) => optionalUnit.test(name));
  const areThere = optional.some((name) => parts.has(name));
  for (const name of known) {
    if (parts.has(name) || (optionalUnit.test(name) && !areThere)) continue;
    throw new SnapshotError('unit', `unit ${name}: it is missing in the snapshot`, { unit: name });
  }
}

function readState(unit: SnapshotUnit, part: SnapshotPart): unknown {
  const { name } = unit;
  const state = decodeUnit(part);
  const mismatch = unit.mismatch?.(state);
  if (mismatch !== undefined)
    throw new SnapshotError('configuration', `unit ${name}: ${mismatch}`, { unit: name });
  requireShape(name, state, unit.save());
  return state;
}

function readRam(parts: ReadonlyMap<string, SnapshotPart>, size: number): Map<number, Uint8Array> {
  const example: RamIndex = { version: 1, size, parts: [0] };
  const index = decodeUnit(parts.get(ramUnit)!) as RamIndex;
  requireShape(ramUnit, index, example);
  if (index.size !== size)
    throw new SnapshotError('damaged', `unit ${ramUnit}: ${index.size} bytes instead of ${size}`, {
      unit: ramUnit,
    });
  const pieces = new Map<number, Uint8Array>();
  for (const { name, bytes } of parts.values()) {
    const number = partOfRam.exec(name)?.[1];
    if (number === undefined) continue;
    const mismatch = index.parts.includes(Number(number))
      ? partMismatch(Number(number), bytes, size)
      : 'the unit ram does not know it';
    if (mismatch !== undefined)
      throw new SnapshotError('damaged', `unit ${name}: ${mismatch}`, { unit: name });
    pieces.set(Number(number), bytes);
  }
  for (const number of index.parts)
    if (!pieces.has(number))
      throw new SnapshotError('unit', `unit ram/${number}: it is missing in the snapshot`, {
        unit: `ram/${number}`,
      });
  return pieces;
}
