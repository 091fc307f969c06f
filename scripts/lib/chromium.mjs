// Chromium without a driver: it opens pages of a server of ours, and each page tells the server what came of it.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { delimiter, join, normalize } from 'node:path';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const types = { '.js': 'text/javascript', '.html': 'text/html', '.json': 'application/json' };

/** The path of a browser: NEST86_CHROMIUM, or what Debian's package and Google's call it. */
export function findChromium() {
  if (process.env.NEST86_CHROMIUM) return process.env.NEST86_CHROMIUM;
  return (process.env.PATH ?? '')
    .split(delimiter)
    .flatMap((dir) => names.map((name) => join(dir, name)))
    .find((path) => existsSync(path));
}

/** What a browser without a screen is started with. @param profile a folder that may be thrown away */
export function chromiumFlags(profile) {
  const flags = [
    '--headless',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--disable-sync',
    `--user-data-dir=${profile}`,
  ];
  // Chromium's sandbox refuses root.
  return process.getuid?.() === 0 ? [...flags, '--no-sandbox'] : flags;
}

/** The page that runs `module` under `imports` (an import map) and reports `{ lines, error }`: what it printed, why it failed. */
const page = (module, imports) => `<!doctype html>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">
const lines = [];
const show = (value) => (typeof value === 'bigint' ? value + 'n' : String(value));
console.log = (...values) => lines.push(values.map(show).join(' '));
let error = null;
try {
  await import('${module}');
} catch (thrown) {
  error = String(thrown?.stack ?? thrown);
}
const answer = await fetch('/report', { method: 'POST', body: JSON.stringify({ lines, error }) });
const next = await answer.text();
if (next !== '') location.href = next;
</script>
`;

/**
 * Serves `folder` and runs one page after the other in a headless browser.
 *
 * @param pages `{ module, imports }`: a module's path below `folder`, and an import map
 * @returns a report for each page, and how the browser calls itself
 */
export async function runPages(chromium, folder, pages, profile, seconds = 300) {
  const reports = [];
  let browser;
  let agent = '';
  let finish;
  const done = new Promise((resolve, reject) => {
    finish = { resolve, reject };
  });
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
    if (path === '/report') {
      let body = '';
      agent = request.headers['user-agent'] ?? '';
      request.setEncoding('utf8');
      request.on('data', (text) => {
        body += text;
      });
      request.on('end', () => {
        reports.push(JSON.parse(body));
        const isLast = reports.length === pages.length;
        response.end(isLast ? '' : `/page/${reports.length}`);
        if (isLast) finish.resolve();
      });
      return;
    }
    const number = /^\/page\/(\d+)$/.exec(path)?.[1];
    if (number !== undefined) {
      const { module, imports } = pages[number];
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end(page(module, imports));
      return;
    }
    const file = join(folder, path);
    if (path.includes('..') || !existsSync(file)) {
      response.writeHead(404);
      response.end();
      return;
    }
    const type = types[/\.\w+$/.exec(file)?.[0]] ?? 'application/octet-stream';
    response.writeHead(200, { 'content-type': type });
    response.end(readFileSync(file));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const timer = setTimeout(
    () => finish.reject(new Error(`page ${reports.length} did not report within ${seconds} s`)),
    seconds * 1000,
  );
  try {
    const url = `http://127.0.0.1:${server.address().port}/page/0`;
    browser = spawn(chromium, [...chromiumFlags(profile), url], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let errors = '';
    browser.stderr.on('data', (text) => {
      errors = (errors + text).slice(-4000);
    });
    browser.on('error', finish.reject);
    const ended = new Promise((resolve) => browser.on('exit', resolve));
    ended.then((code) => finish.reject(new Error(`${chromium} ended with code ${code}:\n${errors}`)));
    await done;
    browser.kill();
    await ended;
  } finally {
    clearTimeout(timer);
    browser?.kill();
    server.closeAllConnections();
    server.close();
  }
  const name = /(?:Headless)?Chrom\w+\/[\d.]+/.exec(agent)?.[0] ?? agent;
  return { reports, browser: name };
}
