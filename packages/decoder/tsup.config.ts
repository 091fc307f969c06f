import type { Options } from 'tsup';
import { packageBuild } from '../../scripts/lib/package-build.ts';

const options: Options = packageBuild({
  index: 'src/index.ts',
  info: 'src/info/index.ts',
  intel: 'src/format/intel.ts',
  att: 'src/format/att.ts',
  nasm: 'src/format/nasm.ts',
  mnemonic: 'src/mnemonic.ts',
  reference: 'src/reference.ts',
});

export default options;
