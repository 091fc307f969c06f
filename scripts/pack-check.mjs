// Is what npm would get sound? publint and attw look at each tarball; the rest of this file are our own promises.
import { readdirSync } from 'node:fs';
import { packAll } from './lib/pack.mjs';
import { run, withTemporaryFolder } from './lib/workspace.mjs';

const allowedFiles = ['CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'package.json'];
const requiredFiles = ['LICENSE', 'README.md', 'dist'];

/** Sentences about what is wrong with one packed package. */
function brokenPromises({ unpacked, manifest }) {
  const wrong = [];
  const files = readdirSync(unpacked);
  for (const file of files) if (!allowedFiles.includes(file)) wrong.push(`packs ${file}`);
  for (const file of requiredFiles) if (!files.includes(file)) wrong.push(`lacks ${file}`);
  const text = JSON.stringify(manifest);
  if (text.includes('nest86-source')) wrong.push('its export map points at sources');
  if (text.includes('workspace:')) wrong.push('it depends on a workspace: version');
  if (manifest.type !== 'module') wrong.push('it is not ESM only ("type": "module")');
  if (manifest.sideEffects !== false) wrong.push('it is not tree-shakeable ("sideEffects": false)');
  if (!manifest.engines?.node) wrong.push('it does not say which Node it needs');
  // A library of ours brings no third party into a user's tree.
  for (const name of Object.keys(manifest.dependencies ?? {}))
    if (!manifest.bin && !name.startsWith('@nest86/')) wrong.push(`it has a third-party dependency, ${name}`);
  return wrong;
}

withTemporaryFolder('pack', (dir) => {
  for (const pkg of packAll(dir)) {
    const tools = [['publint', [pkg.tarball, '--strict']]];
    // attw looks at types: a package that is only a command has none.
    if (pkg.manifest.exports) tools.push(['attw', [pkg.tarball, '--profile', 'esm-only', '--no-color']]);
    const wrong = brokenPromises(pkg);
    for (const [tool, args] of tools) {
      const { ok, output } = run(tool, args, { capture: true });
      if (!ok) wrong.push(`${tool}:\n${output}`);
    }
    for (const problem of wrong) console.error(`${pkg.name}: ${problem}`);
    console.log(
      `${wrong.length === 0 ? 'ok' : 'wrong'}: ${pkg.name} (own rules, ${tools.map(([tool]) => tool).join(', ')})`,
    );
    if (wrong.length > 0) process.exitCode = 1;
  }
});
