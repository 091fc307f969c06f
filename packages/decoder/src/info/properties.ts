import { exceptionClassNames, featureNames } from '../generated/info-tables.ts';
import type { Instruction } from '../instruction.ts';
import { ControlFlow, Kinds, Privilege, Trait } from './constants.ts';
import { attribute, Column, featureLists, featuresOf } from './tables.ts';

const features = featureNames.split(' ');
const exceptionClasses = exceptionClassNames.split(' ');
const noFeatures: readonly string[] = Object.freeze([]);
/** Lists that were asked for, by their place in the table. */
const knownLists = new Map<number, readonly string[]>([[0, noFeatures]]);

/**
 * Names of the features that an encoding needs, all of them: CPUID features as the manuals write them with `_` for `-` and blanks
 * (`AVX512VL`, `SSE4_1`), or the first processor that knew it (`8086`, `80386`, `X86-64`). Always the same frozen array for the
 * same list.
 */
export function cpuidFeatures(encoding: number): readonly string[] {
  const start = featuresOf[encoding];
  let list = knownLists.get(start);
  if (list === undefined) {
    list = Object.freeze(
      Array.from(featureLists.subarray(start + 1, start + 1 + featureLists[start]), (row) => features[row]),
    );
    knownLists.set(start, list);
  }
  return list;
}

/** `Trait` bits. */
export function traits(encoding: number): number {
  return attribute(encoding, Column.traits);
}

/** `Mode` bits: where the encoding exists. */
export function modes(encoding: number): number {
  return (attribute(encoding, Column.kinds) >> Kinds.modes) & 31;
}

/** A value of `Privilege`. */
export function privilege(encoding: number): number {
  return (attribute(encoding, Column.kinds) >> Kinds.privilege) & 7;
}

/**
 * Whether programs of an ordinary user cannot use the instruction: it needs CPL 0, IOPL, system-management mode or the like. Not
 * VMCALL, which hypervisors serve at every level, and nothing that a control bit may allow.
 */
export function isPrivileged(encoding: number): boolean {
  const level = privilege(encoding);
  return level !== Privilege.any && level !== Privilege.controlled && level !== Privilege.user;
}

/**
 * Class in the manuals' tables of exceptions of SSE, AVX, AVX-512, AMX and APX instructions (`4`, `E4NF`, `AMX-E4` …); empty if there
 * is none.
 */
export function exceptionClass(instruction: Instruction): string {
  const rows = attribute(instruction.encoding, Column.exceptionClass);
  return exceptionClasses[instruction.modrm < 0xc0 ? rows >> 8 : rows & 255];
}

/** A value of `ControlFlow`; `exception` for encoding 0. */
export function controlFlow(encoding: number): number {
  return attribute(encoding, Column.kinds) & 15;
}

/** A value of `ConditionCode`. */
export function conditionCode(encoding: number): number {
  return (attribute(encoding, Column.kinds) >> Kinds.condition) & 31;
}

/** Whether execution never simply goes on behind the instruction, as after JMP, RET or UD2. */
export function endsBlock(encoding: number): boolean {
  const flow = controlFlow(encoding);
  return (
    flow === ControlFlow.jump ||
    flow === ControlFlow.jumpIndirect ||
    flow === ControlFlow.return ||
    flow === ControlFlow.exception
  );
}

/** Whether the instruction moves or compares strings: MOVS, CMPS, SCAS, LODS, STOS, INS, OUTS. */
export function isString(encoding: number): boolean {
  return (attribute(encoding, Column.treatment) & 15) === 1;
}

/** Whether LOCK may stand in front, with a memory destination. */
export function isLockable(encoding: number): boolean {
  return (attribute(encoding, Column.traits) & Trait.lock) !== 0;
}
