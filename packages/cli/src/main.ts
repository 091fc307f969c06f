#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';
import { runCli } from './cli.ts';
import { nodeIo } from './node-io.ts';

// What translating code leaves behind dies at once: a young generation that grows takes memory and saves no time (measured, `pnpm bench:footprint`:
// 27 MB less on Node 20, 12 MB on Node 26, equal processor time).
if (process.argv[2] === 'run') setFlagsFromString('--semi-space-growth-factor=1');

// Not process.exit(): output may still be on its way into a pipe.
process.exitCode = await runCli(process.argv.slice(2), nodeIo());
