/** One section of kvm-unit-tests' `unittests.cfg`, as far as it concerns a machine. */
export interface Configuration {
  readonly name: string;
  /** Name of the image in the folder x86. */
  readonly file: string;
  readonly processors: number;
  /** Command line behind the file's name. */
  readonly arguments: string;
  /** Options of QEMU's command line. */
  readonly parameters: readonly string[];
  readonly groups: readonly string[];
  readonly arch: string | undefined;
  /** Seconds. */
  readonly timeout: number | undefined;
}

/** The sections in their order; comments and keys that concern only hosts are left out. */
export function readConfigurations(text: string): Configuration[] {
  const sections: { name: string; values: Map<string, string> }[] = [];
  for (const line of text.split('\n')) {
    const section = /^\[(.*)\]$/.exec(line);
    if (section !== null) sections.push({ name: section[1], values: new Map() });
    const value = /^([a-z_]+)\s*=\s*(.*)$/.exec(line);
    if (value !== null) sections.at(-1)?.values.set(value[1], value[2].trim());
  }
  return sections.map(({ name, values }) => ({
    name,
    file: values.get('file') ?? '',
    processors: Number(values.get('smp') ?? 1),
    // A shell would run what is in backquotes: the time of day.
    arguments: unquoted(values.get('test_args') ?? '').replace(/`[^`]*`/g, '0'),
    parameters: words(values.get('qemu_params') ?? ''),
    groups: words(values.get('groups') ?? ''),
    arch: values.get('arch'),
    timeout: values.has('timeout') ? Number(values.get('timeout')) : undefined,
  }));
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

function unquoted(text: string): string {
  return /^(["']).*\1$/.test(text) ? text.slice(1, -1) : text;
}

/** For which processors FOLDER was configured, by its `config.mak`. */
export function builtFor(text: string): string {
  return /^ARCH=(\S+)$/m.exec(text)?.[1] ?? 'x86_64';
}

/**
 * Why a configuration is not for this machine; undefined: it is.
 *
 * @param build what the images were built for: `x86_64` or `i386`
 */
export function whyNot(
  { name, file, groups, arch, parameters }: Configuration,
  build: string,
): string | undefined {
  if (arch !== undefined && arch !== build) return `built for ${arch} alone`;
  if (groups.includes('hyperv')) return "needs Hyper-V's interface";
  if (groups.includes('pmu')) return 'needs performance monitoring';
  if (name === 'access_fep') return "needs KVM's forced emulation";
  if (['vmexit_vmcall', 'hypercall', 'kvmclock_test', 'asyncpf', 'vmware_backdoors'].includes(name))
    return 'needs KVM itself';
  if (name === 's3') return 'needs suspend to RAM';
  if (file === 'intel-iommu.flat') return 'needs an IOMMU';
  return parameters.includes('hyperv-testdev') ? "needs Hyper-V's interface" : undefined;
}

/** Value of an option of QEMU's, such as `-m`. */
export function parameter({ parameters }: Configuration, option: string): string | undefined {
  const at = parameters.indexOf(option);
  return at < 0 ? undefined : parameters[at + 1];
}

/** Bytes of RAM; 128 MiB if nothing is said. */
export function memorySize(configuration: Configuration): number {
  const [, number, unit] = /^(\d+)([gGmM]?)$/.exec(parameter(configuration, '-m') ?? '128') ?? [];
  return Number(number) * (unit?.toLowerCase() === 'g' ? 2 ** 30 : 2 ** 20);
}
