// What a web page pays: each package's entries bundled by esbuild with all that they import, minified, then gzipped. An
// entry beside the core is counted with the core and without it, since nobody loads a formatter alone. Fails over a limit.
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { buildSync } from 'esbuild';
import { build } from './lib/pack.mjs';
import { publishedPackages } from './lib/workspace.mjs';

// KiB, gzipped, by package and entry: the core ('.') alone, the others beyond the core. 0: no limit.
const limits = {
  '@nest86/decoder': {
    '.': 70,
    './intel': 40,
    './att': 40,
    './nasm': 40,
    './info': 0,
    './mnemonic': 0,
    './reference': 0,
  },
  '@nest86/wasm': { '.': 22 },
  '@nest86/mmu': { '.': 30 },
  '@nest86/cpuid': { '.': 9 },
  '@nest86/apic': { '.': 8 },
  '@nest86/devices': { '.': 30 },
  '@nest86/cpu': { '.': 230, './virtualization': 4 },
  '@nest86/svm': { '.': 6, './extension': 60 },
  '@nest86/vmx': { '.': 14, './extension': 65 },
  '@nest86/machine': { '.': 350 },
};

function gzippedKiB(dir, files) {
  const contents = files.map((file, index) => `export * as entry${index} from '${file}';`).join('\n');
  const { outputFiles } = buildSync({
    stdin: { contents, resolveDir: dir },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    write: false,
    logLevel: 'error',
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length / 1024;
}

function fail(message) {
  console.error(message);
  process.exitCode = 1;
}

build();
console.log(`${'entry'.padEnd(30)}   alone   beyond core   limit   (KiB, minified + gzipped)`);
for (const { dir, manifest } of publishedPackages()) {
  const { exports } = manifest.publishConfig ?? {};
  // A command is not for web pages.
  if (exports === undefined) continue;
  const files = Object.entries(exports).flatMap(([name, { default: file }]) => (file ? [[name, file]] : []));
  const own = limits[manifest.name] ?? {};
  const core = gzippedKiB(dir, [exports['.'].default]);
  for (const [name, file] of files) {
    const alone = gzippedKiB(dir, [file]);
    const beyond = name === '.' ? undefined : gzippedKiB(dir, [exports['.'].default, file]) - core;
    const limit = own[name];
    const size = beyond ?? alone;
    const entry = join(manifest.name, name);
    const cells = [
      alone.toFixed(1).padStart(8),
      (beyond?.toFixed(1) ?? '').padStart(14),
      String(limit || '').padStart(8),
    ];
    console.log(entry.padEnd(30) + cells.join(''));
    if (limit === undefined) fail(`${entry} has no limit`);
    else if (limit > 0 && size > limit) fail(`${entry} is over its limit`);
  }
  for (const name of Object.keys(own))
    if (!exports[name]) fail(`${manifest.name}: there is no entry ${name} to limit`);
}
for (const name of Object.keys(limits))
  if (!publishedPackages().some(({ manifest }) => manifest.name === name))
    fail(`there is no ${name} to limit`);
