import { fixedRegisters, Slot } from '../../src/format/bits.ts';
import { deltas, header, json } from './emit.ts';
import { attRow } from './format-att.ts';
import { commonBits } from './format-common.ts';
import { intelRow } from './format-intel.ts';
import { nasmRow } from './format-nasm.ts';
import { type FormatRow, type RecordView, viewRecords } from './format-view.ts';
import type { EncodingRecord } from './record.ts';

/** Columns of the formatters: one module for each syntax, so that a program carries only what it uses. */
export function formatModules(records: readonly EncodingRecord[]): Record<string, string> {
  const views = viewRecords(records);
  return {
    'format-common.ts': commonModule(views),
    'format-intel.ts': styleModule(views, intelRow),
    'format-att.ts': styleModule(views, attRow),
    'format-nasm.ts': styleModule(views, nasmRow),
  };
}

function commonModule(views: readonly RecordView[]): string {
  const { rows, rowOf } = unique(views.map(commonBits));
  return `${header}
/** \`Common\` bits, and the row of each encoding from 1. */
export const commonRows = '${json(rows)}';
export const commonRowOf = '${json(deltas(rowOf))}';
`;
}

function styleModule(views: readonly RecordView[], rowFor: (view: RecordView) => FormatRow): string {
  const names: string[] = [''];
  const recipes: string[] = [];
  const pairs = views.map((view) => {
    const { name, slots, style } = rowFor(view);
    const nameRow = intern(names, name === view.mnemonic.toLowerCase() ? '' : (name ?? ''));
    if (nameRow > 255 || (style & 255) !== 0) throw new Error(`${view.record.where}: too many names`);
    if (
      slots.some(
        (slot) => slot >= Slot.end || (slot >= Slot.fixed + fixedRegisters.length && slot < Slot.opmask),
      )
    )
      throw new Error(`${view.record.where}: slot`);
    return `${intern(recipes, slots.join())} ${(style | nameRow) >>> 0}`;
  });
  const { rows, rowOf } = unique(pairs);
  return `${header}
/** Mnemonics that differ from the manual's; row 0: none. */
export const names = '${names.join(' ')}';
/** Recipes: \`Slot\` codes, each ended by \`Slot.end\`. */
export const recipes = '${json(
    recipes.flatMap((recipe) => [
      ...recipe
        .split(',')
        .filter((code) => code !== '')
        .map(Number),
      Slot.end,
    ]),
  )}';
/** Pairs of recipe and \`Style\` bits, and the row of each encoding from 1. */
export const styleRows = '${json(rows.flatMap((row) => row.split(' ').map(Number)))}';
export const styleRowOf = '${json(deltas(rowOf))}';
`;
}

function intern(list: string[], text: string): number {
  const row = list.indexOf(text);
  return row < 0 ? list.push(text) - 1 : row;
}

function unique<T>(values: readonly T[]): { rows: T[]; rowOf: number[] } {
  const rows = [...new Set(values)];
  const rowByValue = new Map(rows.map((row, i) => [row, i]));
  return { rows, rowOf: values.map((value) => rowByValue.get(value)!) };
}
