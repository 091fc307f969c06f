import type { Options } from 'tsup';
import { keepConst } from '../../scripts/lib/keep-const.ts';

const options: Options = {
  entry: { main: 'src/main.ts' },
  format: 'esm',
  target: 'es2022',
  platform: 'node',
  dts: false,
  clean: true,
  splitting: true,
  treeshake: true,
  sourcemap: false,
  plugins: [keepConst],
  minify: false,
};

export default options;
