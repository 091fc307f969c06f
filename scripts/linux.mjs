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
import { initramfs } from './lib/initramfs.mjs';
import { root, run, sourceFlags } from './lib/workspace.mjs';

const usage = `Usage: npm run linux -- [OPTIONS] [-- OPTIONS OF nest86 run]

  --kernel FILE    This bzImage instead of Debian's.
  --initrd FILE    This initramfs instead of one with busybox.
  --append TEXT    The kernel's command line. Default: console=ttyS0. With run="COMMANDS" in it, these run and the machine is
                   switched off.
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
      append: { type: 'string', default: 'console=ttyS0' },
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

function start({ kernel, initrd, append, package: name, fresh, print }) {
  const kernelFile = kernel === undefined ? debianKernel(name, fresh) : resolve(kernel);
  const initrdFile = initrd === undefined ? shellInitramfs(fresh) : resolve(initrd);
  if (print) {
    console.log(`kernel ${kernelFile}\ninitrd ${initrdFile}`);
    return 0;
  }
  const machine = ['run', '--kernel', kernelFile, '--initrd', initrdFile, '--append', append, ...passedOn];
  return run(process.execPath, [...sourceFlags, join(root, 'packages/cli/src/main.ts'), ...machine]).status;
}

function debianKernel(name, fresh) {
  if (!/^[a-z0-9][a-z0-9.+-]+$/.test(name)) throw new DebianError(`"${name}" is no name of a package`);
  return cached(`vmlinuz-${name}`, fresh, '--kernel FILE', (target) => {
    const versioned = kernelPackage(name);
    console.error(`Fetching ${versioned} …`);
    withPackage(versioned, (content) => {
      const boot = join(content, 'boot');
      const file = existsSync(boot) && readdirSync(boot).find((entry) => entry.startsWith('vmlinuz-'));
      if (!file) throw new DebianError(`there is no kernel in ${versioned}`);
      copyFileSync(join(boot, file), target);
    });
  });
}

/** Made anew each time, so that it is always the one of today's sources. */
function shellInitramfs(fresh) {
  const busybox = cached('busybox', fresh, '--initrd FILE', (target) => {
    console.error('Fetching busybox-static …');
    withPackage('busybox-static', (content) => {
      const file = ['bin', 'usr/bin'].map((folder) => join(content, folder, 'busybox')).find(existsSync);
      if (file === undefined) throw new DebianError('there is no program in busybox-static');
      copyFileSync(file, target);
    });
  });
  const target = join(cache, 'initrd.cpio');
  writeFileSync(`${target}.${process.pid}`, initramfs(readFileSync(busybox)));
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
