import {
  boardRequest,
  CpuidFeatureError,
  CpuidOptionError,
  type CpuModelData,
  findModel,
  type ModelRequest,
  modelNames,
  type ResolvedModel,
  resolveModel,
} from '@nest86/machine';
import { UsageError } from '../errors.ts';
import { keyValues } from '../options/key-values.ts';
import { nearest } from '../options/nearest.ts';
import { integer, ValueError, type ValueParser } from '../options/values.ts';

/** `--cpu MODEL,+feature,-feature,key=value`, before it is known what the machine has to offer. */
export interface CpuChoice {
  readonly data: CpuModelData;
  readonly request: Pick<ModelRequest, 'changes' | 'microcode' | 'physicalBits'>;
}

const form = keyValues({
  head: 'MODEL',
  keys: { microcode: integer(0, 0xffff_ffff), 'phys-bits': integer(32, 52) },
  features: true,
});

/** What `--cpu` takes; `help` asks for the list of models. */
export const cpuChoice: ValueParser<CpuChoice | 'help'> = (text) => {
  const { head, features, values } = form(text);
  if (head === 'help') return 'help';
  const data = findModel(head);
  if (data === undefined) {
    const near = nearest(head, modelNames);
    const hint = near === undefined ? '' : `did you mean ${near}? `;
    throw new ValueError(`there is no model "${head}": ${hint}${modelNames.join(', ')} are allowed`);
  }
  const choice: CpuChoice = {
    data,
    request: {
      changes: features,
      ...(values.microcode === undefined ? {} : { microcode: values.microcode }),
      ...(values['phys-bits'] === undefined ? {} : { physicalBits: values['phys-bits'] }),
    },
  };
  // What no machine has is wrong here already.
  try {
    resolveModel(data, { ...boardRequest, ...choice.request });
  } catch (error) {
    throw error instanceof CpuidFeatureError ? new ValueError(error.message) : error;
  }
  return choice;
};

/** What a machine has that was given no `--cpu`. */
export const defaultCpu: CpuChoice = { data: findModel('default') as CpuModelData, request: {} };

/** The processor of a machine that has so much to offer. @throws UsageError */
export function resolveCpu({ data, request }: CpuChoice, machine: ModelRequest): ResolvedModel {
  try {
    return resolveModel(data, { ...machine, ...request });
  } catch (error) {
    if (error instanceof CpuidFeatureError || error instanceof CpuidOptionError)
      throw new UsageError(`--cpu ${data.name}: ${error.message}`);
    throw error;
  }
}

/** One line on what went along with features that were taken away; empty if nothing did. */
export function clearedText({ cleared }: ResolvedModel): string {
  if (cleared.length === 0) return '';
  return `also taken away: ${cleared.map(({ feature, needs }) => `${feature} (needs ${needs})`).join(', ')}\n`;
}

/** For `--cpu help`. */
export function modelList(): string {
  const width = Math.max(...modelNames.map((name) => name.length));
  return modelNames
    .map(
      (name) =>
        `${name.padEnd(width)}   ${findModel(name)?.description}${name === defaultCpu.data.name ? ' (default)' : ''}\n`,
    )
    .join('');
}
