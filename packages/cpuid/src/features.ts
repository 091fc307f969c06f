/** Register of a CPUID leaf: index in EAX EBX ECX EDX. */
export const Register = { eax: 0, ebx: 1, ecx: 2, edx: 3 } as const;

/** Where a feature's bit is (SDM vol. 2A, CPUID; APM vol. 3, appendix E). */
export interface FeatureBit {
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: number;
  readonly bit: number;
}

// Names as Linux and QEMU have them, by leaf and register, from bit 0; "-" is a bit that is no feature or reserved.
const table: readonly (readonly [leaf: number, subleaf: number, register: number, names: string])[] = [
  [
    1,
    0,
    Register.edx,
    'fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - ds acpi mmx fxsr sse sse2 ss ht tm ia64 pbe',
  ],
  [
    1,
    0,
    Register.ecx,
    'sse3 pclmulqdq dtes64 monitor ds-cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave osxsave avx f16c rdrand hypervisor',
  ],
  [
    7,
    0,
    Register.ebx,
    'fsgsbase tsc-adjust sgx bmi1 hle avx2 fdp-excptn smep bmi2 erms invpcid rtm pqm zero-fcs-fds mpx pqe avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel-pt avx512pf avx512er avx512cd sha-ni avx512bw avx512vl',
  ],
  [
    7,
    0,
    Register.ecx,
    'prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512vbmi2 shstk gfni vaes vpclmulqdq avx512vnni avx512bitalg tme avx512-vpopcntdq - la57 - - - - - rdpid kl bus-lock-detect cldemote - movdiri movdir64b enqcmd sgxlc pks',
  ],
  [13, 1, Register.eax, 'xsaveopt xsavec xgetbv1 xsaves xfd'],
  [
    0x80000001,
    0,
    Register.edx,
    '- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr-opt pdpe1gb rdtscp - lm 3dnowext 3dnow',
  ],
  [
    0x80000001,
    0,
    Register.ecx,
    'lahf-lm cmp-legacy svm extapic cr8legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 tce - nodeid-msr - tbm topoext perfctr-core perfctr-nb - dbx perftsc pcx-l2i monitorx addr-mask-ext',
  ],
  [0x80000008, 0, Register.ebx, 'clzero irperf xsaveerptr invlpgb rdpru - - - mcommit wbnoinvd'],
];

/** All features by name. */
export const featureBits: ReadonlyMap<string, FeatureBit> = new Map(
  table.flatMap(([leaf, subleaf, register, names]) =>
    names
      .split(' ')
      .map((name, bit): [string, FeatureBit] => [name, { leaf, subleaf, register, bit }])
      .filter(([name]) => name !== '-'),
  ),
);
