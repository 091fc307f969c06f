import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../node_modules/.cache/native', import.meta.url));
const built = new Map<string, string>();

/**
 * Path of a C program for the host processor, which is built anew when its source has changed.
 * @param options of gcc besides the files
 * @throws Error if the host is not Linux on x86-64, or gcc cannot build it
 */
export function nativeProgram(source: URL, options: readonly string[] = []): string {
  const file = fileURLToPath(source);
  const known = built.get(file);
  if (known !== undefined) return known;
  if (process.arch !== 'x64' || process.platform !== 'linux')
    throw new Error(`${file} needs Linux on x86-64`);
  // With what it includes.
  const { stdout } = spawnSync('gcc', ['-E', '-P', file], { maxBuffer: 1 << 26 });
  const hash = createHash('sha256').update(stdout).update(options.join()).digest('hex');
  const path = join(folder, `${basename(file, '.c')}-${hash.slice(0, 16)}`);
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true });
    // Another process may be building it, too.
    const own = `${path}.${process.pid}`;
    const { status, stderr } = spawnSync('gcc', ['-O1', '-o', own, file, ...options], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`gcc cannot build ${file}: ${stderr}`);
    renameSync(own, path);
  }
  built.set(file, path);
  return path;
}
