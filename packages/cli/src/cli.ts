import { type CommandEntry, commands } from './commands/index.ts';
import { Complaint, ExitCode, OutputClosed, UsageError } from './errors.ts';
import { commandHelp, mainHelp } from './help.ts';
import type { Io } from './io.ts';
import { nearest } from './options/nearest.ts';
import { alternatives } from './options/values.ts';
import { version } from './version.ts';

/**
 * The whole command: `argv` without node and script. Answers the exit code and never throws. Whatever went wrong is
 * one line on stderr.
 */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  let name = 'nest86';
  try {
    const [first, ...rest] = argv;
    if (first === undefined || first === '-h' || first === '--help') return await print(io, mainHelp());
    if (first === '-V' || first === '--version') return await print(io, `nest86 ${version()}\n`);
    if (first === 'help') return rest.length === 0 ? await print(io, mainHelp()) : await help(rest[0], io);
    if (first.startsWith('-'))
      throw new UsageError(`no such option: ${first}; a command comes first: ${commandNames()}`);
    name = `nest86 ${first}`;
    if (asksForHelp(rest)) return await help(first, io);
    const command = await find(first).load();
    return await command.run(rest, io);
  } catch (error) {
    return await report(error, name, io);
  }
}

const commandNames = () => alternatives(commands.map((command) => command.name));

function asksForHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end < 0 ? argv : argv.slice(0, end)).some((word) => word === '--help' || word === '-h');
}

function find(name: string): CommandEntry {
  const entry = commands.find((command) => command.name === name);
  if (entry !== undefined) return entry;
  const near = nearest(
    name,
    commands.map((command) => command.name),
  );
  const hint = near ? `did you mean ${near}?` : `${commandNames()} is allowed`;
  throw new UsageError(`no such command; ${hint}`);
}

async function help(name: string, io: Io): Promise<number> {
  const entry = find(name);
  return await print(io, commandHelp(entry, await entry.load()));
}

async function print(io: Io, text: string): Promise<number> {
  await io.stdout.write(text);
  return ExitCode.ok;
}

async function report(error: unknown, name: string, io: Io): Promise<number> {
  if (error instanceof OutputClosed) return ExitCode.ok;
  const complaint = error instanceof Complaint ? error : undefined;
  try {
    await io.stderr.write(`${name}: ${complaint?.message ?? defect(error, io)}\n`);
  } catch {
    // stderr is gone too: the exit code is all that is left.
  }
  return complaint?.exitCode ?? ExitCode.internal;
}

function defect(error: unknown, io: Io): string {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const details = io.environment.NEST86_DEBUG ? `\n${stack}` : ' (NEST86_DEBUG=1 shows where)';
  return `a defect of nest86, please report it: ${message}${details}`;
}
