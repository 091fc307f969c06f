/**
 * `pnpm conformance:staging [--seed N] [--count N] [--mode 64|32] [--only MNEMONIC]`: N random instructions (default 100,000), each executed three times from the
 * same state: interpreted, compiled, and evaluated without WebAssembly. All three must end in the same state, bit by bit. Exit 1 if any differs. `--only` as for
 * `conformance:cpu`. Needs an x86-64 Linux host only to know which instructions to take.
 */
import { parseArgs } from 'node:util';
import { definitions } from '../src/semantics/definitions.ts';
import { CaseGenerator } from '../test/harness/cases.ts';
import { compareStagings } from '../test/staging/stagings.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100000' },
    mode: { type: 'string', default: '64' },
    only: { type: 'string' },
  },
});
const generator = new CaseGenerator(
  (name) => name in definitions && isWanted(name),
  values.mode === '32' ? 32 : 64,
);
const { cases, mnemonics, differences } = compareStagings(
  generator,
  Number(values.count),
  Number(values.seed),
);
for (const line of differences.slice(0, 100)) console.log(line);
console.log(`cases: ${cases}`);
console.log(`mnemonics evaluated: ${mnemonics.size} of ${generator.mnemonics.length}`);
console.log(`differences: ${differences.length}`);
process.exit(differences.length > 0 ? 1 : 0);

function isWanted(name: string): boolean {
  const { only } = values;
  if (only === undefined) return true;
  if (only.startsWith('/')) return new RegExp(only.slice(1, -1)).test(name);
  return only.toUpperCase().split(',').includes(name);
}
