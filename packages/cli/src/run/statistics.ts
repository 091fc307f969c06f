import { type BareMachine, stateHash } from '@nest86/machine';

/** What a run cost, as `--stats` prints it. */
export function statisticsText(machine: BareMachine, seconds: number): string {
  const { translated, invalidated, flushes, regions, regionBytes, failures } = machine.engine.statistics;
  const { retired, slowAccesses, tlbFills, exits } = machine.processor.statistics;
  const failed = failures.length === 0 ? '' : `, ${failures.length} could not be compiled: ${failures[0]}`;
  const exitText = Object.entries(exits).map(([name, count]) => `${name} ${count}`);
  const fills = tlbFills.map((count, bank) => `${bank}: ${count}`).filter((_, bank) => tlbFills[bank] > 0);
  return `
instructions  ${retired}
MIPS          ${(retired / seconds / 1e6).toFixed(1)} (${seconds.toFixed(2)} s)
blocks        ${translated} translated, ${invalidated} invalidated, ${flushes} flushes
regions       ${regions} (${(regionBytes / 1024).toFixed(0)} KiB of WebAssembly)${failed}
fast TLB      ${slowAccesses} accesses missed; pages entered by bank: ${fills.length === 0 ? 'none' : fills.join(', ')}
state         ${stateHash(machine.processor)}
exits         ${exitText.join(', ')}
`;
}
