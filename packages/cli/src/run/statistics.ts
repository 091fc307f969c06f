import { type BareMachine, stateHash } from '@nest86/machine';

const exitNames = ['budget', 'link', 'fault', 'jump', 'stale', 'service', 'hot'];

/** What a run cost, as `--stats` prints it. */
export function statisticsText(machine: BareMachine, seconds: number): string {
  const { processor, engine } = machine;
  const { retired } = processor;
  const exits = exitNames.map((name, i) => `${name} ${processor.exits[i]}`).join(', ');
  const failed = engine.regions.failures.length;
  const failures = failed === 0 ? '' : `, ${failed} could not be compiled: ${engine.regions.failures[0]}`;
  return `
instructions  ${retired}
MIPS          ${(retired / seconds / 1e6).toFixed(1)} (${seconds.toFixed(2)} s)
blocks        ${engine.code.translated} translated, ${engine.code.invalidations} invalidated, ${engine.code.flushes} flushes
regions       ${engine.regions.compiled} (${(engine.regions.compiledBytes / 1024).toFixed(0)} KiB of WebAssembly)${failures}
slow accesses ${processor.memory.slowAccesses}
state         ${stateHash(processor)}
exits         ${exits}
`;
}
