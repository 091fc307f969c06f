import { packageBuild } from '../../scripts/lib/package-build.ts';

export default packageBuild({ main: 'src/main.ts' }, { platform: 'node', dts: false });
