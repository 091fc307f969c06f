import type { Options } from 'tsup';
import { keepConst } from './keep-const.ts';

/**
 * How packages are built. What a package has to say of its own comes over it.
 *
 * @param entry one per sub-path of the export map; what two of them share lands in a chunk, so nothing is loaded twice
 */
export function packageBuild(entry: Readonly<Record<string, string>>, own: Options = {}): Options {
  return {
    entry: { ...entry },
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
    ...own,
  };
}
