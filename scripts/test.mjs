// `npm test`: the quick suite of every package, on the node that runs this. Ends with `N passed, N failed`.
// Further words go to vitest: `npm test -- --project decoder`.
import './setup.mjs';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, root, run, withTemporaryFolder } from './lib/workspace.mjs';

const { status, passed, failed } = withTemporaryFolder('test', (dir) => {
  const tally = join(dir, 'tally.json');
  const { status } = run(
    process.execPath,
    [
      'node_modules/vitest/vitest.mjs',
      'run',
      '--reporter=default',
      `--reporter=${join(root, 'scripts/lib/tally-reporter.mjs')}`,
      ...process.argv.slice(2),
    ],
    { env: { NEST86_TALLY: tally } },
  );
  // No tally: vitest did not get as far as running tests, which is one failure.
  return { status, ...(existsSync(tally) ? readJson(tally) : { passed: 0, failed: 1 }) };
});

// A run without a single test proves nothing, and an exit code that the tally does not explain is a failure too.
const unexplained = failed === 0 && (passed === 0 || status !== 0) ? 1 : 0;
console.log(`${passed} passed, ${failed + unexplained} failed`);
process.exitCode = failed + unexplained > 0 ? 1 : 0;
