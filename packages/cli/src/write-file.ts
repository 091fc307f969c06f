import {
  closeSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { Complaint } from './errors.ts';
import { systemErrorText } from './system-error.ts';

/** Writes bytes at a descriptor's position and answers how many there were. */
export type WriteBytes = (descriptor: number, bytes: Uint8Array, from: number) => number;

const writeBytes: WriteBytes = (descriptor, bytes, from) => writeSync(descriptor, bytes, from);

/**
 * Writes a file as a whole or not at all: under another name beside it, which becomes the file when the last byte is on the disk. So a full disk takes
 * neither the old file nor leaves half of a new one. A device or pipe is written to.
 *
 * @returns bytes
 * @throws Complaint, or what `pieces` throws: then, too, the old file is there
 */
export function writeFile(
  path: string,
  pieces: Iterable<Uint8Array>,
  write: WriteBytes = writeBytes,
): number {
  const target = targetOf(path);
  if (!target.isReplaced) return writeThrough(path, pieces, write);
  const partial = partialName(target.path);
  const descriptor = begin(path, partial);
  let isOpen = true;
  try {
    const size = writePieces(path, descriptor, pieces, write);
    attempt(path, () => {
      // What a disk has no room for may be told only here.
      fsyncSync(descriptor);
      isOpen = false;
      closeSync(descriptor);
      renameSync(partial, target.path);
    });
    return size;
  } catch (error) {
    if (isOpen) closeSync(descriptor);
    unlinkSync(partial);
    throw error;
  }
}

/** Whether {@link writeFile} can begin: for whoever works long before there is something to write. @throws Complaint */
export function checkWritable(path: string): void {
  const target = targetOf(path);
  if (!target.isReplaced) return;
  const partial = partialName(target.path);
  closeSync(begin(path, partial));
  attempt(path, () => unlinkSync(partial));
}

/** Where the bytes go: a symbolic link stays one, and what is no file is not replaced by one. */
function targetOf(path: string): { readonly path: string; readonly isReplaced: boolean } {
  let real: string;
  try {
    real = realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw complaint(path, error);
    return { path, isReplaced: true };
  }
  const status = attempt(path, () => statSync(real));
  if (status.isDirectory()) throw new Complaint(`${path}: is a directory, not a file`);
  return { path: real, isReplaced: status.isFile() };
}

function begin(path: string, partial: string): number {
  try {
    return openSync(partial, 'wx');
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw isMissing
      ? new Complaint(`${path}: cannot be written: its folder does not exist`)
      : complaint(path, error);
  }
}

function partialName(path: string): string {
  return `${path}.${process.pid}${Math.random().toString(36).slice(2, 8)}.partial`;
}

function writeThrough(path: string, pieces: Iterable<Uint8Array>, write: WriteBytes): number {
  const descriptor = attempt(path, () => openSync(path, 'w'));
  try {
    return writePieces(path, descriptor, pieces, write);
  } finally {
    closeSync(descriptor);
  }
}

function writePieces(
  path: string,
  descriptor: number,
  pieces: Iterable<Uint8Array>,
  write: WriteBytes,
): number {
  let size = 0;
  for (const piece of pieces) {
    let done = 0;
    while (done < piece.length) done += attempt(path, () => write(descriptor, piece, done));
    size += piece.length;
  }
  return size;
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw complaint(path, error);
  }
}

function complaint(path: string, error: unknown): Complaint {
  return new Complaint(`${path}: cannot be written: ${systemErrorText(error)}`);
}
