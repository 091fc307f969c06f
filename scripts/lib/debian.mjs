// Files out of Debian's packages, by apt where it exists: nothing is installed, nothing needs root.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run, withTemporaryFolder } from './workspace.mjs';

/** Something the user can put right; the message says how. */
export class DebianError extends Error {}

export function hasApt() {
  return ['apt-get', 'apt-cache', 'dpkg-deb'].every(
    (name) => spawnSync(name, ['--version']).error === undefined,
  );
}

/** The kernel package that a meta package such as `linux-image-amd64` stands for today, or the name itself. */
export function kernelPackage(name) {
  const { output } = run('apt-cache', ['depends', name], { capture: true });
  return /Depends: (linux-image-\S+)/.exec(output)?.[1] ?? name;
}

/** Downloads a package, unpacks it into a folder that exists only during the call, and answers what `body` answers. */
export function withPackage(name, body) {
  return withTemporaryFolder('debian', (folder) => {
    const download = run('apt-get', ['download', name], { cwd: folder, capture: true });
    const file = readdirSync(folder).find((entry) => entry.endsWith('.deb'));
    if (!download.ok || file === undefined)
      throw new DebianError(
        `apt-get could not download ${name} (\`apt-get update\` as root may help):\n${download.output}`,
      );
    const content = join(folder, 'content');
    const unpacked = run('dpkg-deb', ['-x', join(folder, file), content], { capture: true });
    if (!unpacked.ok) throw new DebianError(`dpkg-deb could not unpack ${file}:\n${unpacked.output}`);
    return body(content);
  });
}
