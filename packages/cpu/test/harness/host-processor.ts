import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What is known of the processor that the tests run on, without running anything on it. */

export type Vendor = 'intel' | 'amd';

let info: string | undefined;
let flags: ReadonlySet<string> | undefined;
let isAvailable: boolean | undefined;

/** A field of /proc/cpuinfo, of its first processor. */
function field(name: string): string {
  if (info === undefined) {
    try {
      info = readFileSync('/proc/cpuinfo', 'latin1');
    } catch {
      info = '';
    }
  }
  return new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(info)?.[1] ?? '';
}

/** Whether the host can be asked: Linux on x86-64, and gcc to build what runs there. */
export function hasHost(): boolean {
  isAvailable ??=
    process.arch === 'x64' && process.platform === 'linux' && spawnSync('gcc', ['--version']).status === 0;
  return isAvailable;
}

/** Whose processor the host is; AMD's unless it is Intel's. The engine is compared with it as that vendor's. */
export function hostVendor(): Vendor {
  return field('vendor_id') === 'GenuineIntel' ? 'intel' : 'amd';
}

/** As it calls itself, with family, model and stepping: for records. */
export function hostName(): string {
  return `${field('model name')} (family ${field('cpu family')}, model ${field('model')}, stepping ${field('stepping')})`;
}

/** Names of CPUID bits as Linux has them where they differ from the decoder's, which are the manuals'. */
const kernelNames: Readonly<Record<string, string>> = {
  '3DNOW': '3dnow',
  '3DNOWEXT': '3dnowext',
  SSE3: 'pni',
  ADX: 'adx',
  LZCNT: 'abm',
  CLFSH: 'clflush',
  CX8: 'cx8',
  CMPXCHG16B: 'cx16',
  PREFETCHW: '3dnowprefetch',
  FPU387: 'fpu',
  FPU287: 'fpu',
  SHA: 'sha_ni',
  HLE_or_RTM: 'rtm',
};
/** Named after the processor that introduced them: every one with long mode has them. */
const always = new Set(['8086', '80186', '80286', '80386', '80486', 'X86-64', 'PAUSE', 'MULTIBYTENOP']);

/** Whether the host has a feature, by the name that `cpuidFeatures` of the decoder gives it. */
export function hostHas(feature: string): boolean {
  if (always.has(feature)) return true;
  flags ??= new Set(field('flags').split(' '));
  return flags.has(kernelNames[feature] ?? feature.toLowerCase());
}
