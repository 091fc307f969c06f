import type { Options } from 'tsup';
import { packageBuild } from '../../scripts/lib/package-build.ts';

const options: Options = packageBuild(
  { index: 'src/index.ts', virtualization: 'src/virtualization/index.ts' },
  // What is `@internal` is not in the published types.
  { dts: { compilerOptions: { stripInternal: true } } },
);

export default options;
