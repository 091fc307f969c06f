// What a web page pays: each entry of @nest86/decoder bundled and minified by esbuild, then gzipped. An entry beside
// the core is counted with the core and without it, since nobody loads a formatter alone. Fails over a limit.
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { buildSync } from 'esbuild';
import { build } from './lib/pack.mjs';
import { readJson, root } from './lib/workspace.mjs';

// KiB, gzipped: the core alone, the others beyond the core.
const limits = { '.': 70, './intel': 40, './att': 40, './nasm': 40 };

const decoder = join(root, 'packages/decoder');
const { exports } = readJson(join(decoder, 'package.json')).publishConfig;
const entries = Object.entries(exports).flatMap(([name, target]) =>
  target.default ? [[name, target.default]] : [],
);

function gzippedKiB(files) {
  const contents = files.map((file, index) => `export * as entry${index} from '${file}';`).join('\n');
  const { outputFiles } = buildSync({
    stdin: { contents, resolveDir: decoder },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    write: false,
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length / 1024;
}

for (const name of Object.keys(limits))
  if (!exports[name]) throw new Error(`there is no entry ${name} to limit`);

build();
const coreFile = exports['.'].default;
const core = gzippedKiB([coreFile]);
console.log('entry          alone    beyond core   limit   (KiB, minified + gzipped)');
for (const [name, file] of entries) {
  const alone = gzippedKiB([file]);
  const beyond = name === '.' ? undefined : gzippedKiB([coreFile, file]) - core;
  const limit = limits[name];
  const over = limit !== undefined && (beyond ?? alone) > limit;
  if (over) process.exitCode = 1;
  const cells = [
    alone.toFixed(1).padStart(8),
    (beyond?.toFixed(1) ?? '').padStart(14),
    String(limit ?? '').padStart(7),
  ];
  console.log(`${name.padEnd(12)}${cells.join(' ')}${over ? '   OVER THE LIMIT' : ''}`);
}
