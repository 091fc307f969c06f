import type { SpanKind } from '@nest86/decoder/intel';
import type { Io } from '../io.ts';

/** What can have a colour: parts of an instruction, and what stands around it. */
type PaintKind = SpanKind | 'address' | 'bytes' | 'heading' | 'invalid' | 'bar';

/** Terminal colours for what is printed; `plain` leaves text as it is. */
export interface Palette {
  readonly isColoured: boolean;
  paint(kind: PaintKind, text: string): string;
}

/** Sixteen-colour codes: they follow the theme of the terminal, so they are readable on light and on dark. */
const codes: Readonly<Partial<Record<PaintKind, string>>> = {
  address: '2',
  bytes: '2',
  heading: '1',
  invalid: '31',
  bar: '36',
  prefix: '35',
  mnemonic: '1',
  register: '36',
  number: '33',
  symbol: '32',
  keyword: '34',
  decorator: '35',
};

const coloured: Palette = {
  isColoured: true,
  paint(kind, text) {
    const code = codes[kind];
    return code === undefined ? text : `\x1b[${code}m${text}\x1b[0m`;
  },
};

const plain: Palette = { isColoured: false, paint: (_, text) => text };

/** @param when value of --color */
export function palette(when: 'auto' | 'always' | 'never', { stdout, environment }: Io): Palette {
  if (when !== 'auto') return when === 'always' ? coloured : plain;
  // https://no-color.org: set and not empty means no.
  const isWanted = stdout.isTerminal && !environment.NO_COLOR && environment.TERM !== 'dumb';
  return isWanted ? coloured : plain;
}
