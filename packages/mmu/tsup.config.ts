import type { Options } from 'tsup';
import { keepConst } from '../../scripts/lib/keep-const.ts';

const options: Options = {
  entry: { index: 'src/index.ts' },
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  dts: true,
  clean: true,
  treeshake: true,
  sourcemap: false,
  plugins: [keepConst],
  // Readable output; users' bundlers minify.
  minify: false,
};

export default options;
