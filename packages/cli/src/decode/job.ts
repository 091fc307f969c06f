import type { DecoderOptions, DecoderOptionsInit } from '@nest86/decoder';
import type { FormatOptions } from '@nest86/decoder/intel';
import type { ChunkedOutput } from '../chunked-output.ts';
import type { Io } from '../io.ts';
import type { Palette } from './colour.ts';
import type { Input } from './source.ts';
import type { Syntax } from './syntax.ts';

/** One run of `nest86 decode`: its options, understood. */
export interface DecodeJob {
  readonly input: Input;
  readonly processor: DecoderOptionsInit;
  readonly decoder: DecoderOptions;
  readonly syntax: Syntax;
  readonly format: FormatOptions | undefined;
  readonly palette: Palette;
  readonly output: ChunkedOutput;
  /** Instructions to print. */
  readonly limit: number;
  readonly isJson: boolean;
  readonly isVerbose: boolean;
  readonly withStatistics: boolean;
  readonly io: Io;
}
