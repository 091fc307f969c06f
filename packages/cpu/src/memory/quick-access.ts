import { Fast, type PagingContext, type Translation } from '@nest86/mmu';
import { stateOffset } from '../state/layout.ts';
import type { VcpuState } from '../state/vcpu-state.ts';
import type { Breakpoints } from '../system/breakpoints.ts';
import type { FastBanks } from './fast-banks.ts';

const cplCell: number = stateOffset.cpl >> 2;
const flagsCell: number = stateOffset.systemFlags >> 2;
const bankCell: number = stateOffset.tlbBank >> 2;
/** EFLAGS.AC. */
const alignment = 0x40000;

/**
 * What TypeScript reaches through the fast TLB, as generated code does: where it hits, nothing else could come of the access. Between a change
 * of what decides the bank and the run loop's next look, nothing is reached.
 */
export class QuickAccess {
  private context: PagingContext | undefined;
  private tlbContext = -1;
  private systemBank = 0;

  constructor(
    private readonly state: VcpuState,
    private readonly banks: FastBanks,
    private readonly breakpoints: Breakpoints,
  ) {}

  /** The bank in the state is up to date. @param systemBank of the same context for level 0 without EFLAGS.AC, or 0 */
  prepare(context: PagingContext, systemBank: number): void {
    this.context = context;
    this.tlbContext = context.tlbContext;
    this.systemBank = systemBank;
  }

  forget(): void {
    this.context = undefined;
  }

  /** Host address of bytes of RAM, or -1. @param system an access that the processor makes as a supervisor whatever the CPL */
  host(
    context: PagingContext,
    low: number,
    high: number,
    bytes: number,
    isWrite: boolean,
    system: boolean,
  ): number {
    if ((low & 0xfff) + bytes > 0x1000) return -1;
    const bank = this.bank(context, system);
    return bank === 0 ? -1 : this.banks.dataHost(bank, low, high, isWrite);
  }

  /** Takes over a translation that was made for such an access. */
  fill(context: PagingContext, low: number, high: number, out: Translation, system: boolean): void {
    const kinds = out.fast & (Fast.read | Fast.write);
    if (kinds === 0) return;
    const bank = this.bank(context, system);
    if (bank !== 0) this.banks.fillIn(bank, low, high, kinds, out.offset);
  }

  private bank(context: PagingContext, system: boolean): number {
    // What is watched is not in the fast TLB.
    if (context !== this.context || context.tlbContext !== this.tlbContext || this.breakpoints.watchesData)
      return 0;
    const { words } = this.state;
    if (!system) return words[bankCell];
    // EFLAGS.AC lets a program past SMAP, but not the processor.
    return words[cplCell] === 3 || (words[flagsCell] & alignment) === 0 ? this.systemBank : 0;
  }
}
