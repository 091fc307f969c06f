import type { Span, SpanKind } from './options.ts';

/** In the order of their marks. */
const kinds: readonly SpanKind[] = [
  'prefix',
  'mnemonic',
  'register',
  'number',
  'punctuation',
  'keyword',
  'symbol',
  'decorator',
  'text',
];

/*
 * Spans come from the same code as text. For them a theme puts a mark in front of each token: one of the 32 code points from
 * U+FDD0 that Unicode keeps for such uses and that are no characters. Text without spans pays nothing.
 */
const firstMark = 0xfdd0;

/** Matches every mark. */
export const marks: RegExp = new RegExp(
  `[${String.fromCharCode(firstMark)}-${String.fromCharCode(firstMark + kinds.length - 1)}]`,
  'g',
);

export function markOf(kind: SpanKind): string {
  return String.fromCharCode(firstMark + kinds.indexOf(kind));
}

/** Takes marked text apart. Neighbours of a kind become one span. */
export function splitSpans(marked: string): Span[] {
  const spans: { kind: SpanKind; text: string }[] = [];
  let kind: SpanKind = 'text';
  let start = 0;
  for (let i = 0; i <= marked.length; i++) {
    const mark = i < marked.length ? marked.charCodeAt(i) - firstMark : 0;
    if (mark < 0 || mark >= kinds.length) continue;
    if (i > start) {
      const text = marked.slice(start, i);
      const last = spans.at(-1);
      if (last?.kind === kind) last.text += text;
      else spans.push({ kind, text });
    }
    kind = kinds[mark];
    start = i + 1;
  }
  return spans;
}
