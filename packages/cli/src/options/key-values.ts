import { nearest } from './nearest.ts';
import { alternatives, ValueError, type ValueParser } from './values.ts';

/*
 * Option values that are lists: `--disk FILE,format=raw`, `--cpu MODEL,+feat,-feat,key=val`, `--tlb NAME,key=val`.
 * The first item is the head; `,,` stands for a comma inside an item (as QEMU does), since file names may have one.
 */

/** What such a list may hold. */
export interface KeyValueForm<K extends Readonly<Record<string, ValueParser<unknown>>>> {
  /** What the first item is called, for messages: FILE, MODEL. */
  readonly head: string;
  readonly keys: K;
  /** Whether `+name` and `-name` are allowed. Which names exist, the receiver knows. */
  readonly features?: boolean;
}

export interface KeyValues<K extends Readonly<Record<string, ValueParser<unknown>>>> {
  readonly head: string;
  readonly values: { readonly [Name in keyof K]?: ReturnType<K[Name]> };
  /** Features by name: true for `+name`, false for `-name`. The last one counts. */
  readonly features: ReadonlyMap<string, boolean>;
}

export function keyValues<K extends Readonly<Record<string, ValueParser<unknown>>>>(
  form: KeyValueForm<K>,
): ValueParser<KeyValues<K>> {
  const known = Object.keys(form.keys);
  const shape = [
    form.head,
    ...(form.features ? ['+FEATURE', '-FEATURE'] : []),
    ...known.map((key) => `${key}=…`),
  ].join(',');
  return (text) => {
    const [head, ...items] = splitItems(text);
    if (head === '') throw new ValueError(`${form.head} is needed first, as in ${shape}`);
    const values: Record<string, unknown> = {};
    const features = new Map<string, boolean>();
    for (const item of items) {
      if (item === '')
        throw new ValueError(`an item is empty; ${shape} is allowed (",," stands for a comma)`);
      if (form.features && /^[+-]./.test(item)) {
        features.set(item.slice(1), item[0] === '+');
        continue;
      }
      const equals = item.indexOf('=');
      const key = equals < 0 ? item : item.slice(0, equals);
      if (!Object.hasOwn(form.keys, key)) throw new ValueError(unknownKey(key, known, shape));
      if (equals < 0) throw new ValueError(`${key} needs a value: ${key}=…`);
      if (Object.hasOwn(values, key)) throw new ValueError(`${key} is given twice`);
      values[key] = parseItem(form.keys[key], key, item.slice(equals + 1));
    }
    return { head, values: values as KeyValues<K>['values'], features };
  };
}

/** Splits at commas; two in a row are one that belongs to the item. */
export function splitItems(text: string): string[] {
  const items = [''];
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== ',') items[items.length - 1] += text[i];
    else if (text[i + 1] === ',') items[items.length - 1] += text[i++];
    else items.push('');
  }
  return items;
}

function parseItem(parser: ValueParser<unknown>, key: string, text: string): unknown {
  try {
    return parser(text);
  } catch (error) {
    throw error instanceof ValueError ? new ValueError(`${key}=${text}: ${error.message}`) : error;
  }
}

function unknownKey(key: string, known: readonly string[], shape: string): string {
  const near = nearest(key, known);
  if (near !== undefined) return `there is no key "${key}"; did you mean ${near}? ${shape} is allowed`;
  return `there is no key "${key}"; ${known.length > 0 ? `${alternatives(known)} is allowed` : `${shape} is allowed`}`;
}
