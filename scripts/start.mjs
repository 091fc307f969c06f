// `npm start`: something real at once. Boots the guest that the repository carries, with no further download.
import './setup.mjs';
import { run, sourceFlags } from './lib/workspace.mjs';

const guest = ['run', '--kernel', 'guests/welcome/welcome.elf', '--clock', 'realtime', '--smp', '2'];
process.exitCode = run(process.execPath, [...sourceFlags, 'packages/cli/src/main.ts', ...guest]).status;
