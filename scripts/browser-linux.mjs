// `npm run browser:linux`: a Linux kernel in Chromium, in a worker. Types into its shell; then the deterministic boot must leave
// the same in the browser, interpreted and compiled, as in each node at hand. Ends with code 77 (skipped) where no browser is found.
import './setup.mjs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { findChromium } from './lib/chromium.mjs';
import { bootInNode, bootInPage, ended, reportBoots, waitFor, withSite } from './lib/kernel-boots.mjs';
import { build } from './lib/pack.mjs';
import { nodes, withTemporaryFolder } from './lib/workspace.mjs';

const usage = `Usage: npm run browser:linux -- --kernel FILE --initrd FILE [--smp N] [--shell-only]

  FILEs            As \`npm run linux -- --print\` prepares them: a bzImage, and an initramfs whose /init gives a busybox
                   shell, or runs what run="…" on the command line says and powers off.
  --smp N          Processors. Default: 1.
  --seconds N      How long the prompt, and each boot, may take. Default: 600.
  --shell-only     Only type into the shell, compare nothing.`;

const { values } = parseArgs({
  options: {
    kernel: { type: 'string' },
    initrd: { type: 'string' },
    smp: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '600' },
    'shell-only': { type: 'boolean', default: false },
  },
});
if (values.kernel === undefined || values.initrd === undefined) {
  console.error(usage);
  process.exit(2);
}
const files = { kernel: resolve(values.kernel), initrd: resolve(values.initrd) };
const processors = Number(values.smp);
const seconds = Number(values.seconds);

const chromium = findChromium();
if (chromium === undefined) {
  console.log('SKIPPED: there is no Chromium (Debian: apt install chromium; or NEST86_CHROMIUM=path).');
  process.exit(77);
}
build();

await withTemporaryFolder('linux', (dir) =>
  withSite(chromium, files, dir, async (site) => {
    const browser = await shell(site);
    if (!values['shell-only']) await compare(site, browser);
  }),
);

/** In real time. @returns how the browser calls itself */
async function shell(site) {
  const begin = performance.now();
  const passed = () => `${((performance.now() - begin) / 1000).toFixed(1)} s`;
  const page = await site.open({ append: 'console=ttyS0', processors, accel: 'jit', clock: 'realtime' });
  try {
    const shows = (text) => waitFor(page, `terminal.textContent.includes(${JSON.stringify(text)})`, seconds);
    await shows('# ');
    console.log(`prompt after ${passed()} (${page.browser})`);
    await page.type('echo $((6*7)); uname -m\n');
    // The echo of what was typed has neither.
    await shows('\n42\nx86_64\n');
    console.log(`typed \`echo $((6*7)); uname -m\`: 42, x86_64 (${passed()})`);
    await page.type('poweroff\n');
    const end = await ended(page, seconds);
    if (!end.startsWith('poweroff after')) throw new Error(`poweroff ended so: ${end}`);
    console.log(`ok: ${end}`);
    return page.browser;
  } finally {
    await page.close();
  }
}

async function compare(site, browser) {
  const boots = [];
  const add = (name, lines) => {
    boots.push({ name, lines });
    console.log(`${name}: ${lines.at(-1)}`);
  };
  for (const accel of ['jit', 'interp'])
    add(`${browser} ${accel}`, await bootInPage(site, { processors, accel }, seconds));
  for (const { name, path } of nodes())
    add(`${name} jit`, bootInNode(path, files, { processors, accel: 'jit' }));
  reportBoots(boots);
}
