import { describe, expect, test } from 'vitest';
import { stateHash } from '../src/engine/state-hash.ts';
import type { HostStop, HostStopKind } from '../src/system/host-stops.ts';
import { BareProcessor } from './bare-processor.ts';

const data = 0x8ffe;
const rounds = 3000;
const perRound = 8;

/** Eight instructions a round, in two pages; the data lie across two more, or elsewhere. */
function start(accel: 'jit' | 'interp', where = data): BareProcessor {
  const cpu = new BareProcessor({ accel, ramSize: 1 << 20, heat: 50 });
  // 1000: INC EAX; CALL 2000h; 1007: DEC EDX; JNZ 1000h
  cpu.ram.set([0xff, 0xc0, 0xe8, 0xf9, 0x0f, 0, 0, 0xff, 0xca, 0x75, 0xf5], 0x1000);
  // 2000: ADD EBX, EAX; 2002: MOV [RDI], EAX; 2004: MOV ECX, [RDI]; RET
  cpu.ram.set([0x01, 0xc3, 0x89, 0x07, 0x8b, 0x0f, 0xc3], 0x2000);
  cpu.rip = 0x1000;
  cpu.setRegister(4, 0xa000n);
  cpu.setRegister(7, BigInt(where));
  cpu.setRegister(2, BigInt(rounds * 2));
  return cpu;
}

interface Hit {
  readonly retired: number;
  readonly rip: bigint;
  readonly kind: HostStopKind;
}

function at(kind: HostStopKind, low: number, bytes = 1): HostStop {
  return { kind, low, high: 0, bytes };
}

/** Runs so many rounds and stops where it is told to. */
function run(cpu: BareProcessor, stops: readonly HostStop[], slice = 1e6): Hit[] {
  const { processor } = cpu;
  const hits: Hit[] = [];
  let met: HostStop | undefined;
  processor.stops.set(stops);
  processor.stopsChanged();
  processor.stops.onMet = (stop) => {
    met = stop;
    processor.stop();
  };
  const end = processor.retired + rounds * perRound;
  while (processor.retired < end) {
    met = undefined;
    processor.run(Math.min(slice, end - processor.retired));
    if (met !== undefined)
      hits.push({ retired: processor.retired, rip: cpu.rip, kind: (met as HostStop).kind });
  }
  return hits;
}

function each(kind: HostStopKind, first: number, rip: bigint): Hit[] {
  return Array.from({ length: rounds }, (_, round) => ({ retired: perRound * round + first, rip, kind }));
}

describe.each(['jit', 'interp'] as const)('a debugger stops (%s)', (accel) => {
  test.each([
    ['a block starts', 0x2000, 2],
    ['a block goes on', 0x2002, 3],
    ['a call returns to', 0x1007, 6],
    ['the last instruction of a block stands', 0x1009, 7],
  ])('ahead of the instruction where %s', (_, address, first) => {
    expect(run(start(accel), [at('execute', address)])).toEqual(each('execute', first, BigInt(address)));
  });

  test.each([
    ['write', data, 4, 4, 0x2004n],
    ['read', data, 4, 5, 0x2006n],
    // One byte of the second page.
    ['write', data + 3, 1, 4, 0x2004n],
    ['read', data - 100, 101, 5, 0x2006n],
  ] as const)('behind the instruction that does a %s at %x, %i bytes', (kind, low, bytes, first, rip) => {
    expect(run(start(accel), [at(kind, low, bytes)])).toEqual(each(kind, first, rip));
  });

  test.each([
    ['write', 0x8100, 4, 4, 0x2004n],
    ['read', 0x8103, 1, 5, 0x2006n],
    ['write', 0x7ff0, 0x111, 4, 0x2004n],
  ] as const)('also in one page: a %s at %i, %i bytes', (kind, low, bytes, first, rip) => {
    const cpu = start(accel, 0x8100);
    run(cpu, []);
    expect(run(cpu, [at(kind, low, bytes)])).toEqual(
      each(kind, first, rip).map((hit) => ({ ...hit, retired: hit.retired + rounds * perRound })),
    );
  });

  test('behind both at a watched access', () => {
    const hits = run(start(accel), [at('access', data + 1, 2)]);
    expect(hits.map(({ retired }) => retired % perRound)).toEqual(
      Array.from({ length: rounds * 2 }, (_, i) => 4 + (i % 2)),
    );
  });

  test('nowhere beside the bytes', () => {
    const around = [at('access', data - 1), at('access', data + 4), at('execute', 0x2003)];
    expect(run(start(accel), around)).toEqual([]);
  });

  test('at code that was compiled before, and no more when nobody asks', () => {
    const cpu = start(accel);
    run(cpu, []);
    const hits = run(cpu, [at('execute', 0x2002)]);
    expect(hits).toHaveLength(rounds);
    expect(hits[0].retired).toBe(rounds * perRound + 3);
  });

  test('and the guest sees nothing of it, whatever the slices', () => {
    const plain = start(accel);
    run(plain, []);
    const watched = start(accel);
    run(
      watched,
      [at('execute', 0x2002), at('execute', 0x1000), at('write', data, 4), at('access', 0x9ff8, 8)],
      7,
    );
    expect(stateHash(watched.processor)).toBe(stateHash(plain.processor));
    expect(watched.processor.retired).toBe(plain.processor.retired);
  });
});

test('a step goes over a breakpoint', () => {
  const cpu = start('jit');
  const { processor } = cpu;
  const seen: number[] = [];
  processor.stops.onMet = ({ low }) => seen.push(low);
  processor.stops.set([at('execute', 0x1000), at('execute', 0x1002)]);
  processor.stopsChanged();
  expect(processor.step()).toBe('limit');
  expect([cpu.rip, processor.retired, seen]).toEqual([0x1002n, 1, []]);
  expect(processor.run(10)).toBe('stopped');
  expect([cpu.rip, processor.retired, seen]).toEqual([0x1002n, 1, [0x1002]]);
});

test('behind CALL, which writes the stack', () => {
  const cpu = start('jit');
  const hits = run(cpu, [at('write', 0x9ff8, 8)]);
  expect(hits).toEqual(each('write', 2, 0x2000n));
});
