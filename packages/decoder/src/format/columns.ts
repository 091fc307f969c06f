import { encodingCount } from '../generated/decode-tables.ts';
import * as generated from '../generated/format-common.ts';
import { mnemonicName } from '../mnemonic.ts';
import { mnemonicOf } from '../tables.ts';
import { unpack, unpackDeltas } from '../unpack.ts';
import { Slot, Style } from './bits.ts';

interface StyleText {
  readonly names: string;
  readonly recipes: string;
  readonly styleRows: string;
  readonly styleRowOf: string;
}

/** `Common` bits by encoding, once a column's `mnemonics` were asked for. */
export const commons: Int32Array = new Int32Array(encodingCount);
let hasCommons = false;

function unpackCommons(): void {
  if (hasCommons) return;
  hasCommons = true;
  const rows = unpack(generated.commonRows);
  unpackDeltas(generated.commonRowOf).forEach((row, i) => {
    commons[i + 1] = rows[row];
  });
}

/**
 * Generated columns of one syntax. They are filled when `mnemonics` are first asked for, which each theme does: loading a formatter takes no time.
 */
export class StyleColumn {
  /** `Style` bits by encoding. */
  readonly styles: Int32Array = new Int32Array(encodingCount);
  /** `Slot` codes. */
  readonly recipes: Uint8Array;
  /** By encoding: where its recipe starts. */
  readonly recipeOf: Uint16Array = new Uint16Array(encodingCount);
  private names: readonly string[] | undefined;

  constructor(private readonly text: StyleText) {
    this.recipes = Uint8Array.from(unpack(text.recipes));
  }

  /** By encoding: the mnemonic in lower case. */
  get mnemonics(): readonly string[] {
    this.names ??= this.fill();
    return this.names;
  }

  private fill(): string[] {
    unpackCommons();
    const { text, styles, recipeOf } = this;
    const starts = [0];
    this.recipes.forEach((code, i) => {
      if (code === Slot.end) starts.push(i + 1);
    });
    const pairs = unpack(text.styleRows);
    const names = text.names.split(' ');
    const mnemonics: string[] = [''];
    recipeOf[0] = starts[0];
    unpackDeltas(text.styleRowOf).forEach((row, i) => {
      const encoding = i + 1;
      const style = pairs[2 * row + 1];
      recipeOf[encoding] = starts[pairs[2 * row]];
      styles[encoding] = style;
      const name = style & Style.nameMask;
      mnemonics.push(name === 0 ? mnemonicName(mnemonicOf[encoding]) : names[name]);
    });
    return mnemonics;
  }
}

/** Columns of the syntax whose generated module this is. */
export function styleColumn(text: StyleText): StyleColumn {
  return new StyleColumn(text);
}
