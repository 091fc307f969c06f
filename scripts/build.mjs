// `pnpm build`: dist/ of every package, through turbo's cache. Words go to turbo: `pnpm build --filter=nest86`.
// Turbo starts each package's build with pnpm, which a plain `npm run` would not have on the path; hence pnpm exec.
import './setup.mjs';
import { pnpm } from './lib/workspace.mjs';

process.exitCode = pnpm(['exec', 'turbo', 'run', 'build', ...process.argv.slice(2)]).status;
