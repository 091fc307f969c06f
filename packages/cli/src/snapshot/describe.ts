import { deviceText, type Snapshot } from '@nest86/machine';

const partOfRam = /^ram\/\d+$/;

/** What a snapshot is of, and its units. @param fileSize bytes */
export function describeSnapshot(
  { configuration, retired, guestTime, units }: Snapshot,
  fileSize: number,
): string {
  const { memory, processors, clock, cpu, devices, testDevice } = configuration;
  const sum = retired.reduce((total, count) => total + count, 0);
  const each = processors > 1 ? ` (${retired.join(' ')})` : '';
  const lines: [string, string][] = [
    ['file', `${fileSize} bytes`],
    [
      'machine',
      `${processors} ${processors > 1 ? 'processors' : 'processor'}, ${memory / 2 ** 20} MiB, ${clock} time`,
    ],
    ['CPU', `${cpu.brand}, signature ${cpu.signature.toString(16).toUpperCase()}h`],
    ...devices.map((device, slot): [string, string] => [`device ${slot}`, deviceText(device)]),
    ...(testDevice ? [['device', 'pc-testdev'] as [string, string]] : []),
    ['instructions', `${sum}${each}`],
    ['guest time', `${(guestTime / 1e9).toFixed(9)} s`],
  ];
  const ram = units.filter(({ name }) => partOfRam.test(name));
  const sizes: [string, string][] = units
    .filter(({ name }) => !partOfRam.test(name))
    .map(({ name, bytes }) => [name, `${bytes.length}`]);
  sizes.push([`ram/… (${ram.length})`, `${ram.reduce((total, { bytes }) => total + bytes.length, 0)}`]);
  const head = lines.map(([what, text]) => `${what.padEnd(14)}${text}\n`);
  const table = sizes.map(([name, bytes]) => `${name.padEnd(20)}${bytes.padStart(12)}\n`);
  return `${head.join('')}\n${'unit'.padEnd(20)}${'bytes'.padStart(12)}\n${table.join('')}`;
}
