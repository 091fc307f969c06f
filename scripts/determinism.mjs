// `npm run conformance:determinism`: the same boot in each node at hand, interpreted and compiled, in one piece and in odd slices.
// All must leave the same state at the same instruction counts. Chromium: `npm run browser:linux`.
import './setup.mjs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bootInNode, reportBoots } from './lib/kernel-boots.mjs';
import { build } from './lib/pack.mjs';
import { nodes } from './lib/workspace.mjs';

const usage = `Usage: npm run conformance:determinism -- --kernel FILE --initrd FILE [--smp N[,N…]]

  FILEs      As \`npm run linux -- --print\` prepares them: a bzImage, and an initramfs that runs what run="…" says and powers off.
  --smp N    Processors. Default: 1,4.`;

const { values } = parseArgs({
  options: {
    kernel: { type: 'string' },
    initrd: { type: 'string' },
    smp: { type: 'string', default: '1,4' },
  },
});
if (values.kernel === undefined || values.initrd === undefined) {
  console.error(usage);
  process.exit(2);
}
const files = { kernel: resolve(values.kernel), initrd: resolve(values.initrd) };
/** Divides the distance of fingerprints, and no turn of a processor. */
const oddSlice = 15_625;

build();
const [first, ...others] = nodes();
const ways = [
  { node: first, accel: 'jit' },
  { node: first, accel: 'interp' },
  { node: first, accel: 'jit', slice: oddSlice },
  ...others.map((node) => ({ node, accel: 'jit' })),
];
for (const processors of values.smp.split(',').map(Number)) {
  const boots = [];
  for (const { node, accel, slice } of ways) {
    const name = `${node.name} ${accel}${slice === undefined ? '' : `, slices of ${slice}`}, ${processors} processors`;
    const lines = bootInNode(node.path, files, { processors, accel, ...(slice && { slice }) });
    boots.push({ name, lines });
    console.log(`${name}: ${lines.at(-1)}`);
  }
  reportBoots(boots);
}
