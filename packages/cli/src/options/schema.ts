import { ValueError, type ValueParser } from './values.ts';

/*
 * A command's options as data: from one table come parsing, types, messages and help. Nothing in this file knows where
 * the texts come from (argv.ts: the command line).
 */

/** One option whose value has type T. */
export interface Option<T> {
  /** Absent for a switch, which takes no value. */
  readonly parse?: ValueParser<unknown>;
  /** How the value is called in the help. */
  readonly placeholder?: string;
  readonly help: string;
  /** One letter. */
  readonly short?: string;
  /** Heading in the help under which the option stands. */
  readonly group?: string;
  /** The option's value from those given on each occurrence; none if it was not given. */
  readonly combine: (given: readonly unknown[]) => T;
}

export type Schema = Readonly<Record<string, Option<unknown>>>;

/** What an options table yields. */
export type Values<S extends Schema> = {
  readonly [Name in keyof S]: S[Name] extends Option<infer T> ? T : never;
};

interface Presentation {
  readonly help: string;
  readonly short?: string;
  readonly group?: string;
}

export function flag(presentation: Presentation): Option<boolean> {
  return { ...presentation, combine: (given) => given.length > 0 };
}

/** An option that may be absent. Given twice, the last counts: a script's options can be overridden behind them. */
export function optional<T>(
  parse: ValueParser<T>,
  placeholder: string,
  presentation: Presentation,
): Option<T | undefined> {
  return { ...presentation, parse, placeholder, combine: (given) => given.at(-1) as T | undefined };
}

export function withDefault<T>(
  fallback: T,
  parse: ValueParser<T>,
  placeholder: string,
  presentation: Presentation,
): Option<T> {
  const combine = (given: readonly unknown[]) => (given.length > 0 ? (given.at(-1) as T) : fallback);
  return { ...presentation, parse, placeholder, combine };
}

/** An option that adds up when it is given again. */
export function repeated<T>(
  parse: ValueParser<readonly T[]>,
  placeholder: string,
  presentation: Presentation,
): Option<readonly T[]> {
  const combine = (given: readonly unknown[]) => (given as T[][]).flat();
  return { ...presentation, parse, placeholder, combine };
}

/** Given options by name, each with the texts of its occurrences (undefined: no value), as typed values. */
export function readValues<S extends Schema>(
  schema: S,
  given: ReadonlyMap<string, readonly (string | undefined)[]>,
): Values<S> {
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(schema)) {
    const texts = given.get(name) ?? [];
    values[name] = option.combine(texts.map((text) => readValue(name, option, text)));
  }
  return values as Values<S>;
}

function readValue(name: string, option: Option<unknown>, text: string | undefined): unknown {
  if (option.parse === undefined) {
    if (text === undefined) return true;
    throw new ValueError(`--${name} is a switch and takes no value (it was given "${text}")`);
  }
  if (text === undefined) throw new ValueError(`--${name} needs a value: --${name} ${option.placeholder}`);
  try {
    return option.parse(text);
  } catch (error) {
    throw error instanceof ValueError ? new ValueError(`--${name} ${text}: ${error.message}`) : error;
  }
}
