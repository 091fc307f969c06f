import { describe, expect, test } from 'vitest';
import { HostSession } from '../scripts/fuzz/host-session.ts';
import { Session, type SessionOptions, sessionSize } from '../scripts/fuzz/session.ts';
import { type Divergence, Lockstep, type LockstepSide, stepText } from '../src/engine/lockstep.ts';
import { RegionOperation } from '../src/regions/region-operation.ts';
import { definitions } from '../src/semantics/definitions.ts';
import type { Definition } from '../src/semantics/operation.ts';
import { BareProcessor } from './bare-processor.ts';
import { hasHost } from './harness/host-processor.ts';

// `pnpm fuzz:lockstep` does the same for as long as one likes, with seeds of its own.
const isPossible = hasHost();

describe.runIf(isPossible)('random programs', () => {
  test.each<readonly [SessionOptions, number]>([
    [{ heat: 1, tlb: 'set-associative', forgets: false }, 1],
    [{ heat: 3, tlb: 'chaos', forgets: false }, 2],
    [{ heat: 10, tlb: 'none', forgets: true }, 3],
  ])(
    'interpreted and compiled alike: %o, session %i',
    (options, number) => {
      const session = new Session(number, { ...options, minimize: false });
      const found = [];
      for (let i = 0; i < 60; i++) found.push(session.run(number * sessionSize + i)?.text);
      expect(found.filter((text) => text !== undefined)).toEqual([]);
    },
    120_000,
  );

  test('as the host processor runs them', () => {
    const session = new HostSession(4);
    const found = [];
    for (let i = 0; i < 50; i++) found.push(session.run(4 * sessionSize + i)?.text);
    expect(found.filter((text) => text !== undefined)).toEqual([]);
  }, 120_000);
});

describe('a divergence is found', () => {
  /** INC RAX; ADD RBX, RAX; JMP to the first; on one side memory is written after so many instructions. */
  class Side implements LockstepSide {
    private readonly cpu: BareProcessor;
    readonly events = '';

    constructor(
      private readonly wrongAfter: number,
      accel: 'interp' | 'jit' = 'interp',
    ) {
      this.cpu = new BareProcessor({ accel, heat: 20, ramSize: 1 << 20 });
      this.restart();
    }

    get processor() {
      return this.cpu.processor;
    }

    get memory() {
      return this.cpu.ram;
    }

    restart(): void {
      const { cpu } = this;
      cpu.engine.code.flush();
      cpu.processor.retired = 0;
      cpu.ram.set([0x48, 0xff, 0xc0, 0x48, 0x01, 0xc3, 0xeb, 0xf8], 0x1000);
      cpu.setRegister(0, 0n);
      cpu.setRegister(3, 0n);
      cpu.processor.state.flags = 2;
      cpu.ram[0x2000] = 0;
      cpu.rip = 0x1000;
    }

    run(count: number): void {
      this.cpu.processor.run(count);
      if (this.cpu.processor.retired >= this.wrongAfter) this.cpu.ram[0x2000] = 1;
    }

    codeAt(rip: bigint): Uint8Array {
      return this.cpu.ram.subarray(Number(rip), Number(rip) + 15);
    }
  }

  test('by bisecting the slice in which it happens', () => {
    const lockstep = new Lockstep(new Side(Number.POSITIVE_INFINITY), new Side(1234));
    expect(lockstep.run(1000)).toBeUndefined();
    const found = lockstep.run(1000) as Divergence;
    expect(found.from).toBe(1233);
    expect(found.to).toBe(1234);
    expect(found.isRepeatable).toBe(true);
    expect(found.differences).toHaveLength(1);
    expect(found.differences[0]).toMatch(/^memory from 2000: 01/);
    // 1234 = 3 * 411 + 1: the first of the loop.
    expect(stepText(found.steps[found.steps.length - 1])).toMatch(/ 1000: 48 ff c0 +inc rax/);
  });

  test('if the definition of an instruction is compiled wrongly', () => {
    const broken = definitions as Record<string, Definition>;
    const { ADD } = broken;
    // ADD keeps bit 20 of its result clear, in compiled code only.
    broken.ADD = (op) => {
      ADD(op);
      if (!(op instanceof RegionOperation)) return;
      const { x } = op;
      op.write(0, x.and(op.read(0), x.i64(~(1 << 20))));
    };
    try {
      const lockstep = new Lockstep(
        new Side(Number.POSITIVE_INFINITY),
        new Side(Number.POSITIVE_INFINITY, 'jit'),
      );
      let found: Divergence | undefined;
      for (let slice = 0; slice < 100 && found === undefined; slice++) found = lockstep.run(1000);
      // RBX is the sum of 1 to RAX: beyond 2^20 at 1448, and compiled blocks are executed as a whole.
      expect(found?.isRepeatable).toBe(true);
      expect(found?.differences[0]).toMatch(/^gpr 3: 0000000000000\w+, not 000000000010\w+$/);
      expect(found?.from).toBeGreaterThanOrEqual(3 * 1447);
      expect(found?.to).toBeLessThanOrEqual(3 * 1448 + 3);
      expect(found?.steps.map(stepText).join('\n')).toContain('add rbx, rax');
    } finally {
      broken.ADD = ADD;
    }
  });
});
