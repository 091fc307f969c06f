import { describe, expect, test } from 'vitest';
import { RetiredTime, seededRandom } from '../src/engine/absent-parts.ts';
import { Engine } from '../src/engine/engine.ts';
import { EngineOptionError } from '../src/engine/options.ts';
import { BareProcessor } from './bare-processor.ts';

describe('options of an engine', () => {
  test.each([
    [{ ramSize: 100 }, 'ramSize 100: a multiple of 65536 bytes is allowed'],
    [{ ramSize: -65536 }, 'ramSize -65536: a whole number from 0'],
    [{ ramSize: Number.NaN }, 'ramSize NaN: a whole number'],
    [{ ramSize: 2 ** 32 }, 'fit the engine'],
    [{ ramSize: 65536, processors: 0 }, 'processors 0: a whole number from 1 to 64 is allowed'],
    [{ ramSize: 65536, heat: 0.5 }, 'heat 0.5: a whole number from 1'],
    [{ ramSize: 65536, recordBytes: 16 }, 'recordBytes 16: a whole number from 65536'],
    [{ ramSize: 65536, vendor: 'via' as 'amd' }, 'vendor via: intel or amd is allowed'],
    [{ ramSize: 65536, accel: 'kvm' as 'jit' }, 'accel kvm: jit or interp is allowed'],
  ])('%j is refused', (options, message) => {
    expect(() => new Engine(options)).toThrow(EngineOptionError);
    expect(() => new Engine(options)).toThrow(message);
  });
});

describe('what a processor finds where its owner has put nothing', () => {
  /** The counter as one number. */
  function now(time: RetiredTime): bigint {
    const out = new Int32Array(2);
    time.tsc(out);
    return (BigInt(out[1]) << 32n) | BigInt(out[0] >>> 0);
  }

  test('the time stamp counter counts retired instructions, from what was written to it', () => {
    const processor = { retired: 0 };
    const time = new RetiredTime(processor);
    for (const retired of [0, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 2 ** 32, 2 ** 45 + 3]) {
      processor.retired = retired;
      expect(now(time)).toBe(BigInt(retired));
    }
    for (const value of [0n, 1n, 0xffff_ffffn, 0x1_0000_0000n, 0x7fff_ffff_ffff_ff00n, -5n]) {
      processor.retired = 2 ** 40 + 0xffff_fff0;
      time.writeTsc(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
      expect(now(time)).toBe(value);
      processor.retired += 0x20;
      expect(now(time)).toBe(value + 0x20n);
    }
  });

  test('random numbers are those of the seed', () => {
    const [a, b, other] = [seededRandom(7), seededRandom(7), seededRandom(8)];
    const some = Array.from({ length: 20 }, a);
    expect(Array.from({ length: 20 }, b)).toEqual(some);
    expect(Array.from({ length: 20 }, other)).not.toEqual(some);
    expect(new Set(some).size).toBe(20);
  });

  test('statistics name what has happened', () => {
    const cpu = new BareProcessor({ ramSize: 4 << 20, recordBytes: 65536 });
    // mov ecx, 10; loop to itself; cpuid; hlt
    cpu.ram.set([0xb9, 10, 0, 0, 0, 0xe2, 0xfe, 0x0f, 0xa2, 0xf4], 0x1000);
    cpu.rip = 0x1000;
    cpu.processor.run(100);
    const { retired, exits } = cpu.processor.statistics;
    expect(retired).toBe(13);
    expect(exits.service).toBe(2);
    expect(exits.fault).toBe(0);
    expect(cpu.engine.statistics).toMatchObject({ flushes: 0, regions: 0, failures: [] });
    expect(cpu.engine.statistics.translated).toBeGreaterThan(1);
  });
});
