/**
 * `pnpm bench:footprint [--append TEXT] [--node PATH] [--rounds N]`: what a machine costs beside its guest. Times are of the command, from the start of its process, in
 * milliseconds, as processor time and by the clock (the median of N processes): code loaded, core of the engine made, first instruction; before them a process that does nothing.
 * Memory, of the packages in a process of their own, is MiB of resident set: at the first instruction, at the end, and the process's peak less what the guest has
 * touched of its RAM. Linux, for /proc.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    append: { type: 'string', default: 'scale=10' },
    node: { type: 'string', default: process.execPath },
    rounds: { type: 'string', default: '5' },
    accel: { type: 'string' },
  },
});
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

const image = path('../../../guests/bench/bench.elf');

/** A line of /proc/self/status in MiB. */
function resident(name) {
  return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'latin1'))[1]) / 1024;
}

/** MiB of guest RAM that are resident: what is of its memory's mapping, less the engine's tables before it, page by page. */
function guestResident({ engine, physical }) {
  const size = engine.memory.buffer.byteLength / 1024;
  const mapping = readFileSync('/proc/self/smaps', 'latin1')
    .split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)
    .find((text) => Number(/^Size:\s+(\d+)/m.exec(text)?.[1]) === size);
  const words = new Float64Array(engine.memory.buffer, 0, physical.base / 8);
  let used = 0;
  for (let page = 0; page < words.length; page += 512)
    if (words.subarray(page, page + 512).some((word) => word !== 0)) used++;
  return Number(/^Rss:\s+(\d+)/m.exec(mapping)[1]) / 1024 - used / 256;
}

async function measure(accel) {
  // As the command does (src/main.ts).
  const { setFlagsFromString } = await import('node:v8');
  setFlagsFromString('--semi-space-growth-factor=1');
  const { BareMachine, readBootImage } = await import('@nest86/machine');
  const machine = new BareMachine({ memory: 256 << 20, output: { write: () => {} }, accel });
  machine.load(readBootImage(readFileSync(image)), values.append);
  machine.run(1);
  const atFirst = resident('VmRSS');
  machine.run(Number.MAX_SAFE_INTEGER);
  const [atEnd, beyond] = [resident('VmRSS'), resident('VmHWM') - guestResident(machine)];
  return { atFirst, atEnd, beyond };
}

if (values.accel !== undefined) {
  console.log(JSON.stringify(await measure(values.accel)));
} else {
  const child = (accel, append) => {
    const words = [fileURLToPath(import.meta.url), '--accel', accel, '--append', append];
    return JSON.parse(execFileSync(values.node, words, { encoding: 'utf8' }));
  };
  const start = () => {
    const nothing = `const { user, system } = process.cpuUsage(); console.log((user + system) / 1000, performance.now())`;
    const bare = execFileSync(values.node, ['-e', nothing], { encoding: 'utf8' });
    const words = ['--import', path('start-marks.mjs'), path('../dist/main.js'), 'run', '--kernel', image];
    const { stderr } = spawnSync(values.node, [...words, '--append', 'only=alu scale=0'], {
      encoding: 'utf8',
    });
    return { bare: bare.split(' ').map(Number), ...JSON.parse(stderr.slice(stderr.lastIndexOf('\n') + 1)) };
  };
  const runs = Array.from({ length: Number(values.rounds) }, start);
  const median = (key, i) =>
    runs
      .map((run) => run[key][i])
      .sort((a, b) => a - b)
      [runs.length >> 1].toFixed(0);
  console.log(
    `${execFileSync(values.node, ['--version'], { encoding: 'utf8' }).trim()}, ms: processor time (clock)`,
  );
  for (const [key, text] of Object.entries({
    bare: 'nothing',
    loaded: 'code loaded',
    made: 'core made',
    ready: 'first instruction',
  }))
    console.log(`  ${text.padEnd(20)}${median(key, 0)} (${median(key, 1)})`);
  console.log(`${values.append}, MiB: at the first instruction, at the end, peak beyond guest RAM`);
  for (const accel of ['interp', 'jit']) {
    const { atFirst, atEnd, beyond } = child(accel, values.append);
    console.log(`  ${accel.padEnd(20)}${atFirst.toFixed(0)} ${atEnd.toFixed(0)} ${beyond.toFixed(0)}`);
  }
}
