import { readSnapshot, type Snapshot, SnapshotError } from '@nest86/machine';
import { Complaint } from '../errors.ts';
import type { Io } from '../io.ts';
import { deflate } from './deflate.ts';

/** Bytes that every Node we support holds in one piece. */
const largestFile = 2 ** 32 - 1;

/** A snapshot's file, checked and taken apart. @throws Complaint naming the file and what is wrong with it */
export async function openSnapshot(path: string, io: Io): Promise<{ snapshot: Snapshot; fileSize: number }> {
  const source = await io.openFile(path);
  try {
    if (source.size > largestFile)
      throw new Complaint(`${path}: ${source.size} bytes; snapshots of up to ${largestFile} can be read`);
    const bytes = new Uint8Array(source.size);
    const read = bytes.subarray(0, source.read(bytes, 0));
    return { snapshot: readSnapshot(read, { compressor: deflate }), fileSize: read.length };
  } catch (error) {
    if (error instanceof SnapshotError) throw new Complaint(`${path}: ${error.message}`);
    // What V8 says when it gets no memory.
    if (error instanceof RangeError)
      throw new Complaint(`${path}: there is not enough memory for ${source.size} bytes`);
    throw error;
  } finally {
    source.close();
  }
}
