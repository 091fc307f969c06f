/**
 * `pnpm bench:boot [--kernel FILE] [--initrd FILE] [--append TEXT] [--until TEXT] [--rounds N] [--node PATH] [--main FILE] [--json FILE]`: one Linux kernel
 * and initramfs booted in nest86 and in QEMU's TCG, alternately, with one processor and 512 MiB: from the start of the process to a line of user space
 * on the serial console. Seconds of processor time of the whole process (compilers on other threads included) and by the clock, medians of the rounds.
 * The ratio is of processor times: below 1, nest86 is faster. Linux, for /proc.
 */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    kernel: { type: 'string' },
    initrd: { type: 'string' },
    append: { type: 'string', default: 'console=ttyS0' },
    until: { type: 'string', default: 'nest86: user space reached' },
    rounds: { type: 'string', default: '3' },
    node: { type: 'string', default: process.execPath },
    main: { type: 'string', default: fileURLToPath(new URL('../dist/main.js', import.meta.url)) },
    json: { type: 'string' },
  },
});
const { kernel, initrd, append, node } = values;
const rounds = Number(values.rounds);
if (kernel === undefined || !Number.isInteger(rounds) || rounds < 1) {
  console.error('bench:boot: --kernel FILE is missing, or --rounds is no positive number');
  process.exit(2);
}

/** Milliseconds after which a boot is given up. */
const patience = 120_000;
/** Clock ticks of a process are hundredths of a second on Linux. */
const ticks = 100;

function processorSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}

/** Seconds of processor time and by the clock until the line appears. */
function boot(command, args) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    let result;
    const timer = setTimeout(() => child.kill('SIGKILL'), patience);
    child.on('error', reject);
    child.stdout.setEncoding('latin1');
    child.stdout.on('data', (chunk) => {
      text += chunk;
      if (result !== undefined || !text.includes(values.until)) return;
      result = { processor: processorSeconds(child.pid), clock: (performance.now() - started) / 1000 };
      child.kill('SIGKILL');
    });
    child.on('close', () => {
      clearTimeout(timer);
      if (result !== undefined) resolve(result);
      else
        reject(
          new Error(
            `${command}: "${values.until}" did not appear; the last lines:\n${text.split('\n').slice(-5).join('\n')}`,
          ),
        );
    });
  });
}

/** What both are told, with their own dashes. */
const guest = (dashes) => [
  ...[`${dashes}kernel`, kernel, `${dashes}append`, append],
  ...(initrd === undefined ? [] : [`${dashes}initrd`, initrd]),
];
const inNest86 = () => boot(node, [values.main, 'run', '--memory', '512M', ...guest('--')]);
const inTcg = () =>
  boot('qemu-system-x86_64', [
    ...['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', '512', '-display', 'none', '-serial', 'stdio'],
    ...['-no-reboot', ...guest('-')],
  ]);

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
const show = ({ processor, clock }) => `${processor.toFixed(2)} s (${clock.toFixed(2)} s by the clock)`;

const runs = { nest86: [], tcg: [] };
const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
console.log(`${version}, processor time until "${values.until}"`);
for (let round = 1; round <= rounds; round++) {
  runs.nest86.push(await inNest86());
  runs.tcg.push(await inTcg());
  console.log(`round ${round}: nest86 ${show(runs.nest86.at(-1))}, TCG ${show(runs.tcg.at(-1))}`);
}
const middle = (list) => ({
  processor: median(list.map(({ processor }) => processor)),
  clock: median(list.map(({ clock }) => clock)),
});
const [nest86, tcg] = [middle(runs.nest86), middle(runs.tcg)];
const ratio = nest86.processor / tcg.processor;
console.log(`median: nest86 ${show(nest86)}, TCG ${show(tcg)}: ${ratio.toFixed(2)} x TCG`);
if (values.json !== undefined) {
  const qemu = execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).split('\n')[0];
  const result = {
    node: version,
    qemu,
    nest86Seconds: nest86.processor,
    tcgSeconds: tcg.processor,
    ratio,
    nest86ClockSeconds: nest86.clock,
    tcgClockSeconds: tcg.clock,
    rounds: runs,
  };
  writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
}
