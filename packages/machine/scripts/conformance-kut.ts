/**
 * `pnpm conformance:kut --dir FOLDER [--only PATTERN] [--accel jit|interp] [--tlb NAME] [--cpu ,+feature,-feature] [--seconds N] [--instructions N] [--text] [--json FILE]`:
 * kvm-unit-tests' configurations for x86 in the machine. FOLDER is a clone of kvm-unit-tests, configured with --arch=x86_64 or --arch=i386 and built. PATTERN is a regular
 * expression for whole names of configurations. A configuration ends behind so many seconds of the host's processor (default: its own, 300 at least) or instructions (default 10^11).
 * What needs KVM, Hyper-V, a PMU or the other build is left out and listed. Prints a line each with counts of PASS, FAIL, SKIP and expected failures,
 * then the failures; `--text` prints the consoles. Exit 1 if something failed or did not end.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { builtFor, readConfigurations, whyNot } from './kvm-unit-tests/configuration.ts';
import { type Outcome, runConfiguration } from './kvm-unit-tests/run.ts';

const { values } = parseArgs({
  options: {
    dir: { type: 'string' },
    only: { type: 'string', default: '.*' },
    accel: { type: 'string', default: 'jit' },
    tlb: { type: 'string', default: 'set-associative' },
    cpu: { type: 'string', default: '' },
    seconds: { type: 'string' },
    instructions: { type: 'string', default: '1e11' },
    text: { type: 'boolean' },
    json: { type: 'string' },
    help: { type: 'boolean' },
  },
});
const { dir, accel, tlb } = values;
if (
  values.help ||
  dir === undefined ||
  (accel !== 'jit' && accel !== 'interp') ||
  (tlb !== 'set-associative' && tlb !== 'exact' && tlb !== 'chaos' && tlb !== 'none')
) {
  console.error(
    'usage: pnpm conformance:kut --dir FOLDER [--only PATTERN] [--accel jit|interp] [--tlb set-associative|exact|chaos|none] [--cpu ,+feature,-feature] [--seconds N] [--instructions N] [--text] [--json FILE]',
  );
  process.exit(values.help ? 0 : 2);
}

/** kvm-unit-tests' own runner gives 90, to hardware. */
const usualSeconds = 300;

const wanted = new RegExp(`^(?:${values.only})$`);
const configurations = readConfigurations(readFileSync(join(dir, 'x86/unittests.cfg'), 'utf8')).filter(
  ({ name }) => wanted.test(name),
);
const build = builtFor(readFileSync(join(dir, 'config.mak'), 'utf8'));
const outcomes: Outcome[] = [];
const leftOut: { name: string; why: string }[] = [];
console.log('configuration                 verdict    pass  fail  skip xfail  Minstr  seconds  end');
for (const configuration of configurations) {
  const path = join(dir, 'x86', configuration.file);
  const why = whyNot(configuration, build) ?? (existsSync(path) ? undefined : 'not built');
  if (why !== undefined) {
    leftOut.push({ name: configuration.name, why });
    continue;
  }
  const outcome = runConfiguration(configuration, readFileSync(path), {
    accel,
    tlb,
    cpu: values.cpu,
    seconds: Number(values.seconds ?? Math.max(usualSeconds, configuration.timeout ?? 0)),
    instructions: Number(values.instructions),
  });
  outcomes.push(outcome);
  if (values.text) process.stdout.write(outcome.text);
  console.log(row(outcome));
  for (const failure of outcome.failures.slice(0, 20)) console.log(`    ${failure}`);
  if (outcome.failures.length > 20) console.log(`    and ${outcome.failures.length - 20} more`);
}
const count = (verdict: Outcome['verdict']): number =>
  outcomes.filter((outcome) => outcome.verdict === verdict).length;
console.log(
  `${outcomes.length} configurations: ${count('pass')} pass, ${count('fail')} fail, ${count('skip')} skip themselves, ${count('timeout')} did not end`,
);
if (leftOut.length > 0)
  console.log(`left out: ${leftOut.map(({ name, why }) => `${name} (${why})`).join(', ')}`);
if (values.json !== undefined) {
  const rows = outcomes.map(({ text: _, ...rest }) => rest);
  writeFileSync(values.json, `${JSON.stringify({ outcomes: rows, leftOut }, undefined, 2)}\n`);
}
process.exitCode = count('fail') + count('timeout') > 0 ? 1 : 0;

function row(outcome: Outcome): string {
  const { name, verdict, passed, failed, skipped, expected, instructions, seconds, end } = outcome;
  const numbers = [passed, failed, skipped, expected].map((number) => String(number).padStart(6)).join('');
  const cost = `${(instructions / 1e6).toFixed(1).padStart(8)} ${seconds.toFixed(1).padStart(8)}`;
  return `${name.padEnd(30)}${verdict.padEnd(8)}${numbers}${cost}  ${end}`;
}
