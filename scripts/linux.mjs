// `npm run linux`: Debian's kernel with a busybox shell, in nest86, on this terminal.
import './setup.mjs';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DebianError, hasApt, kernelPackage, withPackage } from './lib/debian.mjs';
import { initramfs, moduleArchive } from './lib/initramfs.mjs';
import { diskModules, modulesInOrder } from './lib/kernel-modules.mjs';
import { root, run, sourceFlags } from './lib/workspace.mjs';

const usage = `Usage: npm run linux -- [OPTIONS] [-- OPTIONS OF nest86 run]

  --kernel FILE    This bzImage instead of Debian's.
  --initrd FILE    This initramfs instead of one with busybox.
  --disk FILE      The root file system on this disk instead of busybox: ext4 or squashfs, with an init. The modules of Debian's
                   kernel that it takes are loaded first; a kernel of --kernel needs virtio-blk and the file system inside.
  --append TEXT    The kernel's command line. Default: console=ttyS0, and root=/dev/vda with --disk. With run="COMMANDS" and
                   no root=, these run and the machine is switched off.
  --package NAME   The kernel's Debian package. Default: linux-image-cloud-amd64.
  --fresh          Download again what was downloaded before.
  --print          Only prepare, and print the two paths.

Example: npm run linux -- --append 'console=ttyS0 run="uname -a"' -- --memory 512M`;

const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'nest86', 'linux');

const argv = process.argv.slice(2);
const dashes = argv.indexOf('--');
const passedOn = dashes < 0 ? [] : argv.slice(dashes + 1);

try {
  const { values } = parseArgs({
    args: dashes < 0 ? argv : argv.slice(0, dashes),
    options: {
      kernel: { type: 'string' },
      initrd: { type: 'string' },
      disk: { type: 'string' },
      append: { type: 'string' },
      package: { type: 'string', default: 'linux-image-cloud-amd64' },
      fresh: { type: 'boolean', default: false },
      print: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  process.exitCode = values.help ? help() : start(values);
} catch (error) {
  const isUsage = error.code?.startsWith('ERR_PARSE_ARGS');
  if (!isUsage && !(error instanceof DebianError)) throw error;
  console.error(isUsage ? `${error.message}\n\n${usage}` : error.message);
  process.exitCode = isUsage ? 2 : 1;
}

function help() {
  console.log(usage);
  return 0;
}

function start({ kernel, initrd, disk, append, package: name, fresh, print }) {
  const debian = kernel === undefined ? debianKernel(name, fresh, disk !== undefined) : undefined;
  const kernelFile = debian?.kernel ?? resolve(kernel);
  const initrdFile =
    initrd === undefined
      ? shellInitramfs(fresh, disk === undefined ? undefined : debian?.modules)
      : resolve(initrd);
  if (print) {
    console.log(`kernel ${kernelFile}\ninitrd ${initrdFile}`);
    return 0;
  }
  const commandLine = append ?? (disk === undefined ? 'console=ttyS0' : 'console=ttyS0 root=/dev/vda');
  const drive = disk === undefined ? [] : ['--disk', resolve(disk)];
  const machine = [
    'run',
    '--kernel',
    kernelFile,
    '--initrd',
    initrdFile,
    '--append',
    commandLine,
    ...drive,
    ...passedOn,
  ];
  return run(process.execPath, [...sourceFlags, join(root, 'packages/cli/src/main.ts'), ...machine]).status;
}

/** The package's kernel, and an archive of the modules that a disk takes: both of one version, so both are made together. */
function debianKernel(name, fresh, takesModules) {
  if (!/^[a-z0-9][a-z0-9.+-]+$/.test(name)) throw new DebianError(`"${name}" is no name of a package`);
  const modules = join(cache, `modules-${name}.cpio`);
  const kernel = cached(
    `vmlinuz-${name}`,
    fresh || (takesModules && !existsSync(modules)),
    '--kernel FILE',
    (target) => {
      const versioned = kernelPackage(name);
      console.error(`Fetching ${versioned} …`);
      withPackage(versioned, (content) => {
        const boot = join(content, 'boot');
        const file = existsSync(boot) && readdirSync(boot).find((entry) => entry.startsWith('vmlinuz-'));
        if (!file) throw new DebianError(`there is no kernel in ${versioned}`);
        const version = file.slice('vmlinuz-'.length);
        const tree = ['lib', 'usr/lib'].map((lib) => join(content, lib, 'modules', version)).find(existsSync);
        writeFileSync(modules, moduleArchive(tree === undefined ? [] : modulesInOrder(tree, diskModules)));
        copyFileSync(join(boot, file), target);
      });
    },
  );
  return { kernel, modules };
}

/** Made anew each time, so that it is always the one of today's sources. `modules`: an archive to put behind it. */
function shellInitramfs(fresh, modules) {
  const busybox = cached('busybox', fresh, '--initrd FILE', (target) => {
    console.error('Fetching busybox-static …');
    withPackage('busybox-static', (content) => {
      const file = ['bin', 'usr/bin'].map((folder) => join(content, folder, 'busybox')).find(existsSync);
      if (file === undefined) throw new DebianError('there is no program in busybox-static');
      copyFileSync(file, target);
    });
  });
  const target = join(cache, modules === undefined ? 'initrd.cpio' : 'initrd-disk.cpio');
  const parts = [initramfs(readFileSync(busybox)), ...(modules === undefined ? [] : [readFileSync(modules)])];
  writeFileSync(`${target}.${process.pid}`, Buffer.concat(parts));
  renameSync(`${target}.${process.pid}`, target);
  return target;
}

/** A file of the cache; `make` writes it to the path that it is given, which becomes the file when it is complete. */
function cached(name, fresh, instead, make) {
  const file = join(cache, name);
  if (existsSync(file) && !fresh) return file;
  if (!hasApt()) throw new DebianError(`apt is not here, which fetches ${name}: give ${instead}`);
  mkdirSync(cache, { recursive: true });
  const partial = `${file}.${process.pid}`;
  make(partial);
  renameSync(partial, file);
  return file;
}
