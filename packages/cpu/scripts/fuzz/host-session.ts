import { stepText } from '../../src/engine/lockstep.ts';
import { difference } from '../../test/harness/compare.ts';
import { hasHost, hostVendor } from '../../test/harness/host-processor.ts';
import {
  type HostCase,
  type Outcome,
  stateBytes,
  stateOf,
  statusFlags,
} from '../../test/harness/host-state.ts';
import { saveUserState } from '../../test/harness/user-state.ts';
import { pageSize, physicalOf, systemAddress } from './address-space.ts';
import { generate } from './generate.ts';
import { comparedMemory, exitAddress, type HostOutcome, runOnHost } from './host.ts';
import { FuzzMachine } from './machine.ts';
import { minimize } from './minimize.ts';
import { makePool, type PiecePool } from './pieces.ts';
import { type Image, layOut, type Program } from './program.ts';
import { type Finding, sessionSize } from './session.ts';

/** Programs that one start of the harness gets. */
const batch = 50;
/** Instructions, each repetition of a string instruction one of them, within which what ends on the host must end here. */
const longestProgram = 20_000_000;
const invalidOpcode = 6;
/** Of a page fault's error code (SDM vol. 3, 4.7). */
const present = 1;

/** Whether a session compares with the host processor. */
export function hostSeeds(number: number): boolean {
  return number % 4 === 3 && hasHost();
}

/** Programs that end by themselves, interpreted, compiled and on the host processor. */
export class HostSession {
  private readonly pool: PiecePool;
  private readonly interpreting = new FuzzMachine({ accel: 'interp', heat: 1, tlb: 'set-associative' });
  private readonly compiling = new FuzzMachine({ accel: 'jit', heat: 3, tlb: 'set-associative' });
  private readonly outcomes = new Map<number, HostOutcome | undefined>();
  private retired = 0;
  private faults = 0;

  constructor(private readonly number: number) {
    this.pool = makePool(number, 500);
    const { integer, vector, x87 } = this.pool;
    for (const machine of [this.interpreting, this.compiling])
      machine.prepare([...integer, ...vector, ...x87].map(({ code }) => code));
  }

  get summary(): string {
    return `host; ${this.retired} instructions, ${this.faults} exceptions`;
  }

  run(seed: number): Finding | undefined {
    const program = this.generate(seed);
    if (!this.outcomes.has(seed)) this.ask(seed);
    const found = this.attempt(program, this.outcomes.get(seed));
    this.retired += this.interpreting.processor.retired;
    if (!this.endedWell(this.interpreting)) this.faults++;
    if (found === '') return undefined;
    const again = (candidate: Program): string => {
      const [host] = runOnHost([layOut(candidate)]);
      return this.attempt(candidate, host);
    };
    // The same thing must differ, or another program would be found.
    const kind = found.split(' ')[0];
    const smallest = minimize(program, (candidate) => again(candidate).split(' ')[0] === kind, 80);
    return { seed, text: `seed ${seed} (host): ${again(smallest) || found}\n${this.trace(smallest)}` };
  }

  private generate(seed: number): Program {
    return generate(seed, this.pool, { forHost: { exit: exitAddress }, mostBlocks: 40 });
  }

  /** Lets the host run a batch of programs. */
  private ask(first: number): void {
    const stop = Math.min(first + batch, (this.number + 1) * sessionSize);
    const images: Image[] = [];
    for (let seed = first; seed < stop; seed++) images.push(layOut(this.generate(seed)));
    const outcomes = runOnHost(images);
    for (let i = 0; i < images.length; i++) {
      // Behind a program that brought the harness down nothing is known: asked anew.
      if (i > outcomes.length) break;
      this.outcomes.set(first + i, outcomes[i]);
    }
  }

  private endedWell({ processor }: FuzzMachine): boolean {
    return processor.state.getBig('rip') === BigInt(exitAddress);
  }

  /** What differs, or an empty string. */
  private attempt(program: Program, host: HostOutcome | undefined): string {
    if (host === undefined) return 'the harness did not survive it';
    const image = layOut(program);
    for (const machine of [this.interpreting, this.compiling]) {
      machine.load(image);
      machine.run(longestProgram);
      const found = this.compare(machine, host, program);
      if (found !== '') return `${machine === this.compiling ? 'compiled: ' : ''}${found}`;
    }
    return '';
  }

  private compare(machine: FuzzMachine, host: HostOutcome, { state }: Program): string {
    const { processor } = machine;
    const after = stateOf(new Uint8Array(stateBytes));
    saveUserState(processor.state, after);
    const address = processor.state.getBig('cr2');
    const isExit = this.endedWell(machine) && machine.vector === invalidOpcode;
    const [ours, theirs] = memoryDifference(memoryOf(machine), host.memory);
    const outcome: Outcome = {
      problem: processor.problem === '' ? undefined : processor.problem,
      vector: isExit ? -1 : machine.vector >= 0 ? machine.vector : -2,
      error: machine.errorCode & ~(isSystem(address) ? present : 0),
      address,
      state: after,
      ...ours,
    };
    const one = { vendor: hostVendor(), mnemonic: '', before: state, definedFlags: statusFlags } as HostCase;
    return difference(one, outcome, { ...host.outcome, ...theirs });
  }

  /** How the interpreter went: the last instructions. */
  private trace(program: Program): string {
    const { interpreting } = this;
    interpreting.load(layOut(program));
    const lines: string[] = [];
    while (!interpreting.isOver && interpreting.processor.retired < program.budget) {
      const rip = interpreting.processor.state.getBig('rip');
      lines.push(stepText({ rip, bytes: interpreting.codeAt(rip), codeBits: 64 }));
      if (lines.length > 30) lines.shift();
      interpreting.run(1);
    }
    return lines.join('\n');
  }
}

/** Whether an address lies in the page of the supervisor, which no program on the host has. */
function isSystem(address: bigint): boolean {
  return address >= BigInt(systemAddress) && address < BigInt(systemAddress + pageSize);
}

/** Where two memories begin to differ, and 16 bytes of each from there. */
function memoryDifference(a: Uint8Array, b: Uint8Array): readonly Pick<Outcome, 'changedFrom' | 'changed'>[] {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return [a, b].map((memory) => ({
    changedFrom: Math.max(at, 0),
    changed: at < 0 ? new Uint8Array(0) : memory.slice(at, at + 16),
  }));
}

function memoryOf({ memory }: FuzzMachine): Uint8Array {
  const parts = comparedMemory.flatMap(([address, bytes]) =>
    Array.from({ length: bytes / pageSize }, (_, i) => {
      const physical = physicalOf(address + i * pageSize);
      return memory.subarray(physical, physical + pageSize);
    }),
  );
  return Buffer.concat(parts);
}
