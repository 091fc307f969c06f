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
  [
    7,
    0,
    Register.edx,
    '- sgx-keys avx512-4vnniw avx512-4fmaps fsrm uintr - - avx512-vp2intersect srbds-ctrl md-clear rtm-always-abort - tsx-force-abort serialize hybrid tsxldtrk - pconfig arch-lbr ibt - amx-bf16 avx512-fp16 amx-tile amx-int8 spec-ctrl stibp flush-l1d arch-capabilities core-capability ssbd',
  ],
  [
    7,
    1,
    Register.eax,
    'sha512 sm3 sm4 rao-int avx-vnni avx512-bf16 lass cmpccxadd arch-perfmon-ext - fzrm fsrs fsrc - - - - fred lkgs wrmsrns nmi-source amx-fp16 hreset avx-ifma - - lam msrlist',
  ],
  [
    6,
    0,
    Register.eax,
    'dtherm ida arat - pln ecmd pts hwp hwp-notify hwp-act-window hwp-epp hwp-pkg-req - hdc turbo3 hwp-capabilities hwp-peci flexible-hwp fast-hwp hfi - hwp-idle - ithread-director',
  ],
  [6, 0, Register.ecx, 'aperfmperf - - epb'],
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
  [
    0x80000007,
    0,
    Register.edx,
    'ts fid vid ttp htc stc 100mhzsteps hwpstate invtsc cpb eff-freq-ro proc-feedback-if proc-power-rpt connected-standby rapl fast-cppc',
  ],
  [
    0x80000008,
    0,
    Register.ebx,
    'clzero irperf xsaveerptr invlpgb rdpru - mba - mcommit wbnoinvd - - ibpb int-wbinvd ibrs amd-stibp ibrs-always-on stibp-always-on ibrs-preferred ibrs-same-mode no-efer-lmsle invlpgb-nested - amd-ppin amd-ssbd virt-ssbd amd-ssb-no cppc amd-psfd btc-no ibpb-ret brs',
  ],
  [
    0x8000000a,
    0,
    Register.edx,
    'npt lbrv svm-lock nrip-save tsc-scale vmcb-clean flushbyasid decodeassists pmc-virt - pause-filter - pfthreshold avic - v-vmsave-vmload vgif gmet x2avic sss-check spec-ctrl-virt ro-gpt - host-mce-override tlbi-ctl vnmi ibs-virt extlvt-avic svme-addr-chk bus-lock-threshold idle-hlt',
  ],
  [
    0x80000021,
    0,
    Register.eax,
    'no-nested-data-bp fs-gs-base-ns lfence-always-serializing smm-pgcfg-lock - - null-sel-clr-base upper-address-ignore auto-ibrs no-smm-ctl-msr amd-fsrs amd-fsrc - prefetch-ctl-msr - - - cpuid-user-dis epsf - prefetchi - - - - - eraps sbpb ibpb-brtype srso-no srso-user-kernel-no',
  ],
  [0x80000021, 0, Register.ecx, '- tsa-sq-no tsa-l1-no'],
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

/** EAX, EBX, ECX and EDX of a leaf, as processors answer them. */
export type LeafRow = readonly [
  leaf: number,
  subleaf: number,
  eax: number,
  ebx: number,
  ecx: number,
  edx: number,
];

/** Bits that tell of the moment and belong to no model (S3-03). */
const ofTheMoment: readonly string[] = ['osxsave', 'ospke'];

/** Names of the features whose bits are set in leaves of a real processor. */
export function featuresIn(rows: readonly LeafRow[]): string[] {
  const found: string[] = [];
  for (const [name, { leaf, subleaf, register, bit }] of featureBits) {
    const row = rows.find((row) => row[0] === leaf && row[1] === subleaf);
    if (row !== undefined && ((row[2 + register] >>> bit) & 1) !== 0 && !ofTheMoment.includes(name))
      found.push(name);
  }
  return found;
}
