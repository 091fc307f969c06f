/**
 * `pnpm conformance:cpu [--seed N] [--count N] [--accel interp|jit] [--mode 64|32] [--only MNEMONIC] [--undefined]`: N random instructions (default 1,000,000) with
 * random and edge operands against the host processor, in 64-bit or compatibility mode: registers, flags, vectors, x87, memory, faults. `--only` takes mnemonics separated by commas, or a
 * regular expression between slashes; `--undefined` compares undefined flags too. Ends with how many cases, mnemonics and disagreements there were; exit 1 if
 * there was any. Needs gcc and an x86-64 processor.
 */
import { parseArgs } from 'node:util';
import { definitions } from '../src/semantics/definitions.ts';
import { CaseGenerator } from '../test/harness/cases.ts';
import { EngineProcessor } from '../test/harness/engine-driver.ts';
import { compareCases, disagreementText } from '../test/harness/run.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1000000' },
    accel: { type: 'string', default: 'interp' },
    mode: { type: 'string', default: '64' },
    only: { type: 'string' },
    undefined: { type: 'boolean' },
    examples: { type: 'string', default: '3' },
    state: { type: 'boolean' },
    help: { type: 'boolean' },
  },
});
const seed = Number(values.seed);
const count = Number(values.count);
const { accel } = values;
const mode = values.mode === '32' ? 32 : 64;
if (
  values.help ||
  !Number.isInteger(seed) ||
  !Number.isInteger(count) ||
  !['interp', 'jit'].includes(accel)
) {
  console.error(
    'usage: pnpm conformance:cpu [--seed INTEGER] [--count INTEGER] [--accel interp|jit] [--mode 64|32] [--only ADD,SUB | --only /^PADD/] [--undefined] [--examples INTEGER] [--state]',
  );
  process.exit(values.help ? 0 : 2);
}

const generator = new CaseGenerator((name) => name in definitions && isWanted(name), mode);
if (generator.mnemonics.length === 0) {
  console.error(`no instruction that the host can run is called ${values.only}`);
  process.exit(2);
}
const start = Date.now();
const { cases, compared, wrong, disagreements } = compareCases(
  generator,
  new EngineProcessor(accel === 'jit', mode),
  count,
  seed,
  { undefinedFlags: values.undefined, examples: Number(values.examples) },
);
let disagreeing = 0;
for (const [name, times] of [...wrong].sort()) {
  disagreeing += times;
  console.log(`${name}: ${times} of ${compared.get(name)} differ`);
  for (const disagreement of disagreements)
    if (disagreement.one.mnemonic === name)
      console.log(`  ${disagreementText(disagreement, values.state === true)}`);
}
console.log(`seed ${seed}, ${accel}, ${mode}-bit code, ${((Date.now() - start) / 1000).toFixed(1)} s`);
console.log(`cases: ${cases}`);
console.log(`mnemonics: ${compared.size}`);
console.log(`disagreements: ${disagreeing}`);
process.exit(disagreeing > 0 ? 1 : 0);

function isWanted(name: string): boolean {
  const { only } = values;
  if (only === undefined) return true;
  if (only.startsWith('/')) return new RegExp(only.slice(1, -1)).test(name);
  return only.toUpperCase().split(',').includes(name);
}
