// Modules of a Linux kernel: what a list of them needs, in the order in which insmod takes them.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** What a distribution's kernel needs to mount a virtio-blk disk with ext4 or squashfs on it, and an overlay. */
export const diskModules = ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4', 'squashfs', 'overlay'];

/**
 * `{ name, bytes }` of the modules and of all they depend on, each behind what it depends on. A name that has no file is left out: it is
 * built into the kernel.
 * @param folder `lib/modules/VERSION` of the kernel's package, its files as they are or packed with xz
 */
export function modulesInOrder(folder, names) {
  const files = new Map();
  for (const entry of readdirSync(folder, { recursive: true })) {
    const name = /^(.+)\.ko(\.xz)?$/.exec(basename(entry))?.[1];
    if (name !== undefined) files.set(underscored(name), join(folder, entry));
  }
  const ordered = new Map();
  const visit = (name) => {
    const file = files.get(name);
    if (file === undefined || ordered.has(name)) return;
    const bytes = file.endsWith('.xz') ? unpacked(file) : readFileSync(file);
    for (const needed of dependencies(bytes)) visit(needed);
    ordered.set(name, { name, bytes });
  };
  for (const name of names) visit(underscored(name));
  return [...ordered.values()];
}

/** The `depends=` of the module's .modinfo section: names between commas, ended by a zero. */
function dependencies(bytes) {
  const start = bytes.indexOf('\0depends=') + '\0depends='.length;
  const names = bytes.toString('latin1', start, bytes.indexOf(0, start)).split(',');
  return names.filter((name) => name !== '').map(underscored);
}

/** To the kernel a dash in a module's name is an underscore. */
function underscored(name) {
  return name.replaceAll('-', '_');
}

function unpacked(file) {
  const { stdout, status, error } = spawnSync('xz', ['-dc', file], { maxBuffer: 64 << 20 });
  if (error !== undefined || status !== 0) throw new Error(`xz could not unpack ${file}`);
  return stdout;
}
