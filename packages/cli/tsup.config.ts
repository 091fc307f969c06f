import type { Options } from 'tsup';
import { packageBuild } from '../../scripts/lib/package-build.ts';

const options: Options = packageBuild(
  { main: 'src/main.ts' },
  {
    platform: 'node',
    dts: false,
    // The command carries what it uses of our packages: each file that Node has to find, and code that nobody calls, delays its start.
    noExternal: [/^@nest86\//],
    esbuildOptions(options) {
      // No comments with letters beyond ASCII, which would make V8 read the whole file as UTF-16. Names stay, for stack traces.
      options.minifyWhitespace = true;
    },
  },
);

export default options;
