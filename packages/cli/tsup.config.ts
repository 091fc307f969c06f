import type { Options } from 'tsup';
import { packageBuild } from '../../scripts/lib/package-build.ts';

const options: Options = packageBuild({ main: 'src/main.ts' }, { platform: 'node', dts: false });

export default options;
