// Type-checks every tsconfig of the workspace (tsconfig.portable.json: sources without Node's types).
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root, run, workspacePackages } from './lib/workspace.mjs';

const projects = [root, ...workspacePackages().map(({ dir }) => dir)].flatMap((dir) =>
  readdirSync(dir)
    .filter((name) => /^tsconfig.*\.json$/.test(name) && name !== 'tsconfig.base.json')
    .map((name) => relative(root, join(dir, name))),
);

for (const project of projects) {
  const { ok } = run('tsc', ['--noEmit', '--pretty', 'false', '-p', project]);
  console.log(`${ok ? 'ok' : 'wrong'}: ${project}`);
  if (!ok) process.exitCode = 1;
}
