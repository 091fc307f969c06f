/*
 * What a command may touch of the world. `node-io.ts` fits it to Node; tests put arrays in its place.
 */

/** A terminal, pipe or file that takes text. */
export interface TextOutput {
  /** Answers a promise when the reader is behind: await it before writing on. @throws OutputClosed */
  write(text: string): void | Promise<void>;
  readonly isTerminal: boolean;
}

/** Bytes that can be read at any position, without holding them all. */
export interface ByteSource {
  readonly size: number;
  /** Fills `target` from `position` on and answers how many bytes there were; fewer only at the end. */
  read(target: Uint8Array, position: number): number;
  close(): void;
}

export interface Wait {
  readonly over: Promise<void>;
  /** Ends it now. */
  end(): void;
}

export interface Io {
  readonly stdout: TextOutput;
  readonly stderr: TextOutput;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Standard input to its end. */
  readStdin(): Promise<Uint8Array>;
  /** @throws Complaint naming the path and what is wrong with it */
  openFile(path: string): Promise<ByteSource>;
  /** Writes a file as a whole or not at all: what had this name stays until the last byte is written. @returns bytes @throws Complaint, or what `pieces` throws */
  writeFile(path: string, pieces: Iterable<Uint8Array>): number;
  /** Whether a file of this name can be begun. @throws Complaint */
  checkWritable(path: string): void;
  /** Standard input is a terminal. */
  readonly isKeyboard: boolean;
  /** Bytes of standard input as they arrive: a terminal's keys one by one, without echo. To be stopped at the end. */
  listen(heard: (bytes: Uint8Array) => void): { stop(): void };
  /** Lets input arrive, and waits so long. */
  wait(milliseconds: number): Wait;
  /** Milliseconds from any fixed moment. */
  now(): number;
}
