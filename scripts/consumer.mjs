// The user's first five minutes: installs the tarballs in an empty project and runs each package's README example.
// The example is the first code block after `<!-- example -->`: ts and js run under node (ts is type-checked against
// the packed declarations first), sh runs in bash. A line of the block that ends in `// → text` (sh: `# → text`)
// promises that the line `text` is printed, and in this order.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { packAll } from './lib/pack.mjs';
import { root, run, withTemporaryFolder } from './lib/workspace.mjs';

function readExample(readme) {
  const match = /<!-- example -->\s*```(\w+)\n([\s\S]*?)```/.exec(readme);
  if (!match) throw new Error('README.md has no code block after `<!-- example -->`');
  const [, language, code] = match;
  const promised = [...code.matchAll(/(?:\/\/|#) → (.*)$/gm)].map(([, text]) => text.trim());
  return { language, code, promised };
}

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

function runExample(dir, { language, code }) {
  const path = [join(dir, 'node_modules', '.bin'), process.env.PATH].join(':');
  if (language === 'sh')
    return run('bash', ['-e', '-c', code], { cwd: dir, env: { PATH: path }, capture: true });
  if (!['ts', 'js'].includes(language)) throw new Error(`the example is ${language}; it may be ts, js or sh`);
  if (language === 'ts') {
    writeFileSync(join(dir, 'example.ts'), code);
    checkTypes(dir, 'example.ts');
  }
  writeFileSync(join(dir, 'example.js'), transformSync(code, { loader: 'ts' }).code);
  return run(process.execPath, ['example.js'], { cwd: dir, capture: true });
}

function checkExample(dir, pkg) {
  const example = readExample(readFileSync(join(pkg.unpacked, 'README.md'), 'utf8'));
  const { ok, output } = runExample(dir, example);
  if (!ok) throw new Error(`its example failed:\n${output}`);
  const printed = output.split('\n').map((line) => line.trim());
  let from = 0;
  for (const text of example.promised) {
    const at = printed.indexOf(text, from);
    if (at < 0) throw new Error(`its example promises the line \`${text}\`, but printed:\n${output}`);
    from = at + 1;
  }
  return `${example.language} example, ${example.promised.length} promised lines`;
}

withTemporaryFolder('consumer', (dir) => {
  const packed = packAll(dir);
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  const install = ['install', '--no-audit', '--no-fund', ...packed.map(({ tarball }) => tarball)];
  const installed = run('npm', install, { cwd: dir, capture: true });
  if (!installed.ok) throw new Error(`npm install of the tarballs failed:\n${installed.output}`);
  for (const pkg of packed) {
    try {
      console.log(`ok: ${pkg.name} (${checkExample(dir, pkg)})`);
    } catch (error) {
      console.error(`${pkg.name}: ${error.message}`);
      process.exitCode = 1;
    }
  }
});
