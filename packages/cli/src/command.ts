import type { Io } from './io.ts';
import { parseArgv } from './options/argv.ts';
import { flag, type Option, type Schema, type Values } from './options/schema.ts';

/** A sub-command: one file in commands/ exports one, commands/index.ts gives it its name. */
export interface Command {
  /** Lines that show how it is called, without `nest86 NAME`. */
  readonly usage: readonly string[];
  /** Paragraphs and examples below the options, ready to print. */
  readonly notes: string;
  readonly schema: Schema;
  /** Answers the exit code, or throws a Complaint. */
  run(argv: readonly string[], io: Io): Promise<number>;
}

interface Definition<S extends Schema> {
  readonly usage: readonly string[];
  readonly notes: string;
  readonly options: S;
  run(values: Values<S>, positionals: readonly string[], io: Io): Promise<number>;
}

const helpOption: Option<boolean> = flag({ short: 'h', help: 'Show this text.' });

/** Ties a table of options to the function that receives their values, typed. */
export function defineCommand<S extends Schema>(definition: Definition<S>): Command {
  const { usage, notes, options } = definition;
  // `--help` itself is answered by runCli, before anything else can be wrong.
  const schema = { ...options, help: helpOption };
  return {
    usage,
    notes,
    schema,
    run(argv, io) {
      const { values, positionals } = parseArgv(schema, argv);
      return definition.run(values as Values<S>, positionals, io);
    },
  };
}
