import { arithmetic } from './arithmetic.ts';
import { branches } from './branches.ts';
import { moves } from './moves.ts';
import type { Definition } from './operation.ts';

/** What each instruction does, by mnemonic: the only place. Interpreter, compiled regions and evaluator read it. */
export const definitions: Readonly<Record<string, Definition>> = { ...arithmetic, ...moves, ...branches };
