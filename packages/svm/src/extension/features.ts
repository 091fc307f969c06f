/** What of SVM the processor has: bits of CPUID Fn8000_000A_EDX by the names of `@nest86/cpuid`. */
export interface SvmFeatures {
  /** Nested paging. */
  readonly npt: boolean;
  readonly svmLock: boolean;
  readonly nripSave: boolean;
  readonly tscScale: boolean;
  readonly flushByAsid: boolean;
  readonly decodeAssists: boolean;
  readonly pauseFilter: boolean;
  readonly pauseThreshold: boolean;
}

/** Those that work here, as CPUID names them: what a model may have. */
export const svmFeatureNames: readonly string[] =
  'svm npt svm-lock nrip-save tsc-scale vmcb-clean flushbyasid decodeassists pause-filter pfthreshold'.split(
    ' ',
  );

/** @param has whether CPUID has a feature */
export function svmFeatures(has: (name: string) => boolean): SvmFeatures {
  return {
    npt: has('npt'),
    svmLock: has('svm-lock'),
    nripSave: has('nrip-save'),
    tscScale: has('tsc-scale'),
    flushByAsid: has('flushbyasid'),
    decodeAssists: has('decodeassists'),
    pauseFilter: has('pause-filter'),
    pauseThreshold: has('pfthreshold'),
  };
}
