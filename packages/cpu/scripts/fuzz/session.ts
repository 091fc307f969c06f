import { type Divergence, divergenceText, Lockstep } from '../../src/engine/lockstep.ts';
import { pick, randomNumbers } from '../../test/harness/random.ts';
import { generate } from './generate.ts';
import { FuzzMachine, type FuzzMachineOptions } from './machine.ts';
import { minimize } from './minimize.ts';
import { makePool, type PiecePool } from './pieces.ts';
import { layOut, type Program } from './program.ts';

/** Programs of one session have neighbouring seeds and share engines and a pool of instructions. */
export const sessionSize = 500;
const poolSize = 500;

export interface Finding {
  readonly seed: number;
  readonly text: string;
}

export interface SessionOptions {
  /** Overrides what the session's seed decides. */
  readonly heat?: number;
  readonly tlb?: FuzzMachineOptions['tlb'];
  readonly forgets?: boolean;
  readonly minimize?: boolean;
}

/** Two machines, one interpreting and one compiling, and programs for them. */
export class Session {
  readonly settings: string;
  /** The reference knows nothing of earlier instructions; it is slow, so programs are short. */
  private readonly isStrict: boolean;
  readonly pool: PiecePool;
  private readonly lockstep: Lockstep;
  private readonly interpreting: FuzzMachine;
  private readonly compiling: FuzzMachine;
  /** Of the interpreting machine. */
  private retired = 0;
  private faults = 0;
  private reachedBudget = 0;

  /** @param number of the session: its seeds begin at `number` * `sessionSize` */
  constructor(
    number: number,
    private readonly options: SessionOptions = {},
  ) {
    const random = randomNumbers(number);
    const heat = options.heat ?? pick(random, [1, 2, 3, 5, 10, 10, 20, 40]);
    const tlb = options.tlb ?? pick(random, ['set-associative', 'exact', 'chaos', 'none'] as const);
    this.isStrict = options.forgets ?? random() % 4 === 0;
    // Where runs end may not matter.
    const piece = pick(random, [1e9, 1e9, 1, 7, 100]);
    this.settings = `heat ${heat}, TLB ${tlb}${piece < 1e9 ? `, ${piece} at a time` : ''}${this.isStrict ? ', forgetful reference' : ''}`;
    this.pool = makePool(number, poolSize);
    this.interpreting = new FuzzMachine({ accel: 'interp', heat, tlb, forgets: this.isStrict, piece });
    this.compiling = new FuzzMachine({ accel: 'jit', heat, tlb });
    this.lockstep = new Lockstep(this.interpreting, this.compiling);
    const { integer, vector, x87 } = this.pool;
    for (const machine of [this.interpreting, this.compiling])
      machine.prepare([...integer, ...vector, ...x87].map(({ code }) => code));
  }

  /** One line for the log. */
  get summary(): string {
    const { settings, retired, faults, reachedBudget, compiling } = this;
    return `${settings}; ${retired} instructions, ${faults} exceptions, ${reachedBudget} programs to their limit, ${compiling.engine.regions.compiled} regions, ${compiling.engine.code.invalidations} invalidations`;
  }

  run(seed: number): Finding | undefined {
    const made = generate(seed, this.pool);
    const program = this.isStrict ? { ...made, budget: Math.min(made.budget, 400) } : made;
    let found: Divergence | string | undefined;
    try {
      found = this.attempt(program);
      this.retired += this.interpreting.processor.retired;
      this.faults += this.interpreting.events.split(';').length - 1;
      if (!this.interpreting.isOver) this.reachedBudget++;
    } catch (error) {
      found = error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
    if (found === undefined) return undefined;
    let text = `seed ${seed} (${this.settings}): `;
    let smallest = program;
    if (this.options.minimize !== false) {
      const original = found;
      smallest = minimize(program, (candidate) => sameKind(original, this.tryAttempt(candidate)));
      found = this.tryAttempt(smallest) ?? found;
      const items = smallest.blocks.reduce((sum, block) => sum + block.length, 0);
      text += `minimised to ${items} items in ${smallest.blocks.length} blocks, slices ${this.slices(smallest).slice(0, 6).join()}...\n`;
    }
    text += typeof found === 'string' ? found : divergenceText(found);
    return { seed, text };
  }

  private tryAttempt(program: Program): Divergence | string | undefined {
    try {
      return this.attempt(program);
    } catch (error) {
      return error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
  }

  private attempt(program: Program): Divergence | undefined {
    const { lockstep, interpreting, compiling } = this;
    const image = layOut(program);
    interpreting.load(image);
    compiling.load(image);
    lockstep.begin();
    for (const slice of this.slices(program)) {
      const found = lockstep.run(slice);
      if (found !== undefined) return found;
      if (interpreting.isOver && compiling.isOver) return undefined;
    }
    return undefined;
  }

  /** How long the program runs without a look: at once, in pieces of some length, mixed. */
  private slices({ seed, budget }: Program): number[] {
    const random = randomNumbers(seed + 0x51ce);
    const longest = pick(random, [budget, budget, 500, 100, 20, 3]);
    const result: number[] = [];
    for (let left = budget; left > 0; ) {
      const slice = longest === budget ? left : Math.min(left, 1 + (random() % longest));
      result.push(slice);
      left -= slice;
      if (result.length >= 200) break;
    }
    return result;
  }
}

/** Exceptions of JavaScript with other exceptions, divergences with divergences. */
function sameKind(a: Divergence | string, b: Divergence | string | undefined): boolean {
  if (b === undefined || typeof a !== typeof b) return false;
  return typeof a !== 'string' || a.split('\n')[0] === (b as string).split('\n')[0];
}
