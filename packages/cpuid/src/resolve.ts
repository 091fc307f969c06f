import { clearDependants, type MissingNeed } from './dependencies.ts';
import { CpuidFeatureError } from './errors.ts';
import { featureBits } from './features.ts';
import { CpuidModel, type Frequencies, type HypervisorRange } from './model.ts';
import { zen2, zen4 } from './models/amd.ts';
import { x8664v2, x8664v3 } from './models/generic.ts';
import { alderLake, skylakeServer } from './models/intel.ts';
import type { CpuModelData } from './models/model-data.ts';
import type { TopologyInit } from './topology.ts';

/** Models by name. */
export const cpuModels: ReadonlyMap<string, CpuModelData> = new Map(
  [x8664v2, x8664v3, skylakeServer, alderLake, zen2, zen4].map((data) => [data.name, data]),
);

export interface ModelRequest {
  /** Features to add and to take away; the last word on a name counts. */
  readonly changes?: Iterable<readonly [feature: string, isOn: boolean]>;
  /** What can be had at all: everything else of the model is left out. Default: everything. */
  readonly available?: Iterable<string>;
  /** What can be had, but only by `changes`. Default: nothing. */
  readonly onRequest?: Iterable<string>;
  /**
   * Features without what they need (S3-10): `fix` takes them away and reports them, but refuses those that were asked for; `strict` refuses
   * all; `raw` leaves them. Default `fix`.
   */
  readonly mode?: 'fix' | 'strict' | 'raw';
  readonly topology?: TopologyInit;
  readonly frequencies?: Frequencies;
  readonly hypervisor?: readonly HypervisorRange[];
  /** Instead of the model's. */
  readonly physicalBits?: number;
  readonly microcode?: number;
}

export interface ResolvedModel {
  readonly model: CpuidModel;
  /** Features of the real processor that cannot be had. */
  readonly leftOut: readonly string[];
  /** What went because something that it needs was taken away. */
  readonly cleared: readonly MissingNeed[];
}

/** Bits that topology decides, whatever a model says. */
const ofTopology: readonly string[] = ['ht', 'cmp-legacy'];

/**
 * A processor as it can be had: the features of the model that are available, with those of the request added and taken away.
 *
 * @throws CpuidFeatureError for names that do not exist, features that cannot be had, and those whose needs are not met
 */
export function resolveModel(data: CpuModelData, request: ModelRequest = {}): ResolvedModel {
  const { mode = 'fix', changes = [] } = request;
  const onRequest = new Set(request.onRequest);
  const available = request.available === undefined ? undefined : new Set(request.available);
  const asked = new Map(changes);
  const canBe = (name: string): boolean => available === undefined || available.has(name);
  const features = new Set<string>();
  const leftOut: string[] = [];
  for (const name of data.features) {
    if (asked.has(name) || ofTopology.includes(name)) continue;
    if (canBe(name)) features.add(name);
    else leftOut.push(name);
  }
  for (const [name, isOn] of asked) {
    if (!featureBits.has(name))
      throw new CpuidFeatureError(`feature "${name}": allowed are ${[...featureBits.keys()].join(', ')}`);
    if (!isOn) continue;
    if (name === 'svm' && data.vendor === 'intel' && mode !== 'raw')
      throw new CpuidFeatureError(`+svm: ${data.name} is a processor of Intel, and only AMD's have it`);
    if (!canBe(name) && !onRequest.has(name))
      throw new CpuidFeatureError(`+${name}: this machine does not have it, whatever the model`);
    features.add(name);
  }
  const cleared = mode === 'raw' ? [] : clearDependants(features);
  const refused = cleared.filter(({ feature }) => mode === 'strict' || asked.get(feature) === true);
  if (refused.length > 0)
    throw new CpuidFeatureError(
      refused
        .map(
          ({ feature, needs }) =>
            `${feature} needs ${needs}, ${asked.get(needs) === false ? 'which is taken away' : `which ${data.name} does not have here`}`,
        )
        .join('; '),
    );
  const {
    topology,
    frequencies,
    hypervisor,
    physicalBits = data.physicalBits,
    microcode = data.microcode,
  } = request;
  const model = new CpuidModel({
    ...data,
    features,
    physicalBits,
    microcode,
    ...(topology && { topology }),
    ...(frequencies && { frequencies }),
    ...(hypervisor && { hypervisor }),
  });
  return { model, leftOut, cleared };
}
