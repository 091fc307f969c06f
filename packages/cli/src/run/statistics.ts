import { type ProcessorView, stateHash } from '@nest86/machine';

type Engine = ProcessorView['processor']['engine'];

/** What a run cost, as `--stats` prints it. @param before instructions that a restored machine had retired when the run began */
export function statisticsText(
  engine: Engine,
  processors: readonly ProcessorView[],
  seconds: number,
  before: number,
): string {
  const { translated, invalidated, flushes, regions, regionBytes, failures } = engine.statistics;
  const each = processors.map(({ processor }) => processor.statistics);
  const retired = sum(each.map((one) => one.retired));
  const slowAccesses = sum(each.map((one) => one.slowAccesses));
  const tlbFills = each[0].tlbFills.map((_, bank) => sum(each.map((one) => one.tlbFills[bank])));
  const failed = failures.length === 0 ? '' : `, ${failures.length} could not be compiled: ${failures[0]}`;
  const exitText = Object.keys(each[0].exits).map(
    (name) => `${name} ${sum(each.map(({ exits }) => exits[name as keyof typeof exits]))}`,
  );
  const fills = tlbFills.map((count, bank) => `${bank}: ${count}`).filter((_, bank) => tlbFills[bank] > 0);
  return `
instructions  ${retired}
MIPS          ${((retired - before) / seconds / 1e6).toFixed(1)} (${seconds.toFixed(2)} s)
blocks        ${translated} translated, ${invalidated} invalidated, ${flushes} flushes
regions       ${regions} (${(regionBytes / 1024).toFixed(0)} KiB of WebAssembly)${failed}
fast TLB      ${slowAccesses} accesses missed; pages entered by bank: ${fills.length === 0 ? 'none' : fills.join(', ')}
state         ${processors.map(({ processor }) => stateHash(processor)).join(' ')}
exits         ${exitText.join(', ')}
`;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
