import type { Options } from 'tsup';
import { keepConst } from '../../scripts/lib/keep-const.ts';

const options: Options = {
  entry: { main: 'src/main.ts' },
  format: 'esm',
  target: 'es2022',
  platform: 'node',
  // The machine is not published yet: it is part of the command's own files.
  noExternal: [/^@nest86\/(machine|cpu|cpuid|devices|mmu|wasm)/],
  dts: false,
  clean: true,
  splitting: true,
  treeshake: true,
  sourcemap: false,
  plugins: [keepConst],
  minify: false,
};

export default options;
