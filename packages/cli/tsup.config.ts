import type { Options } from 'tsup';

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
  minify: false,
};

export default options;
