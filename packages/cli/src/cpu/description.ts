import { type CpuidModel, cpuidEntries, type ResolvedModel } from '@nest86/machine';
import type { CpuChoice } from './cpu-option.ts';
import { seenFrom } from './raw-listing.ts';

const width = 100;
const indent = 14;

/** A processor in words: what CPUID tells, and what it does not because this machine lacks it. */
export function cpuDescription({ data }: CpuChoice, resolved: ResolvedModel): string {
  const { model, leftOut, cleared } = resolved;
  const { topology, frequencies, signature } = model;
  const family = ((signature >> 8) & 15) + ((signature >> 20) & 255);
  const modelNumber = ((signature >> 4) & 15) | ((signature >> 12) & 0xf0);
  const hex = (value: number): string => `${(value >>> 0).toString(16).toUpperCase()}h`;
  const ids = Array.from({ length: topology.processors }, (_, i) => topology.apicId(i));
  const megahertz = (hertz: number): string => `${hertz / 1e6} MHz`;
  const rows: [string, string][] = [
    ['model', `${data.name}: ${data.description}`],
    ['brand', model.brand],
    [
      'signature',
      `${hex(signature)}: ${model.vendor === 'intel' ? 'GenuineIntel' : 'AuthenticAMD'}, family ${hex(family)}, ` +
        `model ${hex(modelNumber)}, stepping ${signature & 15}; microcode ${hex(model.microcode)}`,
    ],
    ['addresses', `${model.physicalBits} bits physical, ${model.linearBits} bits linear`],
    [
      'topology',
      `${count(topology.packages, 'package')} of ${count(topology.cores, 'core')} of ${count(topology.threads, 'thread')}; ` +
        `APIC ids ${ids.join(' ')}`,
    ],
    ['caches', caches(model).join('; ')],
    [
      'clocks',
      model.vendor === 'intel'
        ? `time stamp counter ${megahertz(frequencies.tsc)}, crystal ${megahertz(frequencies.crystal)}`
        : `time stamp counter ${megahertz(frequencies.tsc)}; CPUID does not tell it`,
    ],
    ['features', [...model.features].join(' ')],
  ];
  if (cleared.length > 0)
    rows.push(['taken away', cleared.map(({ feature, needs }) => `${feature} (needs ${needs})`).join(', ')]);
  if (leftOut.length > 0) rows.push(['left out', `${leftOut.join(' ')} (this machine does not have them)`]);
  return rows.map(([head, text]) => row(head, text)).join('');
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

const cacheTypes = ['', 'data', 'instructions', 'unified'];

function caches(model: CpuidModel): string[] {
  const leaf = model.vendor === 'intel' ? 4 : 0x8000001d;
  return cpuidEntries(model, seenFrom(model, 0))
    .filter(([index, , eax]) => index === leaf && (eax & 31) !== 0)
    .map(([, , eax, ebx, ecx]) => {
      const ways = (ebx >>> 22) + 1;
      const bytes = ways * (((ebx >>> 12) & 0x3ff) + 1) * ((ebx & 0xfff) + 1) * (ecx + 1);
      return `L${(eax >>> 5) & 7} ${cacheTypes[eax & 31]} ${bytes / 1024} KiB, ${ways} ways`;
    });
}

function row(head: string, text: string): string {
  let line = head.padEnd(indent);
  let lines = '';
  for (const word of text.split(' ')) {
    if (line.length > indent && line.length + 1 + word.length > width) {
      lines += `${line}\n`;
      line = ' '.repeat(indent);
    }
    line += line.length > indent ? ` ${word}` : word;
  }
  return `${lines}${line.trimEnd()}\n`;
}
