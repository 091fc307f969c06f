import { arithmetic } from './arithmetic.ts';
import { bits } from './bits.ts';
import { bmi } from './bmi.ts';
import { branches } from './branches.ts';
import { decimal } from './decimal.ts';
import { exchange } from './exchange.ts';
import { flagControl } from './flag-control.ts';
import { floatingFamilies } from './floating/index.ts';
import { hints } from './hints.ts';
import { moves } from './moves.ts';
import { multiply } from './multiply.ts';
import type { Definition, Family } from './operation.ts';
import { shifts } from './shifts.ts';
import { stack } from './stack.ts';
import { strings } from './strings.ts';
import { systemFlagFamily } from './system/flags.ts';
import { interruptReturns } from './system/interrupt-return.ts';
import { time } from './system/time.ts';
import { transitions } from './system/transitions.ts';
import { unaligned, vectorFamilies } from './vector/index.ts';
import { x87Families } from './x87/index.ts';

const families: readonly Family[] = [
  arithmetic,
  moves,
  stack,
  branches,
  shifts,
  bits,
  bmi,
  multiply,
  exchange,
  strings,
  flagControl,
  decimal,
  hints,
  time,
  transitions,
  systemFlagFamily,
  interruptReturns,
  ...vectorFamilies,
  ...floatingFamilies,
  ...x87Families,
];

/** What each instruction does, by mnemonic: the only place. Interpreter, compiled regions and evaluator read it. */
export const definitions: Readonly<Record<string, Definition>> = joinFamilies();

/** MOVSD and CMPSD are two instructions each: one on strings, whose operands are implicit, one on vectors. */
function joinFamilies(): Record<string, Definition> {
  const joined: Record<string, Definition> = {};
  for (const family of families) {
    for (const [mnemonic, definition] of Object.entries(family.definitions)) {
      const other = joined[mnemonic];
      if (other === undefined) joined[mnemonic] = definition;
      else if (other === strings.definitions[mnemonic])
        joined[mnemonic] = (op) => (op.kind(0) === 'implicit' ? other : definition)(op);
      else throw new Error(`${mnemonic} is defined twice`);
    }
  }
  return joined;
}

/** Mnemonics whose immediates are part of the handler. */
export const constantImmediates: ReadonlySet<string> = new Set(
  families.flatMap((family) => family.constantImmediates ?? []),
);

/** Mnemonics whose memory operand must be aligned. */
export const alignedMnemonics: ReadonlySet<string> = new Set(
  families.flatMap((family) => family.aligned ?? []),
);

/** Mnemonics of instructions that are no branches, and end their block nevertheless. */
export const blockEnds: ReadonlySet<string> = new Set(families.flatMap((family) => family.blockEnds ?? []));

/** Mnemonics whose memory operand need not be aligned though their exception class says so. */
export const unalignedMnemonics: ReadonlySet<string> = new Set(unaligned);
