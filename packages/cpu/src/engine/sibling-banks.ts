import type { PagingContext } from '@nest86/mmu';
import type { FastBanks } from '../memory/fast-banks.ts';
import type { QuickAccess } from '../memory/quick-access.ts';
import type { CodeMode } from '../records/code-mode.ts';
import { stateOffset } from '../state/layout.ts';
import type { VcpuState } from '../state/vcpu-state.ts';

/** EFER.SCE. */
const eferSce = 1;
/** EFLAGS.AC. */
const alignment = 0x40000;

const flagsCell: number = stateOffset.systemFlags >> 2;
const callBankCell: number = stateOffset.callBank >> 2;
const returnBankCell: number = stateOffset.returnBank >> 2;

/**
 * Notes where SYSCALL and SYSRET lead, and which bank accesses of the system go through. Without EFLAGS.AC, levels 0 and 3 have the same
 * 64-bit code mode and judge accesses by the same registers: their banks differ in the privilege only.
 */
export function noteSiblings(
  state: VcpuState,
  context: PagingContext,
  banks: FastBanks,
  quick: QuickAccess,
  cpl: number,
  mode: CodeMode,
): void {
  const { words } = state;
  const { tlbContext, judge, pkru, pkrs } = context;
  const isUser = cpl === 3;
  const isUsual = mode.bits === 64 && (cpl === 0 || isUser) && (words[flagsCell] & alignment) === 0;
  const other = isUsual ? banks.find(tlbContext, isUser ? 0 : 2, mode.id, judge, pkru, pkrs) : 0;
  quick.prepare(context, isUser ? other : context.ac ? 0 : banks.current);
  // Both cells stay as they are after either of them.
  const isThere = other !== 0 && (context.efer & eferSce) !== 0;
  words[callBankCell] = !isThere ? 0 : isUser ? other : banks.current;
  words[returnBankCell] = !isThere ? 0 : isUser ? banks.current : other;
}
