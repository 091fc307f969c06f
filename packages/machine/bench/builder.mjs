/**
 * `pnpm bench:builder [--only NAME,…] [--rounds N]`: what writing WebAssembly costs. Runs kernels of the benchmark guest, keeps every region that they make hot, and
 * builds all of them N more times (default 200): microseconds of the builder alone (semantics, expression builder, encoder; not V8's compiler) per guest
 * instruction, the median over regions of each one's first build, and of the best half of its later ones.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BareMachine, readBootImage } from '../dist/index.js';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'sieve,crc32,quicksort,sha256,memcpy,nbody,saxpy,avx2,x87,blocks-2000' },
    rounds: { type: 'string', default: '200' },
  },
});
const image = readBootImage(
  readFileSync(fileURLToPath(new URL('../../../guests/bench/bench.elf', import.meta.url))),
);

const first = [];
const builds = [];
let instructions = 0;
let bytes = 0;
for (const name of values.only.split(',')) {
  const machine = new BareMachine({ memory: 256 << 20, output: { write: () => {} } });
  machine.load(image, `only=${name} scale=1 repeat=1`);
  // What is measured is private to the engine.
  const builder = machine.engine.regions;
  const build = builder.build;
  builder.build = (blocks, ...rest) => {
    const count = blocks.reduce((sum, { block }) => sum + block.count, 0);
    const timed = () => {
      const start = performance.now();
      const built = build.call(builder, blocks, ...rest);
      return [((performance.now() - start) * 1000) / count, built];
    };
    const [time, built] = timed();
    first.push(time);
    builds.push({ count, timed, times: [] });
    instructions += count;
    bytes += built.module.length;
    return built;
  };
  machine.run(2e9);
}
for (let round = 0; round < Number(values.rounds); round++)
  for (const { timed, times } of builds) times.push(timed()[0]);
const later = builds.map(({ times }) => quantile(times, 0.25));
console.log(
  `${first.length} regions, ${instructions} guest instructions, ${(bytes / instructions).toFixed(0)} bytes each; Node ${process.version}`,
);
console.log(
  `µs per guest instruction, median over regions: first build ${quantile(first, 0.5).toFixed(2)}, later builds ${quantile(later, 0.5).toFixed(2)}; all regions together, later builds ${(later.reduce((sum, time, i) => sum + time * builds[i].count, 0) / instructions).toFixed(2)}`,
);

function quantile(times, part) {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length * part)];
}
