import { DecodeStatus } from '@nest86/decoder';
import { describe, expect, test } from 'vitest';
import { Engine } from '../src/engine/engine.ts';
import { shapeName } from '../src/interpreter/shape.ts';
import type { CodeModeInit } from '../src/records/code-mode.ts';
import { Row, recordSize } from '../src/records/layout.ts';
import { Recipe } from '../src/records/recipe.ts';
import { Translator, Written } from '../src/records/translate.ts';
import { pick, type Random, randomNumbers } from './harness/random.ts';
import { plainMode } from './plain-mode.ts';

const full = plainMode(64);
const inits: readonly CodeModeInit[] = [
  full,
  { ...full, hasSse: false, hasAvx: false },
  plainMode(32),
  { ...plainMode(32), stackAddressBits: 16, isFlat: false, hasX87: false },
  { ...plainMode(16), isFlat: true },
];

const prefixes = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3];

/** Prefixes, an opcode of any map, random bytes behind it. */
function writeRandom(bytes: Uint8Array, random: Random): void {
  for (let i = 0; i < bytes.length; i++) bytes[i] = random();
  let at = 0;
  while (random() % 3 === 0 && at < 3) bytes[at++] = pick(random, prefixes);
  if (random() % 2 === 0) bytes[at++] = 0x40 | (random() & 15);
  const map = random() % 5;
  if (map === 0) return;
  if (map === 4) bytes[at] = 0xc4 | (random() & 1);
  else {
    bytes[at] = 0x0f;
    if (map > 1) bytes[at + 1] = map === 2 ? 0x38 : 0x3a;
  }
}

describe('recipes', () => {
  test('an instruction whose recipe is known is written like one that is seen for the first time', () => {
    const engine = new Engine({ ramSize: 65536 });
    const { handlers, view, modes } = engine;
    const known = new Translator(view, handlers);
    const random = randomNumbers(1);
    const bytes = new Uint8Array(16);
    const written = new Set<string>();
    // Records where no block is.
    const [first, second] = [engine.physical.base, engine.physical.base + recordSize];
    const contents = (at: number): string =>
      Array.from(new Uint8Array(view.buffer, at, recordSize), (byte) => byte.toString(16)).join(' ');
    for (let i = 0; i < 12_000; i++) {
      if (handlers.isFull) {
        handlers.reset();
        known.forgetRows();
      }
      const mode = modes.of(pick(random, inits));
      writeRandom(bytes, random);
      const offset = random() % 4096;
      const end = known.write(first, bytes, 0, offset, mode);
      if (end === Written.truncated) continue;
      const { instruction } = known;
      const row = view.getUint16(first, true);
      const isThere = instruction.status === DecodeStatus.ok && mode.instructions.has(instruction);
      const recipe = isThere ? Recipe.of(instruction, mode, (name) => handlers.has(name)) : undefined;
      if (recipe === undefined) {
        expect(row).toBe(Row.service);
        continue;
      }
      const name = shapeName(recipe.shape);
      written.add(name);
      if (handlers.rowOf(recipe.shape) !== row) expect(shapeName(handlers.shapeOf(row)!)).toBe(name);
      new Uint8Array(view.buffer, second, recordSize).fill(0);
      view.setInt32(second, view.getInt32(first, true), true);
      recipe.fill(view, second, instruction, offset);
      if (contents(first) !== contents(second)) expect(`${name}: ${contents(first)}`).toBe(contents(second));
      if (recipe.isClosed !== (end === Written.closed)) expect(`${name}: ${end}`).toBe(recipe.isClosed);
    }
    expect(written.size).toBeGreaterThan(800);
  }, 30_000);
});
