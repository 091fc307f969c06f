import type { Command } from './command.ts';
import { type CommandEntry, commands } from './commands/index.ts';
import type { Option } from './options/schema.ts';

const width = 96;

/** `nest86 --help` */
export function mainHelp(): string {
  const longest = Math.max(...commands.map(({ name }) => name.length));
  return [
    'nest86: an x86-64 machine in TypeScript',
    '',
    'Usage: nest86 COMMAND [OPTIONS]',
    '',
    'Commands:',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(longest)}   ${summary}`),
    '',
    'Options:',
    '  -h, --help      Show this text; `nest86 COMMAND --help` explains a command.',
    '  -V, --version   Show the version.',
    '',
    'Try: nest86 decode --hex "48 01 d8"',
    '',
  ].join('\n');
}

/** `nest86 COMMAND --help` */
export function commandHelp({ name: commandName, summary }: CommandEntry, command: Command): string {
  const groups = new Map<string, [string, string][]>();
  for (const [name, option] of Object.entries(command.schema)) {
    const group = option.group ?? 'Options';
    groups.set(group, [...(groups.get(group) ?? []), [optionHead(name, option), option.help]]);
  }
  const longest = Math.max(...[...groups.values()].flat().map(([head]) => head.length));
  const lines = [`nest86 ${commandName}: ${summary}`, ''];
  command.usage.forEach((usage, index) => {
    lines.push(`${index === 0 ? 'Usage:' : '      '} nest86 ${commandName} ${usage}`);
  });
  for (const [group, options] of groups) {
    lines.push('', `${group}:`);
    for (const [head, help] of options) lines.push(...column(head, help, longest + 5));
  }
  return `${lines.join('\n')}\n\n${command.notes.trim()}\n`;
}

function optionHead(name: string, { short, placeholder }: Option<unknown>): string {
  return `${short ? `-${short}, ` : '    '}--${name}${placeholder ? ` ${placeholder}` : ''}`;
}

/** `head` with `text` beside it, wrapped. */
function column(head: string, text: string, indent: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line += line === '' ? word : ` ${word}`;
  }
  lines.push(line);
  return lines.map((part, index) => (index === 0 ? `  ${head}` : '').padEnd(indent) + part);
}
