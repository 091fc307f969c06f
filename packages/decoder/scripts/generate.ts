/**
 * Makes src/generated from isa/. `--check` writes nothing and fails if a file differs.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { decodeTables } from './table/emit-decode.ts';
import { formatModules } from './table/emit-format.ts';
import { infoTables } from './table/emit-info.ts';
import { mnemonicModule } from './table/emit-mnemonics.ts';
import { referenceText } from './table/emit-reference.ts';
import { readTable } from './table/record.ts';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));
const target = `${packageFolder}src/generated`;
const records = readTable(`${packageFolder}isa`);
const files: Record<string, string> = {
  'decode-tables.ts': decodeTables(records),
  'info-tables.ts': infoTables(records),
  'mnemonics.ts': mnemonicModule(records),
  'reference-text.ts': referenceText(records),
  ...formatModules(records),
};

let stale = 0;
mkdirSync(target, { recursive: true });
for (const [name, text] of Object.entries(files)) {
  const path = `${target}/${name}`;
  let old = '';
  try {
    old = readFileSync(path, 'utf8');
  } catch {
    // A file that does not exist yet is merely stale.
  }
  if (old === text) continue;
  stale++;
  if (process.argv.includes('--check'))
    console.error(`src/generated/${name} is not what isa/ says: run pnpm generate`);
  else writeFileSync(path, text);
}
console.log(
  `${records.length} encodings, ${stale} of ${Object.keys(files).length} generated files ${process.argv.includes('--check') ? 'stale' : 'written'}`,
);
if (stale > 0 && process.argv.includes('--check')) process.exitCode = 1;
