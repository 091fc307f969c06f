import type { Options } from 'tsup';
import { keepConst } from '../../scripts/lib/keep-const.ts';

/** One entry per sub-path of the export map; what two of them share lands in a chunk, so nothing is loaded twice. */
const options: Options = {
  entry: {
    index: 'src/index.ts',
    info: 'src/info/index.ts',
    intel: 'src/format/intel.ts',
    att: 'src/format/att.ts',
    nasm: 'src/format/nasm.ts',
    mnemonic: 'src/mnemonic.ts',
    reference: 'src/reference.ts',
  },
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  dts: true,
  clean: true,
  splitting: true,
  treeshake: true,
  sourcemap: false,
  // Readable output; users' bundlers minify.
  minify: false,
  plugins: [keepConst],
  esbuildOptions(options) {
    // Tables are packed into strings: escapes would cost several bytes for each character above 0x7f.
    options.charset = 'utf8';
  },
};

export default options;
