// One deterministic boot: prints its fingerprints. `node boot-trace.mjs '{"kernel": FILE, "initrd": FILE, "append": TEXT, …}'`; see determinism.mjs.
import { readFileSync } from 'node:fs';
import { startKernel, trace } from '../browser/boot.js';

const { kernel, initrd, append, shows, options, steps } = JSON.parse(process.argv[2]);
const files = { kernel: readFileSync(kernel), initrd: readFileSync(initrd), append };
const serial = { write: (byte) => shows && process.stderr.write(Uint8Array.of(byte)) };
trace(startKernel(files, { ...options, serial }), steps, (line) => console.log(line));
