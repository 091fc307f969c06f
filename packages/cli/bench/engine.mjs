/**
 * `pnpm bench:engine [--json FILE] [--only NAME,…] [--node PATH] [--no-interp] [--no-qemu]`: the bare-metal benchmark guest (guests/bench) in
 * nest86, interpreted and compiled, and in QEMU's TCG, one kernel after the other, alternately. The guest says when a kernel begins and ends;
 * times are the processor time of the whole process between (compilers on other threads included), so that a loaded machine disturbs less.
 * Figures are millions of guest instructions per second, cold (a kernel's first run) and steady (the best of the later ones).
 */
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    only: { type: 'string' },
    node: { type: 'string', default: process.execPath },
    interp: { type: 'boolean', default: true },
    qemu: { type: 'boolean', default: true },
  },
  allowNegative: true,
});
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const guest = path('../../../guests/bench/bench.elf');
const main = path('../dist/main.js');

const kernels = (
  values.only ??
  'alu,call,indirect-call,sieve,crc32,quicksort,sha256,memcpy,rep-movs,chase,nbody,saxpy,avx2,x87,tlb-miss,page-fault,system-call,blocks-2000,blocks-20000'
).split(',');

/** Of all threads, those that have ended left out. The process's own figure counts in hundredths of a second, as long as some kernels run. */
function processorSeconds(pid) {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
    } catch {
      // It has ended meanwhile.
    }
  }
  return nanoseconds / 1e9;
}

/** In hundredths of what a kernel executes by itself. Dispersed code is to be executed often enough that its translation does not count. */
function interpreterScale(name) {
  return name === 'blocks-20000' ? 100 : 4;
}

/** MIPS of a kernel's runs in one machine. */
function measure(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    const runs = [];
    let begin = 0;
    let text = '';
    child.stdout.setEncoding('latin1');
    child.stdout.on('data', (chunk) => {
      text += chunk;
      const lines = text.split('\n');
      text = lines.pop();
      for (const line of lines) {
        if (line.startsWith('begin ')) begin = processorSeconds(child.pid);
        const work = /^end \S+ checksum=\w+ work=(\d+)/.exec(line)?.[1];
        if (work !== undefined) {
          const seconds = Math.max(processorSeconds(child.pid) - begin, 1e-4);
          runs.push({ seconds, mips: Number(work) / seconds / 1e6 });
        }
      }
    });
    child.on('close', () => resolve(runs));
    setTimeout(() => child.kill(), 120_000).unref();
  });
}

const nest86 = (accel, append) =>
  measure(values.node, [
    main,
    'run',
    '--kernel',
    guest,
    '--accel',
    accel,
    '--append',
    append,
    '--timeout',
    '100',
  ]);
const qemu = (append) =>
  measure('qemu-system-x86_64', [
    ...['-accel', 'tcg', '-cpu', 'max', '-m', '256', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04', '-kernel', guest, '-append', append],
  ]);

const best = (runs) =>
  Math.max(...runs.slice(1).map((run) => run.mips), runs.length === 1 ? runs[0].mips : 0);
const cell = (value, digits = 0) => (value === undefined ? '-' : value.toFixed(digits)).padStart(9);

const rows = [];
console.log(
  ['kernel'.padEnd(14), 'interp', 'jit cold', 'jit', 'tcg cold', 'tcg', 'jit/tcg', 'cold/cold']
    .map((text, i) => (i === 0 ? text : text.padStart(9)))
    .join(' '),
);
for (const name of kernels) {
  const interp = values.interp
    ? await nest86('interp', `only=${name} scale=${interpreterScale(name)} repeat=2`)
    : [];
  const jit = await nest86('jit', `only=${name} scale=25 repeat=5`);
  const tcg = values.qemu ? await qemu(`only=${name} scale=25 repeat=4`) : [];
  if (jit.length === 0) {
    console.log(`${name.padEnd(14)} did not run`);
    continue;
  }
  const row = {
    name,
    interpMips: interp.length > 0 ? best(interp) : undefined,
    jitColdMips: jit[0].mips,
    jitMips: best(jit),
    tcgColdMips: tcg[0]?.mips,
    tcgMips: tcg.length > 0 ? best(tcg) : undefined,
    interpSeconds: interp.at(-1)?.seconds,
    jitSeconds: jit.at(-1).seconds,
    tcgSeconds: tcg.at(-1)?.seconds,
  };
  row.ratioVsTcg = row.tcgMips === undefined ? undefined : row.jitMips / row.tcgMips;
  row.coldRatioVsTcg = row.tcgMips === undefined ? undefined : row.jitColdMips / row.tcgColdMips;
  rows.push(row);
  console.log(
    [
      name.padEnd(14),
      cell(row.interpMips),
      cell(row.jitColdMips),
      cell(row.jitMips),
      cell(row.tcgColdMips),
      cell(row.tcgMips),
      cell(row.ratioVsTcg, 2),
      cell(row.coldRatioVsTcg, 2),
    ].join(' '),
  );
}
const geometricMean = (numbers) =>
  Math.exp(numbers.reduce((sum, number) => sum + Math.log(number), 0) / numbers.length);
const ratios = rows.map((row) => row.ratioVsTcg).filter((ratio) => ratio !== undefined);
const geomeanVsTcg = ratios.length > 0 ? geometricMean(ratios) : undefined;
if (geomeanVsTcg !== undefined)
  console.log(`geometric mean of ${ratios.length}: ${geomeanVsTcg.toFixed(2)} (above 1: nest86 is faster)`);
if (values.json !== undefined) {
  const node = execFileSync(values.node, ['--version'], { encoding: 'utf8' }).trim();
  const version = values.qemu
    ? execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).split('\n')[0]
    : null;
  writeFileSync(
    values.json,
    `${JSON.stringify({ node, qemu: version, kernels: rows, geomeanVsTcg }, null, 2)}\n`,
  );
}
