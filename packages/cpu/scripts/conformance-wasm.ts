/**
 * `pnpm conformance:wasm [--bits 64,32,16]`: every shape of handler that the decoder's table can ask for, in every mode: its definition staged as a handler and as a
 * region must be valid WebAssembly, and may write nothing that a program can see before it may fault or be tried again. Exit 1 if one does not.
 */
import { parseArgs } from 'node:util';
import { definitions } from '../src/semantics/definitions.ts';
import { checkShapes } from '../test/staging/check-shapes.ts';
import { ShapeFinder } from '../test/staging/shapes.ts';

const { values } = parseArgs({ options: { bits: { type: 'string', default: '64,32,16' } } });
const start = process.cpuUsage();
const mnemonics = new Set<string>();
let shapes = 0;
let functions = 0;
let bytes = 0;
let wrong = 0;
for (const size of values.bits.split(',')) {
  const bits = Number(size) as 16 | 32 | 64;
  // In parts: a list of all would not fit the memory of a small machine.
  for (let part = 0; part < 16; part++) {
    const found = new ShapeFinder().find({
      bits: [bits],
      all: true,
      opcodes: (opcode) => opcode % 16 === part,
    });
    const findings = checkShapes(found);
    for (const { shape } of found) mnemonics.add(shape.mnemonic);
    shapes += found.length;
    functions += findings.handlers + findings.regions;
    bytes += findings.bytes;
    wrong += findings.invalid.length + findings.disorder.size;
    for (const line of findings.invalid.slice(0, 20)) console.log(`invalid: ${line}`);
    for (const [line, name] of findings.disorder) console.log(`order: ${line}: ${name}`);
  }
}
const { user, system } = process.cpuUsage(start);
// 3DNow!, which no processor of the engine has.
const missing = Object.keys(definitions).filter((name) => name !== 'FEMMS' && !mnemonics.has(name));
console.log(
  `mnemonics: ${mnemonics.size} of ${Object.keys(definitions).length}${missing.length === 0 ? '' : `, not ${missing.join(' ')}`}`,
);
console.log(
  `shapes: ${shapes}, functions: ${functions}, ${(bytes / 2 ** 20).toFixed(0)} MiB (${((user + system) / 1e6).toFixed(0)} s)`,
);
console.log(`findings: ${wrong}`);
process.exit(wrong > 0 || missing.length > 0 ? 1 : 0);
