import type { Options } from 'tsup';
import { packageBuild } from '../../scripts/lib/package-build.ts';

const options: Options = packageBuild({ index: 'src/index.ts' });

export default options;
