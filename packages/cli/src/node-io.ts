import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { WriteStream } from 'node:tty';
import { memorySource } from './byte-source.ts';
import { Complaint, OutputClosed } from './errors.ts';
import type { ByteSource, Io, TextOutput, Wait } from './io.ts';
import { systemErrorText } from './system-error.ts';
import { checkWritable, writeFile } from './write-file.ts';

/** What cannot be read at random positions, such as a pipe, is held in memory; this much at most. */
const streamLimit = 1 << 30;

/** The world as this process sees it. */
export function nodeIo(): Io {
  return {
    stdout: textOutput(process.stdout),
    stderr: textOutput(process.stderr),
    environment: process.env,
    isKeyboard: process.stdin.isTTY === true,
    readStdin: () => readStream(process.stdin, 'standard input'),
    openFile,
    writeFile,
    checkWritable,
    listen,
    wait,
    now: () => performance.now(),
  };
}

function textOutput(stream: WriteStream): TextOutput {
  let failure: Error | undefined;
  let settle: ((error?: Error) => void) | undefined;
  // Without a listener an EPIPE, which arrives as an event, would end the process with a stack trace.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    const closed = error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED';
    failure = closed ? new OutputClosed() : new Complaint(`cannot write: ${systemErrorText(error)}`);
    settle?.(failure);
  });
  stream.on('drain', () => settle?.());
  return {
    isTerminal: stream.isTTY === true,
    write(text) {
      if (failure !== undefined) throw failure;
      if (stream.write(text)) return;
      return new Promise((resolve, reject) => {
        settle = (error) => {
          settle = undefined;
          if (error === undefined) resolve();
          else reject(error);
        };
      });
    },
  };
}

function listen(heard: (bytes: Uint8Array) => void): { stop(): void } {
  const { stdin } = process;
  // Whoever reads a closed or lost input gets nothing; that is no reason to end.
  const ignore = (): void => {};
  stdin.on('error', ignore);
  stdin.on('data', heard);
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.resume();
  return {
    stop() {
      stdin.off('data', heard);
      if (stdin.isTTY) stdin.setRawMode(false);
      stdin.pause();
      stdin.unref?.();
    },
  };
}

function wait(milliseconds: number): Wait {
  let end = (): void => {};
  const over = new Promise<void>((resolve) => {
    if (milliseconds <= 0) {
      setImmediate(resolve);
      return;
    }
    const timer = setTimeout(resolve, milliseconds);
    end = () => {
      clearTimeout(timer);
      resolve();
    };
  });
  return { over, end: () => end() };
}

async function openFile(path: string): Promise<ByteSource> {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    throw new Complaint(`${path}: ${systemErrorText(error)}`);
  }
  const status = fstatSync(descriptor);
  if (status.isDirectory()) {
    closeSync(descriptor);
    throw new Complaint(`${path}: is a directory, not a file`);
  }
  if (!status.isFile()) {
    // A pipe (`<(objcopy …)`) or a device has no size and no positions.
    try {
      return memorySource(readUnseekable(descriptor, path));
    } finally {
      closeSync(descriptor);
    }
  }
  return {
    size: status.size,
    read: (target, position) => readFully(descriptor, path, target, position),
    close: () => closeSync(descriptor),
  };
}

function readFully(descriptor: number, path: string, target: Uint8Array, position: number | null): number {
  let total = 0;
  while (total < target.length) {
    let count: number;
    try {
      const at = position === null ? null : position + total;
      count = readSync(descriptor, target, total, target.length - total, at);
    } catch (error) {
      throw new Complaint(`${path}: ${systemErrorText(error)}`);
    }
    if (count === 0) break;
    total += count;
  }
  return total;
}

function readUnseekable(descriptor: number, path: string): Uint8Array {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const chunk = new Uint8Array(1 << 20);
    const count = readFully(descriptor, path, chunk, null);
    total += count;
    checkStreamLimit(total, path);
    chunks.push(chunk.subarray(0, count));
    if (count < chunk.length) return Buffer.concat(chunks, total);
  }
}

async function readStream(stream: Readable, name: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  try {
    for await (const chunk of stream) {
      total += chunk.length;
      checkStreamLimit(total, name);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof Complaint) throw error;
    throw new Complaint(`${name}: ${systemErrorText(error)}`);
  }
  return Buffer.concat(chunks, total);
}

function checkStreamLimit(total: number, name: string): void {
  if (total > streamLimit) throw new Complaint(`${name}: more than 1 GiB from a stream; give a file instead`);
}
