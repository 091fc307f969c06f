import { type Instruction, Prefix } from '../instruction.ts';
import { Common } from './bits.ts';
import type { Theme } from './theme.ts';

/** Words for prefixes, each with the space behind it. */
export class PrefixWords {
  readonly xacquire: string;
  readonly xrelease: string;
  readonly lock: string;
  readonly notrack: string;
  readonly bnd: string;
  readonly rep: string;
  readonly repe: string;
  readonly repne: string;

  constructor(theme: Theme) {
    const word = (text: string) => theme.token('prefix', text) + theme.space;
    this.xacquire = word('xacquire');
    this.xrelease = word('xrelease');
    this.lock = word('lock');
    this.notrack = word('notrack');
    this.bnd = word('bnd');
    this.rep = word('rep');
    this.repe = word('repe');
    this.repne = word('repne');
  }
}

/** Prefixes of which at least one must be there for {@link prefixText} to have anything to say. */
export const spokenPrefixes: number = Prefix.lock | Prefix.rep | Prefix.repne | Prefix.segment;

const segmentDs = 4;

/** 3E on an indirect branch stops CET's tracking. */
export function isNotrack(instruction: Instruction, common: number): boolean {
  return (common & Common.notrack) !== 0 && instruction.segmentOverride === segmentDs;
}

/** Lock, repeat and the prefixes that share their bytes: those that mean something. */
export function prefixText(words: PrefixWords, instruction: Instruction, common: number): string {
  const { prefixes, repeat } = instruction;
  const elided = isElision(instruction, common);
  let text = elided ? (repeat === 0xf2 ? words.xacquire : words.xrelease) : '';
  if ((prefixes & Prefix.lock) !== 0 && (common & Common.lock) !== 0) text += words.lock;
  if (isNotrack(instruction, common)) text += words.notrack;
  if (repeat === 0xf3 && !elided) {
    if ((common & Common.repe) !== 0) text += words.repe;
    else if ((common & Common.rep) !== 0) text += words.rep;
  } else if (repeat === 0xf2 && !elided) {
    if ((common & Common.bnd) !== 0) text += words.bnd;
    else if ((common & Common.repne) !== 0) text += words.repne;
  }
  return text;
}

/** The repeat prefix is a hint for hardware lock elision. */
export function isElision(instruction: Instruction, common: number): boolean {
  const bit =
    instruction.repeat === 0xf2 ? Common.xacquire : instruction.repeat === 0xf3 ? Common.xrelease : 0;
  if ((common & bit) === 0 || instruction.modrm >= 0xc0) return false;
  // Without LOCK it is one only for XCHG, which always locks, and for MOV, which only releases.
  return (
    (instruction.prefixes & Prefix.lock) !== 0 ||
    (common & (Common.locksAlways | Common.lock)) !== Common.lock
  );
}

/** Branch hints: 0 none, 1 not taken (2E), 2 taken (3E). */
export function branchHint(instruction: Instruction, common: number): number {
  if ((common & Common.hint) === 0) return 0;
  return instruction.segmentOverride === 2 ? 1 : instruction.segmentOverride === segmentDs ? 2 : 0;
}
