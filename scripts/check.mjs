// `pnpm check`: every check that is not a test, one after the other, whatever fails. Ends with `N passed, N failed`.
// Words select: `pnpm check lint types`. A check that ends with code 77 could not run here: it counts as neither.
import './setup.mjs';
import { run } from './lib/workspace.mjs';

const node = process.execPath;
const checks = {
  types: [node, 'scripts/types.mjs'],
  // Biome colours every character of its code frames, which makes a log unreadable.
  lint: ['biome', 'ci', '--error-on-warnings', ...(process.stdout.isTTY ? [] : ['--colors=off'])],
  layering: [node, 'scripts/layering.mjs'],
  knip: ['knip'],
  generated: ['npm', 'run', '--silent', 'generate', '--', '--check'],
  packages: [node, 'scripts/pack-check.mjs'],
  consumer: [node, 'scripts/consumer.mjs'],
  size: [node, 'scripts/size.mjs'],
  browser: [node, 'scripts/browser.mjs'],
};

const selected = process.argv.slice(2);
const unknown = selected.filter((name) => !Object.hasOwn(checks, name));
if (unknown.length > 0) {
  console.error(`No such check: ${unknown.join(', ')}. There are: ${Object.keys(checks).join(', ')}.`);
  process.exit(2);
}

let passed = 0;
const failed = [];
const skipped = [];
for (const [name, [command, ...args]] of Object.entries(checks)) {
  if (selected.length > 0 && !selected.includes(name)) continue;
  console.log(`\n== ${name}`);
  const start = performance.now();
  const { status } = run(command, args);
  const outcome = status === 0 ? 'ok' : status === 77 ? 'skipped' : 'FAILED';
  console.log(`${outcome}: ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  if (outcome === 'ok') passed++;
  else (outcome === 'skipped' ? skipped : failed).push(name);
}
if (skipped.length > 0) console.log(`\nSkipped, neither passed nor failed: ${skipped.join(', ')}`);
if (failed.length > 0) console.log(`\nFailed: ${failed.join(', ')}`);
console.log(`${passed} passed, ${failed.length} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;
