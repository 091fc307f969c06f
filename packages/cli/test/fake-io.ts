import { memorySource } from '../src/byte-source.ts';
import { runCli } from '../src/cli.ts';
import { Complaint, OutputClosed } from '../src/errors.ts';
import type { Io, TextOutput } from '../src/io.ts';

interface World {
  readonly files?: Readonly<Record<string, Uint8Array>>;
  readonly stdin?: Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
  readonly isTerminal?: boolean;
  /** stdout's reader goes away after this many characters. */
  readonly readerStopsAfter?: number;
  /** The disk has room for so many bytes. Default: any number. */
  readonly room?: number;
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** How often stdout was written to. */
  readonly writes: number;
  /** Files that were opened and not closed. */
  readonly leftOpen: number;
  /** Files that were written. */
  readonly files: Readonly<Record<string, Uint8Array>>;
}

/** Runs the command in a world of arrays. */
export async function nest86(argv: readonly string[], world: World = {}): Promise<Outcome> {
  const written = { stdout: '', stderr: '', writes: 0 };
  const files: Record<string, Uint8Array> = { ...world.files };
  let open = 0;
  let clock = 0;
  const isTerminal = world.isTerminal ?? false;
  const stdout: TextOutput = {
    isTerminal,
    write(text) {
      written.writes++;
      written.stdout += text;
      if (written.stdout.length > (world.readerStopsAfter ?? Number.POSITIVE_INFINITY))
        return Promise.reject(new OutputClosed());
      return undefined;
    },
  };
  const stderr: TextOutput = {
    isTerminal,
    write(text) {
      written.stderr += text;
    },
  };
  const io: Io = {
    stdout,
    stderr,
    environment: world.environment ?? {},
    isKeyboard: false,
    readStdin: async () => world.stdin ?? new Uint8Array(0),
    async openFile(path) {
      const bytes = files[path];
      if (bytes === undefined) throw new Complaint(`${path}: no such file`);
      open++;
      return {
        ...memorySource(bytes),
        close() {
          open--;
        },
      };
    },
    writeFile(path, pieces) {
      const bytes = Uint8Array.from(Buffer.concat([...pieces]));
      if (bytes.length > (world.room ?? Number.POSITIVE_INFINITY))
        throw new Complaint(`${path}: cannot be written: no space left on the device`);
      files[path] = bytes;
      return bytes.length;
    },
    checkWritable(path) {
      if (path.startsWith('nowhere/')) throw new Complaint(`${path}: cannot be written: no such file`);
    },
    listen(heard) {
      if (world.stdin !== undefined) heard(world.stdin);
      return { stop() {} };
    },
    wait: () => ({ over: new Promise((resolve) => setImmediate(resolve)), end() {} }),
    // Each look at the clock is a second later, so that progress is shown.
    now: () => (clock += 1000),
  };
  const code = await runCli(argv, io);
  return { code, ...written, leftOpen: open, files };
}
