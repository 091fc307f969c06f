#!/usr/bin/env node
import { runCli } from './cli.ts';
import { nodeIo } from './node-io.ts';

// Not process.exit(): output may still be on its way into a pipe.
process.exitCode = await runCli(process.argv.slice(2), nodeIo());
