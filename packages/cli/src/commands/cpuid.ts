import { boardRequest } from '@nest86/machine';
import { type Command, defineCommand } from '../command.ts';
import { type CpuChoice, cpuChoice, defaultCpu, modelList, resolveCpu } from '../cpu/cpu-option.ts';
import { cpuDescription } from '../cpu/description.ts';
import { rawListing } from '../cpu/raw-listing.ts';
import { ExitCode, UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { flag, type Values, withDefault } from '../options/schema.ts';
import { integer } from '../options/values.ts';

const options = {
  cpu: withDefault<CpuChoice | 'help'>(defaultCpu, cpuChoice, 'MODEL', {
    help: `Processor, with features added or taken away: zen4,-avx2,+monitor. "help" lists the models. Default: ${defaultCpu.data.name}.`,
  }),
  smp: withDefault(1, integer(1, 64), 'N', { help: 'Processors of the machine. Default: 1.' }),
  raw: flag({ help: 'Print all leaves as numbers, in the form of `cpuid -r`.' }),
};

const notes = `
What a guest of \`nest86 run\` finds with the same --cpu and --smp, under an operating system that uses all of it. A
model has what the real processor has, as far as this machine can do it; the rest is listed as left out.
Keys: microcode=N (revision), phys-bits=N (width of physical addresses, 32 to 52).

Examples:
  nest86 cpuid --cpu help                  the models
  nest86 cpuid --cpu zen4 --smp 4          one of them in words
  nest86 cpuid --cpu alder-lake --raw      in numbers
  nest86 cpuid --cpu x86-64-v3,-sse2       what goes with SSE2`;

export const cpuidCommand: Command = defineCommand({ usage: ['[OPTIONS]'], notes, options, run });

async function run(values: Values<typeof options>, positionals: readonly string[], io: Io): Promise<number> {
  const { cpu, smp, raw } = values;
  if (positionals.length > 0) throw new UsageError(`"${positionals[0]}": the model is given by --cpu`);
  if (cpu === 'help') {
    await io.stdout.write(modelList());
    return ExitCode.ok;
  }
  const resolved = resolveCpu(cpu, { ...boardRequest, topology: { cores: smp } });
  await io.stdout.write(raw ? rawListing(resolved.model) : cpuDescription(cpu, resolved));
  return ExitCode.ok;
}
