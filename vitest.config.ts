import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProjectInlineConfiguration, ViteUserConfig } from 'vitest/config';

// Tests run on the sources of every package: nothing has to be built first.
// After our own condition come vite's defaults, which naming one replaces.
const conditions = ['nest86-source', 'module', 'node', 'development|production'];

const packages = fileURLToPath(new URL('packages', import.meta.url));
const projects: TestProjectInlineConfiguration[] = readdirSync(packages)
  .filter((name) => existsSync(join(packages, name, 'package.json')))
  .map((name) => ({
    extends: true,
    test: { name, root: join(packages, name), include: ['{src,test}/**/*.test.ts'] },
  }));

const config: ViteUserConfig = {
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  // A limit for what hangs: no test asserts how fast it is, and CI machines are busy.
  test: { projects, testTimeout: 120_000, hookTimeout: 120_000 },
};

export default config;
