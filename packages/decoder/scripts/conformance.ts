/**
 * `pnpm conformance:decoder [--seed N] [--count N]`: the long comparison with iced-x86. First every opcode of every map with every class of
 * prefixes, payload bits and ModRM (`test/oracle/walk.ts`), then N random byte strings (default 20 million), in every mode, for both vendors and
 * with every decoder feature. Ends with the number of disagreements; exit 1 if any is not on the list (`test/oracle/disagreements.ts`).
 */
import { parseArgs } from 'node:util';
import { listed } from '../test/oracle/disagreements.ts';
import { featureSets } from '../test/oracle/features.ts';
import { compareAll, type OraclePair, oracleOptions, unconnectedCodes } from '../test/oracle/iced.ts';
import { randomStrings } from '../test/oracle/random.ts';
import { walk } from '../test/oracle/walk.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '20000000' },
    help: { type: 'boolean' },
  },
});
const seed = Number(values.seed);
const count = Number(values.count);
if (values.help || !Number.isInteger(seed) || !Number.isInteger(count) || count < 0) {
  console.error('usage: pnpm conformance:decoder [--seed INTEGER] [--count INTEGER]');
  process.exit(values.help ? 0 : 2);
}

const modes = [64, 32, 16] as const;
const kinds = new Map<string, { count: number; example: string; known: boolean }>();
let compared = 0;
let valid = 0;

function compare(buffer: Uint8Array, stride: number, pair: OraclePair): void {
  compared += buffer.length / stride;
  valid += compareAll(buffer, stride, pair, (offset, what) => {
    const key = `${pair.ours.mode}-bit ${pair.ours.vendor}: ${what}`;
    const bytes = buffer.subarray(offset, offset + 15);
    const kind = kinds.get(key) ?? {
      count: 0,
      example: Buffer.from(bytes).toString('hex'),
      known: listed(bytes, pair.ours, what),
    };
    kind.count++;
    kinds.set(key, kind);
  });
}

const missing = unconnectedCodes();
console.log(
  `seed ${seed}; ${missing.length} codes of iced stand for no encoding of ours${missing.length ? `: ${missing.join(' ')}` : ''}`,
);

for (const mode of modes) {
  const before = compared;
  const start = Date.now();
  walk(mode, (buffer, stride) => compare(buffer, stride, oracleOptions(mode)));
  console.log(
    `walk, ${mode}-bit: ${compared - before} encodings, ${seconds(start)} s, ${kinds.size} kinds of disagreement`,
  );
}
const walked = compared;

for (const mode of modes) {
  const sets = featureSets(mode);
  const start = Date.now();
  const before = compared;
  sets.forEach((pair, i) => {
    // Half of the strings go to the default set, the rest is shared by the others.
    const share = i === 0 ? count / 6 : count / 6 / (sets.length - 1);
    randomStrings(mode, Math.ceil(share), seed + mode * 1000 + i, (buffer, stride) =>
      compare(buffer, stride, pair),
    );
  });
  console.log(
    `random, ${mode}-bit, ${sets.length} feature sets: ${compared - before} strings, ${seconds(start)} s`,
  );
}

const rows = [...kinds].sort((a, b) => b[1].count - a[1].count);
for (const [key, kind] of rows.slice(0, 100))
  console.log(`${kind.known ? 'listed ' : ''}${kind.count} × ${key} (${kind.example})`);
const unlisted = rows.filter(([, kind]) => !kind.known).length;
console.log(
  `${walked} walked and ${compared - walked} random compared, ${valid} valid; ${missing.length} codes missing; ${rows.length} disagreements, ${unlisted} not on the list`,
);
process.exitCode = unlisted > 0 || missing.length > 0 ? 1 : 0;

function seconds(start: number): string {
  return ((Date.now() - start) / 1000).toFixed(0);
}
