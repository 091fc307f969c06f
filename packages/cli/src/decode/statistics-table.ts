import type { Palette } from './colour.ts';
import type { Count, Statistics } from './statistics.ts';

const topMnemonics = 16;
const barWidth = 12;
const gap = '    ';

const number = (value: number): string => value.toLocaleString('en-US');

/** The statistics for a person, about 90 columns wide. */
export function statisticsTable(statistics: Statistics, milliseconds: number, palette: Palette): string {
  const { instructions, bytes, invalidBytes } = statistics;
  const seconds = milliseconds / 1000;
  const share = (part: number, whole: number) => (whole === 0 ? 0 : (100 * part) / whole).toFixed(2);
  const mnemonics = statistics.byMnemonic();
  const facts: [string, string][] = [
    ['instructions', `${number(instructions)}, ${statistics.averageLength.toFixed(2)} bytes long on average`],
    [
      'bytes',
      `${number(bytes + invalidBytes)}, ${number(invalidBytes)} of them invalid (${share(invalidBytes, bytes + invalidBytes)} %)`,
    ],
    ['vocabulary', `${number(mnemonics.length)} different mnemonics`],
    [
      'speed',
      `${seconds.toFixed(2)} s: ${perSecond(instructions, seconds)} instructions/s, ${perSecond(bytes + invalidBytes, seconds)} bytes/s`,
    ],
  ];
  const lines = facts.map(([name, text]) => `${palette.paint('heading', name.padEnd(14))}${text}`);

  const block = (title: string, counts: readonly Count[], rows: number) =>
    countBlock(title, counts, rows, instructions, palette);
  const features = block('CPUID feature', statistics.byFeature(), topMnemonics - 8);
  const spaces = block('encoding', statistics.bySpace(), 5);
  const right = [
    ...features,
    ...Array(Math.max(1, topMnemonics + 2 - features.length - spaces.length)).fill(undefined),
    ...spaces,
  ];
  lines.push('', ...beside(block('mnemonic', mnemonics, topMnemonics), right));
  lines.push('', ...lengthBlock(statistics.byLength(), instructions, palette));
  return `${lines.join('\n')}\n`;
}

/** `6.8 million` */
function perSecond(count: number, seconds: number): string {
  const rate = seconds > 0 ? count / seconds : 0;
  return rate >= 1e6 ? `${(rate / 1e6).toFixed(1)} million` : number(Math.round(rate));
}

/** Text whose printed width is known, colours aside. */
interface Cell {
  readonly text: string;
  readonly width: number;
}

/** Counts with shares and bars; beyond `rows` they are summed up as "others". */
function countBlock(
  title: string,
  counts: readonly Count[],
  rows: number,
  whole: number,
  palette: Palette,
): Cell[] {
  const shown = counts.slice(0, rows);
  const nameWidth = Math.max(title.length, 13, ...shown.map(([name]) => name.length));
  const heading = `${title.padEnd(nameWidth)}${'count'.padStart(12)}${'share'.padStart(8)}`;
  const top = Math.max(1, ...shown.map(([, count]) => count));
  const cells = shown.map(([name, count]): Cell => {
    const start = `${name.padEnd(nameWidth)}${number(count).padStart(12)}${percent(count, whole)}`;
    const drawn = bar(count / top);
    if (drawn === '') return { text: start, width: start.length };
    return { text: `${start} ${palette.paint('bar', drawn)}`, width: start.length + 1 + drawn.length };
  });
  if (counts.length > rows) {
    const text = `… and ${number(counts.length - rows)} more`;
    cells.push({ text, width: text.length });
  }
  return [{ text: palette.paint('heading', heading), width: heading.length }, ...cells];
}

/** One line: share of each length. */
function lengthBlock(counts: readonly Count[], whole: number, palette: Palette): string[] {
  const column = (text: string) => text.padStart(6);
  const lengths = counts.map(([length]) => column(length)).join('');
  const shares = counts
    .map(([, count]) => column(((100 * count) / whole).toFixed(count / whole < 0.0995 ? 1 : 0)))
    .join('');
  return [palette.paint('heading', `length, bytes${lengths}`), `share, %     ${shares}`];
}

function percent(count: number, whole: number): string {
  return `${((100 * count) / Math.max(1, whole)).toFixed(1)} %`.padStart(8);
}

/** Eighths of a character make a small difference visible. */
function bar(fraction: number): string {
  const eighths = Math.round(fraction * barWidth * 8);
  return '█'.repeat(eighths >> 3) + ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths & 7];
}

function beside(left: readonly Cell[], right: readonly (Cell | undefined)[]): string[] {
  const width = Math.max(...left.map((cell) => cell.width));
  return Array.from({ length: Math.max(left.length, right.length) }, (_, i) => {
    const cell = left[i];
    const other = right[i];
    if (other === undefined) return cell?.text ?? '';
    return `${cell?.text ?? ''}${' '.repeat(width - (cell?.width ?? 0))}${gap}${other.text}`;
  });
}

/** The same for programs; complete. */
export function statisticsRecord(statistics: Statistics, milliseconds: number): object {
  const { instructions, bytes, invalidBytes, averageLength } = statistics;
  return {
    instructions,
    bytes: bytes + invalidBytes,
    invalidBytes,
    averageLength,
    milliseconds: Math.round(milliseconds),
    mnemonics: Object.fromEntries(statistics.byMnemonic()),
    cpuidFeatures: Object.fromEntries(statistics.byFeature()),
    encodings: Object.fromEntries(statistics.bySpace()),
    lengths: Object.fromEntries(statistics.byLength()),
  };
}
