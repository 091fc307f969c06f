export { type SvmFeatures, svmFeatureNames, svmFeatures } from './features.ts';
export { SvmSnapshotError, type SvmState } from './snapshot.ts';
export { SvmExtension } from './svm-extension.ts';
export { SvmMsr, SvmMsrs, type SvmMsrsParts } from './svm-msrs.ts';
