// Installs the workspace when that has not been done yet for today's lockfile. Every command a stranger may run
// first imports this, so Node and npm are all that a new machine needs.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pnpm, root } from './lib/workspace.mjs';

const stamp = join(root, 'node_modules', '.nest86-setup');
const wanted = readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8');

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  console.error('Setting up: installing the development tools (once) …');
  // CI=1: never ask, even where an older node_modules has to be replaced.
  const { ok, output } = pnpm(['install', '--frozen-lockfile'], { capture: true, env: { CI: '1' } });
  if (!ok) {
    console.error(output);
    console.error('Set-up failed: the output of `pnpm install` is above.');
    process.exit(1);
  }
  writeFileSync(stamp, wanted);
}
