import type { TextOutput } from './io.ts';

/** Collects small pieces of text into large ones: one system call per line would cost more than the decoding. */
export class ChunkedOutput {
  readonly #output: TextOutput;
  #text = '';

  constructor(output: TextOutput) {
    this.#output = output;
  }

  add(text: string): void {
    this.#text += text;
  }

  /** Whether it is time for `flush`. */
  get isFull(): boolean {
    return this.#text.length >= 1 << 16;
  }

  /** Await it: that is what keeps a slow reader from filling our memory. */
  async flush(): Promise<void> {
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    await this.#output.write(text);
  }
}
