// The machine: its serial port's bytes go to the page, the page's keys come to its serial port. In real time it can be typed to; else it boots to its end.
import { fingerprint, startKernel, trace } from './boot.js';

/** Instructions after which keys are looked at, and milliseconds that it sleeps at most. */
const slice = 1_000_000;
const longestSleep = 1000;

const decoder = new TextDecoder();
let bytes = [];
const serial = { write: (byte) => bytes.push(byte) };
const typed = [];
/** Continues a machine that sleeps. */
let wake = () => {};

addEventListener('message', async ({ data }) => {
  if (data.typed !== undefined) {
    typed.push(...new TextEncoder().encode(data.typed));
    wake();
    return;
  }
  try {
    await start(data.start);
  } catch (error) {
    postMessage({ ended: `error: ${error.stack}` });
  }
});

async function start({ append, accel, clock, processors, interval, most }) {
  const [kernel, initrd] = await Promise.all(['kernel', 'initrd'].map(load));
  const options = { processors: Number(processors), accel, clock, serial };
  const begin = performance.now();
  const machine = startKernel({ kernel, initrd, append }, options);
  if (clock === 'realtime') {
    const why = await talk(machine);
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    postMessage({ ended: `${why} after ${seconds} s: ${fingerprint(machine)}` });
    return;
  }
  const lines = [];
  trace(machine, { interval: Number(interval), most: Number(most) }, (line) => {
    lines.push(line);
    flush();
  });
  postMessage({ ended: lines.join('\n') });
}

/** @returns why it ended */
async function talk(machine) {
  const { serial: port } = machine.pc;
  for (;;) {
    while (typed.length > 0 && port.hasRoom) port.receive(typed.shift());
    const end = machine.run(slice);
    flush();
    if (end.reason === 'limit') await pause(0);
    else if (end.reason === 'idle') await pause(typed.length > 0 ? 1 : (end.until - machine.clock.now) / 1e6);
    else return end.problem ?? end.reason;
  }
}

/** Lets messages in, sleeps so many milliseconds or until a key comes. */
function pause(milliseconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.min(Math.max(milliseconds, 0), longestSleep));
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

function flush() {
  if (bytes.length === 0) return;
  const text = decoder.decode(Uint8Array.from(bytes), { stream: true });
  bytes = [];
  postMessage({ text });
}

async function load(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}
