// A vitest reporter that leaves `{ passed, failed }` in the file named by NEST86_TALLY. Beside failed tests it counts
// what vitest keeps apart: files that did not load, hooks that threw, errors outside any test.
import { writeFileSync } from 'node:fs';

export default class TallyReporter {
  onTestRunEnd(modules, unhandledErrors) {
    let passed = 0;
    let failed = unhandledErrors.length;
    for (const module of modules) {
      for (const group of [module, ...module.children.allSuites()]) if (group.errors().length > 0) failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed++;
        else if (state !== 'skipped') failed++;
      }
    }
    writeFileSync(process.env.NEST86_TALLY, JSON.stringify({ passed, failed }));
  }
}
