import { Access } from '../paging/access.ts';
import type { PagingContext } from '../paging/context.ts';
import { Cr0, Cr4, PageFaultCode, PagingMode } from '../paging/registers.ts';
import { EptViolation } from '../walk/second-stage.ts';
import { Fault, type Translation } from '../walk/translation.ts';
import type { WalkStep } from './translate.ts';

const has = (value: bigint, bit: number): boolean => ((value >> BigInt(bit)) & 1n) === 1n;

/** The bits of an entry in words. */
export function flagsOf(step: Omit<WalkStep, 'flags'>, context: PagingContext): string {
  return step.secondStage && step.name.startsWith('EPT') ? eptFlags(step) : pageFlags(step, context);
}

function pageFlags({ value, level, address }: Omit<WalkStep, 'flags'>, context: PagingContext): string {
  if (!has(value, 0)) return 'not present';
  if (address === undefined) return 'present';
  const words = ['present', has(value, 1) ? 'write' : 'read-only', has(value, 2) ? 'user' : 'supervisor'];
  const long = context.mode >= PagingMode.level4;
  if (context.mode !== PagingMode.legacy && has(value, 63)) words.push('no-execute');
  const leaf = level === 1 || has(value, 7);
  if (level !== 1 && has(value, 7)) words.push('large');
  if (has(value, 5)) words.push('accessed');
  if (leaf && has(value, 6)) words.push('dirty');
  if (leaf && has(value, 8)) words.push('global');
  const key = Number((value >> 59n) & 15n);
  if (leaf && long && key !== 0) words.push(`key ${key}`);
  return words.join(' ');
}

const memoryTypes = ['UC', 'WC', '2?', '3?', 'WT', 'WP', 'WB', '7?'];

function eptFlags({ value, level }: Omit<WalkStep, 'flags'>): string {
  const words = [(has(value, 0) ? 'r' : '-') + (has(value, 1) ? 'w' : '-') + (has(value, 2) ? 'x' : '-')];
  if (has(value, 10)) words.push('user-x');
  if (level === 1 || has(value, 7)) words.push(memoryTypes[Number((value >> 3n) & 7n)]);
  if (level !== 1 && has(value, 7)) words.push('large');
  if (has(value, 8)) words.push('accessed');
  if (has(value, 9)) words.push('dirty');
  return words.join(' ');
}

/** Why a translation failed. */
export function explain(
  fault: number,
  out: Translation,
  access: number,
  context: PagingContext,
  steps: readonly WalkStep[],
): string {
  const last = steps.at(-1);
  switch (fault) {
    case Fault.nonCanonical:
      return `bits 63:${context.mode === PagingMode.level5 ? 56 : 47} are not all equal`;
    case Fault.eptMisconfiguration:
      return `${last!.name} ${misconfiguration(last!, out)}`;
    case Fault.eptViolation:
      return eptReason(out, last);
    case Fault.nestedPage:
      return `guest-physical 0x${address(out)}: ${pageReason(
        out,
        access,
        context,
        steps.filter((step) => step.secondStage),
      )}`;
    default:
      return pageReason(
        out,
        access,
        context,
        steps.filter((step) => !step.secondStage),
      );
  }
}

function pageReason(
  out: Translation,
  access: number,
  context: PagingContext,
  steps: readonly WalkStep[],
): string {
  const { errorCode: code } = out;
  const last = steps.at(-1);
  if (last === undefined) return 'the tables do not reach that far';
  if ((code & PageFaultCode.present) === 0) return `${last.name} is not present`;
  if ((code & PageFaultCode.reserved) !== 0) return `${last.name} has reserved ${reservedBits(out)} set`;
  if ((code & PageFaultCode.protectionKey) !== 0)
    return `protection key ${(last.value >> 59n) & 15n} forbids it`;
  // The registers under PAE hold no permissions.
  const judged = steps.filter((step) => step.address !== undefined);
  const supervisor = judged.find((step) => !has(step.value, 2));
  const readOnly = judged.find((step) => !has(step.value, 1));
  const noExecute = judged.find((step) => has(step.value, 63));
  const nested = last.secondStage;
  const byUser = nested || (access & Access.user) !== 0;
  if ((access & Access.shadowStack) !== 0 && !nested)
    return 'it is no page of a shadow stack of this privilege';
  if (byUser && supervisor !== undefined) return `${supervisor.name} is for the supervisor`;
  if ((access & Access.execute) !== 0) {
    if (!byUser && supervisor === undefined && (context.cr4 & Cr4.smep) !== 0)
      return 'SMEP: the supervisor may not execute user pages';
    return `${noExecute?.name ?? last.name} is no-execute`;
  }
  if (!byUser && supervisor === undefined && (context.cr4 & Cr4.smap) !== 0 && !context.ac)
    return 'SMAP: the supervisor may not use user pages while EFLAGS.AC is 0';
  if (
    !byUser &&
    supervisor === undefined &&
    (access & Access.implicit) !== 0 &&
    (context.cr4 & Cr4.smap) !== 0
  )
    return 'SMAP: implicit accesses may not use user pages';
  const wp = !byUser && (context.cr0 & Cr0.wp) !== 0 ? ', and CR0.WP is 1' : '';
  return `${readOnly?.name ?? last.name} is read-only${wp}`;
}

function eptReason(out: Translation, last: WalkStep | undefined): string {
  const { errorCode: code } = out;
  const use = (code & EptViolation.final) !== 0 ? '' : ', where a guest page table lies';
  const what =
    (code & EptViolation.fetch) !== 0
      ? 'execution'
      : (code & EptViolation.write) !== 0
        ? (code & EptViolation.read) !== 0
          ? 'reading and writing'
          : 'writing'
        : 'reading';
  const allowed = code & (EptViolation.readable | EptViolation.writable | EptViolation.executable);
  const why =
    last === undefined || !last.secondStage || out.level === 0
      ? 'the tables do not reach that far'
      : allowed === 0 && (code & EptViolation.userExecutable) === 0
        ? `${last.name} is not present`
        : 'the entries do not all allow it';
  return `${what} guest-physical 0x${address(out)}${use}: ${why}`;
}

function misconfiguration({ value }: WalkStep, out: Translation): string {
  if ((out.reservedLow | out.reservedHigh) !== 0) return `has reserved ${reservedBits(out)} set`;
  if (!has(value, 0) && has(value, 1)) return 'allows writing without reading';
  if (!has(value, 0)) return 'allows execution without reading, which this processor does not have';
  return `has memory type ${(value >> 3n) & 7n}, which does not exist`;
}

function reservedBits({ reservedLow, reservedHigh }: Translation): string {
  const bits: number[] = [];
  for (let bit = 0; bit < 64; bit++)
    if ((((bit < 32 ? reservedLow : reservedHigh) >>> (bit & 31)) & 1) !== 0) bits.push(bit);
  return `${bits.length === 1 ? 'bit' : 'bits'} ${bits.join(', ')}`;
}

function address({ guestPage, guestOffset }: Translation): string {
  return (guestPage * 4096 + guestOffset).toString(16);
}
