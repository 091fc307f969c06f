import type { TextOutput } from '../io.ts';

/** Takes the serial port's bytes, writes them as text, and watches for one. */
export class Console {
  hasSeen = false;
  private pending = '';
  private tail = '';

  /** @param expected text to watch for */
  constructor(
    private readonly output: TextOutput,
    private readonly expected: string | undefined,
  ) {}

  write(byte: number): void {
    const letter = String.fromCharCode(byte);
    this.pending += letter;
    const { expected } = this;
    if (expected === undefined || this.hasSeen) return;
    this.tail = (this.tail + letter).slice(-expected.length);
    if (this.tail === expected) this.hasSeen = true;
  }

  /** Hands over what has come since. */
  async flush(): Promise<void> {
    if (this.pending === '') return;
    const text = this.pending;
    this.pending = '';
    await this.output.write(text);
  }
}
