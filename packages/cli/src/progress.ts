import type { Io } from './io.ts';

/** Milliseconds between two updates, and before the first: what is quicker needs no progress line. */
const interval = 200;

/** One line on stderr that says how far a long work is; nothing unless stderr is a terminal. */
export class Progress {
  readonly #io: Io;
  readonly #isOn: boolean;
  #last: number;
  #isShown = false;

  constructor(io: Io) {
    this.#io = io;
    this.#isOn = io.stderr.isTerminal;
    this.#last = io.now();
  }

  /** Cheap enough for every few milliseconds of work. */
  async update(describe: () => string): Promise<void> {
    if (!this.#isOn) return;
    const now = this.#io.now();
    if (now - this.#last < interval) return;
    this.#last = now;
    this.#isShown = true;
    await this.#io.stderr.write(`\r\x1b[K${describe()}`);
  }

  /** Removes the line, before anything else is printed. */
  async clear(): Promise<void> {
    if (!this.#isShown) return;
    this.#isShown = false;
    await this.#io.stderr.write('\r\x1b[K');
  }
}
