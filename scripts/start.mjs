// `npm start`: something real at once. Decodes the program that is running this, node itself.
import './setup.mjs';
import { run, sourceFlags } from './lib/workspace.mjs';

const decode = ['decode', '--stats', '--limit', '20', process.execPath];
process.exitCode = run(process.execPath, [...sourceFlags, 'packages/cli/src/main.ts', ...decode]).status;
