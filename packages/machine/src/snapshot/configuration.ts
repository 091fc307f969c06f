import { type CpuidModel, cpuidEntries } from '@nest86/cpuid';
import { crc32 } from './crc32.ts';

/** What a machine must have in common with the one that was saved. */
export interface SnapshotConfiguration {
  /** Bytes of RAM. */
  readonly memory: number;
  readonly processors: number;
  readonly clock: 'deterministic' | 'realtime';
  readonly cpu: CpuConfiguration;
  /** Virtio devices by slot: type and features as the standard numbers them. */
  readonly devices: readonly DeviceConfiguration[];
  /** There is QEMU's pc-testdev. */
  readonly testDevice: boolean;
}

interface CpuConfiguration {
  readonly vendor: string;
  readonly brand: string;
  /** CPUID 1, EAX. */
  readonly signature: number;
  readonly features: readonly string[];
  /** CRC-32 of all leaves, of the frequencies and of the MSRs that CPUID tells of. */
  readonly leaves: number;
}

interface DeviceConfiguration {
  readonly type: number;
  readonly features: number;
  /** Configuration space, that a guest changes nothing in; of consoles it is their state. */
  readonly config: readonly number[];
}

/** Virtio 1.2, 5: device types. */
const deviceNames: Readonly<Record<number, string>> = { 2: 'disk', 3: 'console', 4: 'entropy' };
const consoleType = 3;

export function cpuConfiguration(model: CpuidModel): CpuConfiguration {
  const entries = cpuidEntries(model, { osxsave: true, ospke: true, apicId: 0, xcr0: 1 });
  const { vendor, brand, signature, frequencies, microcode, archCapabilities } = model;
  const { tsc, crystal } = frequencies;
  const words = Uint32Array.from([...entries.flat(), tsc, crystal, microcode, ...archCapabilities]);
  return {
    vendor,
    brand,
    signature,
    features: [...model.features].sort(),
    leaves: crc32(new Uint8Array(words.buffer)),
  };
}

export function deviceConfiguration(device: {
  readonly type: number;
  readonly features: number;
  readonly config: Uint8Array;
}): DeviceConfiguration {
  const { type, features, config } = device;
  return { type, features, config: type === consoleType ? [] : [...config] };
}

/** What differs, in words: one line for each. */
export function differences(saved: SnapshotConfiguration, own: SnapshotConfiguration): string[] {
  const found: string[] = [];
  const compare = (what: string, there: string | number, here: string | number): void => {
    if (there !== here) found.push(`${what}: ${there} in the snapshot, ${here} here`);
  };
  compare('memory', `${saved.memory} bytes`, `${own.memory} bytes`);
  compare('processors', saved.processors, own.processors);
  compare('clock', saved.clock, own.clock);
  compareCpu(saved.cpu, own.cpu, compare);
  compare('test device', saved.testDevice ? 'one' : 'none', own.testDevice ? 'one' : 'none');
  for (let slot = 0; slot < Math.max(saved.devices.length, own.devices.length); slot++)
    compare(`device ${slot}`, deviceText(saved.devices[slot]), deviceText(own.devices[slot]));
  return found;
}

function compareCpu(
  saved: CpuConfiguration,
  own: CpuConfiguration,
  compare: (what: string, there: string | number, here: string | number) => void,
): void {
  compare('CPU vendor', saved.vendor, own.vendor);
  compare('CPU', saved.brand, own.brand);
  compare('CPU signature', `${hex(saved.signature)}h`, `${hex(own.signature)}h`);
  const lacking = saved.features.filter((name) => !own.features.includes(name));
  const further = own.features.filter((name) => !saved.features.includes(name));
  const features = lacking.length + further.length > 0;
  if (features) compare('CPU features', lacking.join(' ') || 'no other', further.join(' ') || 'no other');
  // One of the above shows in the leaves, too.
  if (saved.vendor === own.vendor && saved.signature === own.signature && !features)
    compare('CPUID leaves', `checksum ${hex(saved.leaves)}`, `checksum ${hex(own.leaves)}`);
}

/** A device in words. */
export function deviceText(device: DeviceConfiguration | undefined): string {
  if (device === undefined) return 'none';
  const { type, features, config } = device;
  const name = deviceNames[type] ?? `type ${type}`;
  const shown = config.length === 0 ? '' : `, configuration ${hex(crc32(Uint8Array.from(config)))}`;
  // The capacity comes first (5.2.4), in sectors of 512 bytes.
  const size =
    name === 'disk'
      ? ` of ${config.slice(0, 8).reduceRight((sum, byte) => sum * 256 + byte, 0) * 512} bytes`
      : '';
  return `${name}${size} (features ${hex(features)}${shown})`;
}

function hex(value: number): string {
  return (value >>> 0).toString(16);
}
