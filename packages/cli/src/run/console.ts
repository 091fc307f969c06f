import type { TextOutput } from '../io.ts';

/** Takes the serial port's bytes, writes them as text, and watches for one. */
export class Console {
  hasSeen = false;
  private pending = '';
  private tail = '';
  private waiting: void | Promise<void> = undefined;

  /** @param expected text to watch for */
  constructor(
    private readonly output: TextOutput,
    private readonly expected: string | undefined,
  ) {}

  /** Lines are handed over as they end, so that whoever reads knows when. */
  write(byte: number): void {
    const letter = String.fromCharCode(byte);
    this.pending += letter;
    const { expected } = this;
    if (expected !== undefined && !this.hasSeen) {
      this.tail = (this.tail + letter).slice(-expected.length);
      this.hasSeen = this.tail === expected;
    }
    if (letter === '\n' || this.pending.length >= 4096) this.hand();
  }

  /** Hands over the rest, and waits for a reader that is behind. */
  async flush(): Promise<void> {
    this.hand();
    await this.waiting;
  }

  private hand(): void {
    if (this.pending === '') return;
    const text = this.pending;
    this.pending = '';
    this.waiting = this.output.write(text);
  }
}
