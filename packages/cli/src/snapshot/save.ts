import { type Machine, SnapshotError, writeSnapshot } from '@nest86/machine';
import { Complaint } from '../errors.ts';
import type { Io } from '../io.ts';
import { deflate } from './deflate.ts';

/** Saves a machine between two runs, and says so. @throws Complaint naming the file; what was there before is still there then */
export async function saveMachine(machine: Machine, path: string, io: Io): Promise<void> {
  let size: number;
  try {
    size = io.writeFile(path, writeSnapshot(machine.save(), { compressor: deflate }));
  } catch (error) {
    throw error instanceof SnapshotError ? new Complaint(`${path}: ${error.message}`) : error;
  }
  const retired = machine.processors.reduce((sum, processor) => sum + processor.retired, 0);
  await io.stderr.write(`nest86: saved ${path}: ${size} bytes, at ${retired} instructions\n`);
}
