/*
 * Which features need which others (SDM vol. 1, 13 and 14; requirements S3, 4.3): a processor with the first and without the second was never
 * built, and software does not ask for it.
 */
const table = `
x2apic: apic
tsc-deadline: apic tsc
arat: apic
tsc-adjust: tsc msr
invtsc: tsc
mca: mce
pse36: pse
sse: fxsr
sse2: sse
sse3: sse2
ssse3: sse3
sse4.1: ssse3
sse4.2: sse4.1
sse4a: sse3
mmxext: mmx
aes: sse2
pclmulqdq: sse2
sha-ni: sse2
gfni: sse2
lm: pae cx8 msr fxsr sse sse2
lahf-lm: lm
cx16: lm
syscall: lm
pdpe1gb: lm
rdtscp: tsc
fsgsbase: lm
pcid: lm
la57: lm
pku: lm xsave
pks: lm
xsaveopt: xsave
xsavec: xsave
xgetbv1: xsave
xsaves: xsavec
xfd: xsave
avx: xsave sse4.2
fma: avx
f16c: avx
avx2: avx
vaes: avx aes
vpclmulqdq: avx pclmulqdq
avx-vnni: avx2
avx-ifma: avx2
fma4: avx
xop: avx
mpx: xsave
avx512f: avx2 fma f16c
avx512dq: avx512f
avx512ifma: avx512f
avx512pf: avx512f
avx512er: avx512f
avx512cd: avx512f
avx512bw: avx512f
avx512vl: avx512f
avx512vbmi: avx512bw
avx512vbmi2: avx512bw
avx512vnni: avx512f
avx512bitalg: avx512bw
avx512-vpopcntdq: avx512f
avx512-4vnniw: avx512f
avx512-4fmaps: avx512f
avx512-vp2intersect: avx512f
avx512-bf16: avx512bw
avx512-fp16: avx512bw avx512vl
amx-tile: xsave xfd
amx-bf16: amx-tile
amx-int8: amx-tile
amx-fp16: amx-tile
shstk: xsaves
ibt: xsaves
uintr: xsaves
arch-lbr: xsaves
x2avic: avic x2apic
avic: svm npt apic
vnmi: svm
vgif: svm
npt: svm
sbpb: ibpb
`;

/** What a feature needs beside itself; features that need nothing are not in it. */
export const featureNeeds: ReadonlyMap<string, readonly string[]> = new Map(
  table
    .trim()
    .split('\n')
    .map((line): [string, string[]] => {
      const [feature, needs] = line.split(': ');
      return [feature, needs.split(' ')];
    }),
);

/** A feature that cannot be there, and what it would need. */
export interface MissingNeed {
  readonly feature: string;
  readonly needs: string;
}

/** Takes away what has lost something that it needs, and what needs that in turn. @returns what went, in the order in which it went */
export function clearDependants(features: Set<string>): MissingNeed[] {
  const cleared: MissingNeed[] = [];
  for (let before = -1; before !== cleared.length; ) {
    before = cleared.length;
    for (const feature of features) {
      const needs = featureNeeds.get(feature)?.find((need) => !features.has(need));
      if (needs === undefined) continue;
      features.delete(feature);
      cleared.push({ feature, needs });
    }
  }
  return cleared;
}
