import type { Options } from 'tsup';
import { packageBuild } from '../../scripts/lib/package-build.ts';

const options: Options = packageBuild({ index: 'src/index.ts', extension: 'src/extension/index.ts' });

export default options;
