// The same deterministic boot on several engines: packages/machine/browser/boot.js run by a node, or by a page's worker.
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, normalize } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPage } from './devtools.mjs';
import { publishedPackages, root, run } from './workspace.mjs';

const boot = { append: 'console=ttyS0 run=poweroff', interval: 100_000_000, most: 20_000_000_000 };

/** Fingerprints of a boot in a node. @param slice instructions of one run of the machine */
export function bootInNode(node, { kernel, initrd }, { processors, accel, slice = boot.interval }) {
  const { append, interval, most } = boot;
  const request = {
    kernel,
    initrd,
    append,
    options: { processors, accel },
    steps: { interval, most, slice },
  };
  const { output } = run(node, ['packages/machine/scripts/boot-trace.mjs', JSON.stringify(request)], {
    capture: true,
  });
  return output.trim().split('\n');
}

/** The same in a browser. */
export async function bootInPage(site, { processors, accel }, seconds) {
  const page = await site.open({ ...boot, processors, accel, clock: 'deterministic' });
  try {
    return (await ended(page, seconds)).split('\n');
  } finally {
    await page.close();
  }
}

/** Compares `{ name, lines }`, says what came of it, and where the first two differ. */
export function reportBoots(boots) {
  const [first, ...others] = boots;
  const powersOff = first.lines.at(-1).startsWith('poweroff: ');
  if (!powersOff) console.error(`FAILED: ${first.name} does not power off`);
  const different = others.filter(({ lines }) => lines.join() !== first.lines.join());
  for (const { name, lines } of different) {
    const at = first.lines.findIndex((line, i) => line !== lines[i]);
    console.error(
      `DIFFERENT: fingerprint ${at}\n  ${first.name}: ${first.lines[at]}\n  ${name}: ${lines[at]}`,
    );
  }
  if (powersOff && different.length === 0)
    console.log(`ok: ${boots.length} boots with the same ${first.lines.length} fingerprints`);
  else process.exitCode = 1;
}

/** Waits until an expression of the page gives something; what the machine says at its end is an error before that. */
export async function waitFor(page, expression, seconds) {
  const until = Date.now() + seconds * 1000;
  for (;;) {
    const value = await page.value(expression);
    if (value) return value;
    const end = await page.value('end.textContent');
    if (end) throw new Error(`the machine ended (${end}):\n${await page.value('terminal.textContent')}`);
    if (Date.now() > until)
      throw new Error(`nothing after ${seconds} s:\n${await page.value('terminal.textContent')}`);
    await sleep(100);
  }
}

/** What the machine says at its end. */
export const ended = (page, seconds) => waitFor(page, 'end.textContent', seconds);

const types = { '.js': 'text/javascript', '.html': 'text/html' };
/** The browser itself sees to it that nothing comes from elsewhere, and that no text is evaluated as a program. */
const policy = "default-src 'self'; img-src data:; script-src 'self' 'wasm-unsafe-eval'";

/**
 * Serves packages/machine/browser, the built packages and the two files on a local port while `body` runs.
 * @param body gets `{ open(choices) }`: a page with these choices in its address, in a browser of its own
 */
export async function withSite(chromium, { kernel, initrd }, folder, body) {
  const specifiers = entries();
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
    const file =
      { '/kernel': kernel, '/initrd': initrd }[path] ??
      (path.startsWith('/packages/') ? join(root, path) : join(root, 'packages/machine/browser', path));
    if (path.includes('..') || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404);
      response.end();
      return;
    }
    const extension = /\.\w+$/.exec(path)?.[0];
    const type = types[extension] ?? 'application/octet-stream';
    response.writeHead(200, { 'content-type': type, 'content-security-policy': policy });
    if (extension === '.js') response.end(withAddresses(readFileSync(file, 'utf8'), specifiers));
    else createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const site = `http://127.0.0.1:${server.address().port}`;
  let profiles = 0;
  try {
    return await body({
      open: (choices) =>
        openPage(
          chromium,
          `${site}/index.html?${new URLSearchParams(choices)}`,
          join(folder, `profile-${++profiles}`),
        ),
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Specifiers of our packages, and where the server has their built files. */
function entries() {
  const found = new Map();
  for (const { name, relative, manifest } of publishedPackages().map((one) => ({
    ...one,
    name: one.manifest.name,
  })))
    for (const [entry, target] of Object.entries(manifest.exports ?? {}))
      if (target.default !== undefined)
        found.set(name + entry.slice(1), `/${relative}${target.default.slice(1)}`);
  return found;
}

/** Import maps do not reach into workers: the server puts addresses where our packages' names are. */
function withAddresses(code, specifiers) {
  return code.replace(/(\b(?:from|import)\s*)(['"])(@nest86\/[^'"]+)\2/g, (all, before, quote, name) =>
    specifiers.has(name) ? `${before}${quote}${specifiers.get(name)}${quote}` : all,
  );
}
