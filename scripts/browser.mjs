// The packages in a browser, without a bundler: a plain server, an import map, the packed files as they are. Each package,
// with nothing but what it depends on, runs its README example there; then the benchmark guest must leave equal states in
// the browser and in each node at hand, interpreted and compiled. Ends with code 77 (skipped) where no browser is found.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findChromium, runPages } from './lib/chromium.mjs';
import { asJavaScript, checkPromises, readExample } from './lib/example.mjs';
import { packAll, withDependencies } from './lib/pack.mjs';
import { nodes, root, run, withTemporaryFolder } from './lib/workspace.mjs';

const chromium = findChromium();
if (chromium === undefined) {
  console.log('SKIPPED: there is no Chromium (Debian: apt install chromium; or NEST86_CHROMIUM=path).');
  process.exit(77);
}

/** Specifiers of packages to the files that the server has of them. */
function importMap(packages) {
  const imports = {};
  for (const { name, manifest, unpacked } of packages)
    for (const [entry, target] of Object.entries(manifest.exports ?? {}))
      if (target.default !== undefined)
        imports[name + entry.slice(1)] = `/${unpacked.split('/').at(-1)}${target.default.slice(1)}`;
  return imports;
}

function fail(message) {
  console.error(message);
  process.exitCode = 1;
}

await withTemporaryFolder('browser', async (dir) => {
  const packed = packAll(dir);
  const jobs = [];
  for (const pkg of packed) {
    const example = readExample(pkg.unpacked);
    // A command is not for browsers.
    if (example.language === 'sh') continue;
    const module = `/example-${jobs.length}.js`;
    writeFileSync(join(dir, module), asJavaScript(example));
    jobs.push({ pkg, example, module, imports: importMap(withDependencies(pkg, packed)) });
  }
  copyFileSync(join(root, 'guests/bench/bench.elf'), join(dir, 'bench.elf'));
  copyFileSync(join(root, 'packages/machine/scripts/guest-hash.mjs'), join(dir, 'guest-hash.js'));
  writeFileSync(join(dir, 'package.json'), '{ "type": "module" }');
  const pages = [...jobs, { module: '/guest-hash.js', imports: importMap(packed) }];

  const { reports, browser } = await runPages(chromium, dir, pages, join(dir, 'profile'));
  for (const [i, { pkg, example }] of jobs.entries()) {
    const { lines, error } = reports[i];
    try {
      if (error !== null) throw new Error(`its example failed:\n${error}`);
      checkPromises(example, lines.join('\n'));
      console.log(`ok: ${pkg.name} (${example.promised.length} promised lines, ${browser})`);
    } catch (problem) {
      fail(`${pkg.name} in ${browser}: ${problem.message}`);
    }
  }

  // Node finds the packages where npm would have put them.
  mkdirSync(join(dir, 'node_modules/@nest86'), { recursive: true });
  for (const { name, unpacked } of packed)
    if (name.startsWith('@')) run('cp', ['-r', unpacked, join(dir, 'node_modules', name)]);
  const last = reports.at(-1);
  if (last.error !== null) fail(`the benchmark guest in ${browser}:\n${last.error}`);
  const results = [{ name: browser, lines: last.lines }];
  for (const { name, path } of nodes()) {
    const { ok, output } = run(path, ['guest-hash.js'], { cwd: dir, capture: true });
    if (!ok) fail(`the benchmark guest in ${name}:\n${output}`);
    results.push({ name, lines: output.trim().split('\n') });
  }
  const texts = results.map(({ lines }) => lines.join('\n'));
  const states = results.flatMap(({ lines }) => lines.filter((line) => line.includes(' state ')));
  const isRight =
    texts.every((text) => text === texts[0]) &&
    states.every((line) => line.includes(': exit, 19 kernels,')) &&
    new Set(states.map((line) => line.replace(/^\w+: /, ''))).size === 1 &&
    texts.every((text) => text.includes('jit regions: some'));
  if (!isRight) {
    fail('the benchmark guest did not leave the same state everywhere:');
    for (const { name, lines } of results) console.error(`${name}\n  ${lines.join('\n  ')}`);
  } else
    console.log(
      `ok: ${states[0].replace(/^\w+: /, 'benchmark guest: ')} (${results.map(({ name }) => name).join(', ')}; interp and jit)`,
    );
});
