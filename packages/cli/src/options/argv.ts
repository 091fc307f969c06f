import { parseArgs } from 'node:util';
import { UsageError } from '../errors.ts';
import { nearest } from './nearest.ts';
import { readValues, type Schema, type Values } from './schema.ts';
import { ValueError } from './values.ts';

/** Options of a command line and the words that are none. @throws UsageError */
export function parseArgv<S extends Schema>(
  schema: S,
  argv: readonly string[],
): { values: Values<S>; positionals: string[] } {
  const options = Object.fromEntries(
    Object.entries(schema).map(([name, { parse, short }]) => [
      name,
      { type: parse ? ('string' as const) : ('boolean' as const), ...(short ? { short } : {}) },
    ]),
  );
  // Not strict: its errors would be Node's sentences, which do not say what is allowed.
  const { tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const given = new Map<string, (string | undefined)[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    if (!Object.hasOwn(schema, token.name)) throw new UsageError(unknownOption(token.rawName, schema));
    // `--limit --stats`: the second is an option that would be swallowed. `--append=--stats` says it is meant.
    const swallowed = token.value !== undefined && !token.inlineValue && /^-[-a-z]/i.test(token.value);
    const texts = given.get(token.name) ?? [];
    texts.push(swallowed ? undefined : token.value);
    given.set(token.name, texts);
  }
  try {
    return { values: readValues(schema, given), positionals };
  } catch (error) {
    throw error instanceof ValueError ? new UsageError(oneLine(error.message)) : error;
  }
}

/** A value may hold anything, a message must be one line. */
function oneLine(message: string): string {
  return message.replace(/\s+/g, ' ');
}

function unknownOption(rawName: string, schema: Schema): string {
  const known = Object.keys(schema);
  const near = rawName.startsWith('--') ? nearest(rawName.slice(2), known) : undefined;
  const hint = near ? `did you mean --${near}?` : `there are ${known.map((name) => `--${name}`).join(', ')}`;
  return `no such option: ${oneLine(rawName)}; ${hint}`;
}
