/**
 * `pnpm conformance:cpu [--seed N] [--count N] [--accel interp|jit|lockstep] [--mode 64|32] [--only MNEMONIC] [--undefined]`: N random instructions (default
 * 1,000,000) with random and edge operands against the host processor, in 64-bit or compatibility mode: registers, flags, vectors, x87, memory, faults.
 * `lockstep` interprets and compiles each and wants both to be equal, too. `--only` takes mnemonics separated by commas, or a regular expression between
 * slashes; `--undefined` compares undefined flags too. Ends with how many cases, mnemonics and disagreements there were; exit 1 if there was any. Needs gcc
 * and an x86-64 processor.
 *
 * `--record [--seed N] [--count N]` writes what the host makes of N cases (default 500,000; three fifths in 64-bit code) to packages/cpu/test/vectors or to
 * `--folder`; `--stored [--accel …]` replays what was recorded, on any host.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { definitions } from '../src/semantics/definitions.ts';
import { CaseGenerator } from '../test/harness/cases.ts';
import { EngineProcessor, type TestProcessor } from '../test/harness/engine-driver.ts';
import { runOnHost } from '../test/harness/host.ts';
import { hostName, hostVendor, type Vendor } from '../test/harness/host-processor.ts';
import type { CodeSize } from '../test/harness/host-state.ts';
import { LockstepProcessor } from '../test/harness/lockstep-processor.ts';
import {
  batchSize,
  type Comparison,
  compareBatch,
  compareCases,
  disagreementText,
  newComparison,
} from '../test/harness/run.ts';
import {
  baseDigest,
  VectorFile,
  vectorFileBytes,
  vectorFiles,
  vectorFolder,
  writeBatch,
} from '../test/harness/vectors.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string' },
    accel: { type: 'string', default: 'interp' },
    mode: { type: 'string', default: '64' },
    only: { type: 'string' },
    undefined: { type: 'boolean' },
    examples: { type: 'string', default: '3' },
    state: { type: 'boolean' },
    record: { type: 'boolean' },
    stored: { type: 'boolean' },
    folder: { type: 'string', default: vectorFolder },
    help: { type: 'boolean' },
  },
});
const seed = Number(values.seed);
const count = Number(values.count ?? (values.record ? 500_000 : 1_000_000));
const { accel } = values;
const mode = values.mode === '32' ? 32 : 64;
const options = { undefinedFlags: values.undefined, examples: Number(values.examples) };
if (
  values.help ||
  !Number.isInteger(seed) ||
  !Number.isInteger(count) ||
  !['interp', 'jit', 'lockstep'].includes(accel)
) {
  console.error(
    'usage: pnpm conformance:cpu [--seed INTEGER] [--count INTEGER] [--accel interp|jit|lockstep] [--mode 64|32] [--only ADD,SUB | --only /^PADD/] [--undefined] [--examples INTEGER] [--state]\n' +
      '       pnpm conformance:cpu --record [--seed INTEGER] [--count INTEGER] [--folder PATH]\n' +
      '       pnpm conformance:cpu --stored [--accel interp|jit|lockstep] [--examples INTEGER] [--folder PATH]',
  );
  process.exit(values.help ? 0 : 2);
}

if (values.record) record();
else if (values.stored) replay();
else compare();

function compare(): void {
  const generator = new CaseGenerator((name) => name in definitions && isWanted(name), mode);
  if (generator.mnemonics.length === 0) {
    console.error(`no instruction that the host can run is called ${values.only}`);
    process.exit(2);
  }
  const start = Date.now();
  const result = compareCases(generator, processorFor(mode, hostVendor()), count, seed, options);
  console.log(`host: ${hostName()}`);
  report(result, `seed ${seed}, ${accel}, ${mode}-bit code, ${seconds(start)} s`);
}

function replay(): void {
  const start = Date.now();
  const result = newComparison();
  for (const path of vectorFiles(values.folder)) {
    const file = new VectorFile(path);
    const { vendor, processor: name, mode: size, cases } = file.header;
    console.log(`${basename(path)}: ${cases} cases of ${name}`);
    const processor = processorFor(size, vendor);
    for (let i = 0; i < file.count; i++) {
      const { batch, outcomes } = file.read(i);
      compareBatch(result, processor, batch, outcomes, options);
    }
  }
  report(result, `stored, ${accel}, ${seconds(start)} s`);
}

function record(): void {
  const vendor = hostVendor();
  const all = Math.ceil(count / batchSize);
  const wide = Math.round(0.6 * all);
  mkdirSync(values.folder, { recursive: true });
  for (const [size, batches, first] of [
    [64, wide, seed],
    [32, all - wide, seed + wide],
  ] as const) {
    const generator = new CaseGenerator((name) => name in definitions, size);
    const written: Uint8Array[] = [];
    for (let i = 0; i < batches; i++) {
      const batch = generator.batch(batchSize, first + i);
      written.push(writeBatch({ batch, outcomes: runOnHost(batch) }));
    }
    const header = {
      vendor,
      processor: hostName(),
      mode: size,
      cases: batches * batchSize,
      digest: baseDigest(size),
    };
    const bytes = vectorFileBytes(header, written);
    const path = join(values.folder, `${vendor}-${size}.nvec`);
    writeFileSync(path, bytes);
    console.log(
      `${path}: ${header.cases} cases, ${generator.mnemonics.length} mnemonics, ${bytes.length} bytes`,
    );
  }
}

function processorFor(size: CodeSize, vendor: Vendor): TestProcessor {
  return accel === 'lockstep'
    ? new LockstepProcessor(size, vendor)
    : new EngineProcessor(accel === 'jit', size, vendor);
}

function report({ cases, compared, wrong, disagreements }: Comparison, title: string): void {
  let disagreeing = 0;
  for (const [name, times] of [...wrong].sort()) {
    disagreeing += times;
    console.log(`${name}: ${times} of ${compared.get(name)} differ`);
    for (const disagreement of disagreements)
      if (disagreement.one.mnemonic === name)
        console.log(`  ${disagreementText(disagreement, values.state === true)}`);
  }
  console.log(title);
  console.log(`cases: ${cases}`);
  console.log(`mnemonics: ${compared.size}`);
  console.log(`disagreements: ${disagreeing}`);
  process.exit(disagreeing > 0 ? 1 : 0);
}

function seconds(start: number): string {
  return ((Date.now() - start) / 1000).toFixed(1);
}

function isWanted(name: string): boolean {
  const { only } = values;
  if (only === undefined) return true;
  if (only.startsWith('/')) return new RegExp(only.slice(1, -1)).test(name);
  return only.toUpperCase().split(',').includes(name);
}
