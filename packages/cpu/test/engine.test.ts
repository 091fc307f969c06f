import { describe, expect, test } from 'vitest';
import { memoryHash, stateHash } from '../src/engine/state-hash.ts';
import { type BareOptions, BareProcessor } from './bare-processor.ts';

/** A loop over 64 numbers: loads, adds, stores, a call and a compare, `rounds` times; ends in `jmp $`. */
function program(rounds: number): number[] {
  return [
    ...[0xb9, rounds & 255, (rounds >> 8) & 255, 0, 0], //  0 mov ecx, rounds
    ...[0x48, 0x8b, 0x06], //                               5 mov rax, [rsi]
    ...[0x48, 0x01, 0xc3], //                               8 add rbx, rax
    ...[0x48, 0x89, 0x5e, 0x08], //                         b mov [rsi+8], rbx
    ...[0xe8, 0x07, 0x00, 0x00, 0x00], //                   f call 1b
    ...[0x83, 0xe9, 0x01], //                              14 sub ecx, 1
    ...[0x75, 0xec], //                                    17 jnz 5
    ...[0xeb, 0xfe], //                                    19 jmp $
    ...[0x48, 0x31, 0xd8], //                              1b xor rax, rbx
    ...[0x48, 0xff, 0xc7], //                              1e inc rdi
    ...[0x48, 0x89, 0x06], //                              21 mov [rsi], rax
    0xc3, //                                               24 ret
  ];
}

function start(code: readonly number[], options: BareOptions = {}, address = 0x1000): BareProcessor {
  const cpu = new BareProcessor(options);
  cpu.ram.set(code, address);
  cpu.setRegister(4, 0x9000n);
  cpu.setRegister(6, 0x5000n);
  cpu.rip = address;
  return cpu;
}

const both = [['interp'], ['jit']] as const;

describe('runs', () => {
  test('interpreted and compiled code end in the same state, whatever the slices', () => {
    const hashes = new Set<string>();
    for (const accel of ['interp', 'jit'] as const) {
      for (const slice of [1, 7, 100, 100_000]) {
        const cpu = start(program(3000), { accel, heat: 20 });
        const total = 20_003;
        for (let done = 0; done < total; done += slice) cpu.processor.run(Math.min(slice, total - done));
        expect(cpu.processor.retired).toBe(total);
        hashes.add(stateHash(cpu.processor) + memoryHash(cpu.ram));
      }
    }
    expect(hashes.size).toBe(1);
  });

  test('code that is rewritten for ever is compiled ever more rarely, and its regions are given back', () => {
    const code = [
      ...[0xb9, 0x00, 0x04, 0, 0], //             0 mov ecx, 1024
      ...[0x05, 1, 0, 0, 0], //                   5 add eax, 1
      ...[0x83, 0xe9, 0x01], //                   a sub ecx, 1
      ...[0x75, 0xf6], //                         d jnz 5
      ...[0xfe, 0x05, 0xf1, 0xff, 0xff, 0xff], // f inc byte [6]
      ...[0xeb, 0xe9], //                        15 jmp 0
    ];
    const cpu = start(code, { heat: 4 });
    cpu.processor.run(300_000);
    const { handlers, regions, code: cache } = cpu.engine;
    expect(cache.invalidations).toBeGreaterThan(50);
    expect(regions.failures).toEqual([]);
    expect(regions.compiled).toBeGreaterThan(4);
    expect(regions.compiled).toBeLessThan(30);
    expect(handlers.liveRegions).toBeLessThan(3);
  });

  test('a loop is compiled, and its call and return stay within the region', () => {
    const cpu = start(program(60_000), { heat: 50 });
    cpu.processor.run(400_000);
    expect(cpu.engine.regions.compiled).toBeGreaterThan(0);
    // Jumps that TypeScript had to resolve: the first return, not each of them.
    expect(cpu.processor.exits[3]).toBeLessThan(10);
  });

  test('a region that is often come to where it has no entry gets one', () => {
    const code = [
      ...[0x83, 0xc0, 0x01], //             0 add eax, 1
      ...[0xeb, 0x00], //                   3 jmp 5
      ...[0x83, 0xc3, 0x01], //             5 add ebx, 1
      ...[0x83, 0xe9, 0x01], //             8 sub ecx, 1
      ...[0x75, 0xf3], //                   b jnz 0
      ...[0xb9, 0x01, 0x00, 0x00, 0x00], // d mov ecx, 1
      ...[0xeb, 0xf1], //                  12 jmp 5
    ];
    const hashes = new Set<string>();
    for (const accel of ['interp', 'jit'] as const) {
      const cpu = start(code, { accel, heat: 20 });
      cpu.setRegister(1, 2000n);
      cpu.processor.run(5 * 2000);
      const middle = (): boolean | undefined =>
        cpu.engine.code.known().find(({ start }) => start === 5)?.isCompiled;
      expect(middle()).toBe(false);
      cpu.processor.run(20_000);
      expect(middle()).toBe(accel === 'jit');
      expect(cpu.engine.regions.failures).toEqual([]);
      hashes.add(stateHash(cpu.processor) + memoryHash(cpu.ram));
    }
    expect(hashes.size).toBe(1);
  });

  test.each(both)('accesses across pages (%s)', (accel) => {
    // mov rax, [rsi]; mov [rdi], rax; jmp $
    const cpu = start([0x48, 0x8b, 0x06, 0x48, 0x89, 0x07, 0xeb, 0xfe], { accel, heat: 1 });
    cpu.ram.set([1, 2, 3, 4, 5, 6, 7, 8], 0x5ffd);
    cpu.setRegister(6, 0x5ffdn);
    cpu.setRegister(7, 0x7ffbn);
    cpu.processor.run(3);
    expect(cpu.register(0)).toBe(0x0807060504030201n);
    expect([...cpu.ram.subarray(0x7ffb, 0x8003)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test.each(both)('an instruction across pages (%s)', (accel) => {
    // mov eax, 12345678h lies two bytes before the page's end.
    const cpu = start([0xb8, 0x78, 0x56, 0x34, 0x12, 0xeb, 0xf9], { accel, heat: 5 }, 0x1ffe);
    cpu.processor.run(100);
    expect(cpu.register(0)).toBe(0x12345678n);
    expect(cpu.rip).toBe(0x1ffen);
  });
});

describe('faults', () => {
  test.each(both)('an access to an address that is not mapped (%s)', (accel) => {
    // inc rax; mov rbx, [rdi]; inc rax
    const cpu = start([0x48, 0xff, 0xc0, 0x48, 0x8b, 0x1f, 0x48, 0xff, 0xc0], { accel, heat: 1 });
    cpu.setRegister(7, 0x7f0000000000n);
    cpu.processor.run(10);
    expect(cpu.seen).toEqual({ vector: 14, errorCode: 0 });
    expect(cpu.rip).toBe(0x1003n);
    expect(cpu.register(0)).toBe(1n);
    expect(cpu.processor.retired).toBe(1);
    expect(cpu.processor.state.getBig('cr2')).toBe(0x7f0000000000n);
  });

  test('an address that is not canonical', () => {
    const cpu = start([0x48, 0x8b, 0x1f]);
    cpu.setRegister(7, 0x800000000000n);
    cpu.processor.run(1);
    expect(cpu.seen).toEqual({ vector: 13, errorCode: 0 });
  });

  test('a return to the last byte of the address space, which no empty cache entry may claim', () => {
    const cpu = start([0xc3]);
    cpu.ram.fill(0xff, 0x9000, 0x9008);
    cpu.processor.run(1);
    cpu.processor.run(1);
    expect(cpu.seen?.vector).toBe(14);
    expect(cpu.processor.state.getBig('cr2')).toBe(0xffff_ffff_ffff_ffffn);
  });

  test('a push to it is #SS', () => {
    const cpu = start([0x50]);
    cpu.setRegister(4, 0x800000000010n);
    cpu.processor.run(1);
    expect(cpu.seen).toEqual({ vector: 12, errorCode: 0 });
    expect(cpu.register(4)).toBe(0x800000000010n);
  });

  test('bytes that are no instruction', () => {
    const cpu = start([0x90, 0x06]);
    cpu.processor.run(5);
    expect(cpu.seen).toEqual({ vector: 6, errorCode: -1 });
    expect(cpu.processor.retired).toBe(1);
  });
});

test.each([
  ['vaddps xmm0 {k1}, xmm1, xmm2, whose VEX form is there', [0x62, 0xf1, 0x74, 0x09, 0x58, 0xc2]],
  ['vmcall', [0x0f, 0x01, 0xc1]],
  ['pfadd mm0, mm1', [0x0f, 0x0f, 0xc1, 0x9e]],
])('what is not there is #UD: %s', (_name, code) => {
  const cpu = start(code);
  cpu.processor.run(5);
  expect(cpu.seen).toEqual({ vector: 6, errorCode: -1 });
  expect(cpu.processor.problem).toBe('');
});

describe('self-modifying code', () => {
  test.each(both)('the next instruction is changed by the one before (%s)', (accel) => {
    // mov byte [rip+1], 2; mov al, 1: the immediate becomes 2. Then jmp $.
    const cpu = start([0xc6, 0x05, 0x01, 0x00, 0x00, 0x00, 0x02, 0xb0, 0x01, 0xeb, 0xfe], { accel, heat: 1 });
    cpu.processor.run(2);
    expect(cpu.register(0)).toBe(2n);
    expect(cpu.rip).toBe(0x1009n);
  });

  test.each(both)('a loop changes what it adds (%s)', (accel) => {
    const cpu = start(
      [
        ...[0xb9, 0xe8, 0x03, 0x00, 0x00], // 0 mov ecx, 1000
        ...[0x83, 0xc0, 0x01], //             5 add eax, 1: its immediate is at 7
        ...[0x88, 0x0d, 0xf9, 0xff, 0xff, 0xff], // 8 mov [rip-7], cl
        ...[0x83, 0xe9, 0x01], //             e sub ecx, 1
        ...[0x75, 0xf2], //                  11 jnz 5
        ...[0xeb, 0xfe], //                  13 jmp $
      ],
      { accel, heat: 3 },
    );
    let expected = 0;
    let immediate = 1;
    for (let count = 1000; count > 0; count--) {
      expected += immediate;
      immediate = (count << 24) >> 24;
    }
    cpu.processor.run(1 + 4000);
    expect(Number(cpu.register(0))).toBe(expected >>> 0);
  });

  test('a jump to a block that was changed counts nothing twice', () => {
    // call 20; inc byte [rip+15h] (changes the block at 20); jmp 0 · 20: mov al, 1; ret
    const cpu = start([0xe8, 0x1b, 0, 0, 0, 0xfe, 0x05, 0x16, 0, 0, 0, 0xeb, 0xf3]);
    cpu.ram.set([0xb0, 0x01, 0xc3], 0x1020);
    cpu.processor.run(501);
    expect(cpu.rip).toBe(0x1020n);
    expect(cpu.register(0)).toBe(100n);
    expect(cpu.processor.exits[4]).toBeGreaterThan(10);
  });

  test('data written by a device is seen as code', () => {
    const cpu = start([0xff, 0xc0, 0xeb, 0xfc], { heat: 10 });
    cpu.processor.run(1000);
    // inc eax becomes dec eax.
    cpu.engine.physical.writeBytes(0x1000, Uint8Array.of(0xff, 0xc8));
    cpu.processor.run(1000);
    expect(cpu.register(0)).toBe(0n);
    expect(cpu.engine.code.invalidations).toBeGreaterThan(0);
  });
});
