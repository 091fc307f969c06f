// `npm run conformance:boots`: kernels through each boot protocol, on 1 and 4 processors, both engines, both clocks, models of both vendors.
// Each boot must reach user space and switch the machine off. What a kernel says there at level "warning" or worse is compared with what it says in
// QEMU, if that is installed.
import './setup.mjs';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from './lib/pack.mjs';
import { nodes, root } from './lib/workspace.mjs';

const usage = `Usage: npm run conformance:boots -- --kernel FILE [--kernel FILE …] --initrd FILE [--only TEXT]

  FILEs        bzImages, and an initramfs as \`npm run linux -- --print\` prepares it. For PVH the kernel inside is unpacked with lz4, xz, zstd or gzip.
  --only TEXT  Combinations whose name has TEXT in it: "generic pvh 4 interp realtime zen4".`;

const { values } = parseArgs({
  options: {
    kernel: { type: 'string', multiple: true },
    initrd: { type: 'string' },
    only: { type: 'string', default: '' },
  },
});
if (values.kernel === undefined || values.initrd === undefined) {
  console.error(usage);
  process.exit(2);
}
const initrd = resolve(values.initrd);
const append = 'console=ttyS0 run="dmesg -r"';
const seconds = 900;
const text = { encoding: 'utf8', maxBuffer: 1 << 28 };

build();
const node = nodes().at(-1).path;
const folder = mkdtempSync(join(tmpdir(), 'nest86-boots-'));
let boots = 0;
const failures = [];
try {
  for (const kernel of values.kernel.map((file) => resolve(file))) {
    const name = basename(kernel);
    const inQemu = new Map([1, 4].map((processors) => [processors, warningsInQemu(kernel, processors)]));
    const images = { bzimage: kernel, pvh: join(folder, `${name}.elf`) };
    writeFileSync(images.pvh, unpack(readFileSync(kernel)));
    for (const [protocol, image] of Object.entries(images))
      for (const processors of [1, 4])
        for (const accel of ['jit', 'interp'])
          for (const clock of ['deterministic', 'realtime'])
            for (const model of ['x86-64-v3', 'zen4']) {
              const combination = [name, protocol, processors, accel, clock, model].join(' ');
              if (!combination.includes(values.only)) continue;
              boots++;
              const problem = boot({ image, processors, accel, clock, model }, inQemu.get(processors));
              console.log(`${problem === undefined ? 'ok    ' : 'FAILED'} ${combination}${problem ?? ''}`);
              if (problem !== undefined) failures.push(combination);
            }
  }
} finally {
  rmSync(folder, { recursive: true });
}
console.log(`${boots - failures.length} boots as they should be, ${failures.length} not`);
process.exitCode = failures.length > 0 ? 1 : 0;

/** What went wrong, or undefined. */
function boot({ image, processors, accel, clock, model }, expected) {
  const main = join(root, 'packages/cli/dist/main.js');
  const machine = [
    '--memory',
    '512M',
    '--smp',
    `${processors}`,
    '--accel',
    accel,
    '--clock',
    clock,
    '--cpu',
    model,
  ];
  const end = ['--no-reboot', '--timeout', `${seconds}`];
  const files = ['--kernel', image, '--initrd', initrd, '--append', append];
  const { status, stdout, stderr } = spawnSync(node, [main, 'run', ...files, ...machine, ...end], text);
  if (status !== 0) return `: exit ${status}\n${stderr}${stdout.slice(-2000)}`;
  if (!stdout.includes('nest86: user space reached')) return ': no user space';
  const more = warnings(stdout).filter((line) => !expected?.includes(line));
  return more.length === 0 ? undefined : `: warnings that QEMU does not show\n  ${more.join('\n  ')}`;
}

/** Undefined without QEMU: then every warning is one too many. */
function warningsInQemu(kernel, processors) {
  const machine = ['-accel', 'tcg', '-cpu', 'max', '-machine', 'q35', '-m', '512', '-smp', `${processors}`];
  const end = ['-display', 'none', '-serial', 'stdio', '-no-reboot'];
  const files = ['-kernel', kernel, '-initrd', initrd, '-append', append];
  const { status, stdout } = spawnSync('qemu-system-x86_64', [...machine, ...end, ...files], {
    ...text,
    timeout: seconds * 1000,
  });
  return status === 0 ? warnings(stdout) : undefined;
}

/** Lines of `dmesg -r` at levels 0 to 4, without time and numbers that differ from run to run. */
function warnings(output) {
  const lines = output.split('\n').map((line) => /^<(\d+)>\[[ .\d]+\] (.*?)\r?$/.exec(line));
  const serious = lines.filter((line) => line !== null && (line[1] & 7) <= 4);
  return serious.map(([, , message]) => message.replace(/0x[0-9a-f]+|\d+/g, '#'));
}

/** The ELF file in a bzImage. */
function unpack(image) {
  const setup = (image[0x1f1] + 1) * 512;
  const from = setup + image.readUInt32LE(0x248);
  const payload = image.subarray(from, from + image.readUInt32LE(0x24c));
  const tools = {
    '02214c18': ['lz4', '-dc'],
    fd377a58: ['xz', '-dc', '--single-stream'],
    '28b52ffd': ['zstd', '-dc'],
  };
  const magic = payload.subarray(0, 4).toString('hex');
  const [tool, ...args] = tools[magic] ?? ['gzip', '-dc'];
  // Behind the stream is its unpacked length, which tools complain about.
  const { stdout } = spawnSync(tool, args, { input: payload, maxBuffer: 1 << 29 });
  if (stdout?.subarray(1, 4).toString() !== 'ELF')
    throw new Error(`no kernel was unpacked by ${tool} (${magic})`);
  return stdout;
}
