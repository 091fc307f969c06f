import { type Command, defineCommand } from '../command.ts';
import { ExitCode, UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import type { Values } from '../options/schema.ts';
import { describeSnapshot } from '../snapshot/describe.ts';
import { openSnapshot } from '../snapshot/read.ts';

const options = {};

const notes = `
info: what machine was saved, when, and how large each part of it is. The whole file is read, and its checksums are
compared.

Examples:
  nest86 snapshot info boot.snap           configuration, instructions, units and their sizes`;

export const snapshotCommand: Command = defineCommand({ usage: ['info FILE'], notes, options, run });

async function run(_values: Values<typeof options>, positionals: readonly string[], io: Io): Promise<number> {
  const [action, path, ...others] = positionals;
  if (action !== 'info') throw new UsageError(`"${action ?? ''}": "info FILE" is what can be asked`);
  if (path === undefined || others.length > 0) throw new UsageError('info: one FILE is asked for');
  const { snapshot, fileSize } = await openSnapshot(path, io);
  await io.stdout.write(describeSnapshot(snapshot, fileSize));
  return ExitCode.ok;
}
