import { encodingCount } from '../generated/decode-tables.ts';
import * as generated from '../generated/format-common.ts';
import { mnemonicName } from '../mnemonic.ts';
import { mnemonicOf } from '../tables.ts';
import { readVlq, readVlqDeltas } from '../vlq.ts';
import { Slot, Style } from './bits.ts';

/*
 * The formatters' generated columns, unpacked when their module is loaded.
 */

interface StyleText {
  readonly names: string;
  readonly recipes: string;
  readonly styleRows: string;
  readonly styleRowOf: string;
}

/** Column of one syntax. */
export interface StyleColumn {
  /** `Style` bits by encoding. */
  readonly styles: Int32Array;
  /** `Slot` codes. */
  readonly recipes: Uint8Array;
  /** By encoding: where its recipe starts. */
  readonly recipeOf: Uint16Array;
  /** By encoding: the mnemonic in lower case. */
  readonly mnemonics: readonly string[];
}

const scratch = new Int32Array(Math.max(encodingCount, generated.commonRowOf.length) * 2);

/** `Common` bits by encoding. */
export const commons: Int32Array = byEncoding(
  readVlq(generated.commonRows, scratch).slice(),
  generated.commonRowOf,
);

function byEncoding(rows: Int32Array, rowOf: string): Int32Array {
  const numbers = readVlqDeltas(rowOf, scratch);
  const column = new Int32Array(encodingCount);
  for (let i = 0; i < numbers.length; i++) column[i + 1] = rows[numbers[i]];
  return column;
}

export function unpackStyles({ names, recipes, styleRows, styleRowOf }: StyleText): StyleColumn {
  const codes = Uint8Array.from(readVlq(recipes, scratch));
  const starts = [0];
  codes.forEach((code, i) => {
    if (code === Slot.end) starts.push(i + 1);
  });
  const pairs = readVlq(styleRows, scratch).slice();
  const recipeRow = byEncoding(
    pairs.filter((_, i) => i % 2 === 0),
    styleRowOf,
  );
  const styles = byEncoding(
    pairs.filter((_, i) => i % 2 === 1),
    styleRowOf,
  );
  const texts = names.split(' ');
  const mnemonics: string[] = [''];
  for (let encoding = 1; encoding < encodingCount; encoding++) {
    const name = styles[encoding] & Style.nameMask;
    mnemonics.push(name === 0 ? mnemonicName(mnemonicOf[encoding]) : texts[name]);
  }
  return { styles, recipes: codes, recipeOf: Uint16Array.from(recipeRow, (row) => starts[row]), mnemonics };
}
