// The user's first five minutes, for each package alone: installs its tarball (and those of ours that it depends on) in
// an empty project and runs its README example: ts and js under each node at hand (ts is type-checked against the packed
// declarations first), sh in bash.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asJavaScript, checkPromises, readExample } from './lib/example.mjs';
import { packAll, withDependencies } from './lib/pack.mjs';
import { nodes, root, run, withTemporaryFolder } from './lib/workspace.mjs';

function checkTypes(dir, file) {
  const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
  for (const [module, resolution] of [
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ]) {
    const flags = [
      '--noEmit',
      '--strict',
      '--target',
      'es2022',
      '--module',
      module,
      '--moduleResolution',
      resolution,
    ];
    const { ok, output } = run('tsc', [...flags, ...types, file], { cwd: dir, capture: true });
    if (!ok) throw new Error(`its types do not hold with --moduleResolution ${resolution}:\n${output}`);
  }
}

function install(dir, tarballs) {
  mkdirSync(dir);
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  const words = ['install', '--no-audit', '--no-fund', ...tarballs];
  const { ok, output } = run('npm', words, { cwd: dir, capture: true });
  if (!ok) throw new Error(`npm install of the tarballs failed:\n${output}`);
}

function runExample(dir, example) {
  const { language, code } = example;
  if (language === 'ts') {
    writeFileSync(join(dir, 'example.ts'), code);
    checkTypes(dir, 'example.ts');
  }
  if (language !== 'sh') writeFileSync(join(dir, 'example.js'), asJavaScript(example));
  for (const { name, path } of nodes()) {
    // The first node that is found is the one that runs.
    const PATH = [join(dir, 'node_modules', '.bin'), join(path, '..'), process.env.PATH].join(':');
    const { ok, output } =
      language === 'sh'
        ? run('bash', ['-e', '-c', code], { cwd: dir, env: { PATH }, capture: true })
        : run(path, ['example.js'], { cwd: dir, capture: true });
    if (!ok) throw new Error(`its example failed on ${name}:\n${output}`);
    checkPromises(example, output);
  }
}

withTemporaryFolder('consumer', (dir) => {
  const packed = packAll(dir);
  const names = nodes().map(({ name }) => name);
  for (const pkg of packed) {
    try {
      const alone = join(dir, `alone-${pkg.relative.replace('/', '-')}`);
      const together = withDependencies(pkg, packed);
      install(
        alone,
        together.map(({ tarball }) => tarball),
      );
      const example = readExample(pkg.unpacked);
      runExample(alone, example);
      const { language, promised } = example;
      console.log(
        `ok: ${pkg.name} (${language} example, ${promised.length} promised lines, on ${names.join(' and ')})`,
      );
    } catch (error) {
      console.error(`${pkg.name}: ${error.message}`);
      process.exitCode = 1;
    }
  }
});
