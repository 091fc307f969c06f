import { describe, expect, test } from 'vitest';
import { memoryHash, stateHash } from '../src/engine/state-hash.ts';
import { ExitReason } from '../src/records/layout.ts';
import { type BareOptions, BareProcessor } from './bare-processor.ts';

/*
 * SYSCALL, SYSRET and SWAPGS in generated code (semantics/system/transitions.ts), the banks they go between, and what TypeScript does on
 * the way: everything must be as if the services had executed them.
 */

const userCode = 0x400000;
const kernelCode = 0x3000;
const systemCode = 0x10;
/** SYSCALL's selectors from 10h, SYSRET's from 20h. */
const star = (0x20 << 16) | systemCode;

const user = [
  ...[0x48, 0xff, 0xc3], //             0 inc rbx
  ...[0x48, 0x01, 0xc3], //             3 add rbx, rax
  ...[0x0f, 0x05], //                   6 syscall
  ...[0x4c, 0x01, 0xdb], //             8 add rbx, r11
  ...[0x65, 0x48, 0x03, 0x1e], //       b add rbx, gs:[rsi]
  ...[0xeb, 0xef], //                   f jmp 0
];
const kernel = [
  ...[0x0f, 0x01, 0xf8], //             swapgs
  ...[0x65, 0x48, 0x8b, 0x06], //       mov rax, gs:[rsi]
  ...[0x48, 0x39, 0xc3], //             cmp rbx, rax
  ...[0x0f, 0x01, 0xf8], //             swapgs
  ...[0x48, 0x0f, 0x07], //             sysretq
];

interface Init extends BareOptions {
  readonly flags?: number;
  readonly mask?: number;
  readonly entry?: readonly number[];
}

/** Stands before the SYSRET that goes to the user's code. */
function start({ flags = 0x202, mask = 0x47700, entry = kernel, ...options }: Init = {}): BareProcessor {
  const cpu = new BareProcessor({ heat: 20, ...options });
  const { state } = cpu.processor;
  cpu.ram.set(user, userCode);
  cpu.ram.set(entry, kernelCode);
  cpu.ram.set([0x48, 0x0f, 0x07], 0x2000);
  cpu.ram.set([1, 2, 3, 4], 0x5000);
  cpu.ram.set([9, 8, 7, 6], 0x6000);
  cpu.context.set({ efer: cpu.context.efer | 1 });
  state.setPair('star', 0, star);
  state.setPair('lstar', kernelCode, 0);
  state.setPair('sfmask', mask, 0);
  state.setPair('kernelGsBase', 0x1000, 0);
  cpu.setRegister(1, BigInt(userCode));
  cpu.setRegister(11, BigInt(flags));
  cpu.setRegister(6, 0x5000n);
  cpu.setRegister(12, 0n);
  cpu.rip = 0x2000;
  cpu.processor.stateChanged();
  return cpu;
}

function hash(cpu: BareProcessor): string {
  const { state } = cpu.processor;
  const access = [1, 2].map((segment) =>
    (['segmentFirst', 'segmentLast', 'segmentRights'] as const).map((field) => state.get(field, segment)),
  );
  return `${stateHash(cpu.processor)} ${memoryHash(cpu.ram.subarray(0, 0x100000))} ${access}`;
}

/** Runs with services only: generated code finds no bank to go to. */
function runByServices(cpu: BareProcessor, count: number): void {
  for (let i = 0; i < count; i++) {
    cpu.processor.state.set('callBank', 0);
    cpu.processor.state.set('returnBank', 0);
    cpu.processor.run(1);
  }
}

/** All ways to run a guest for a count of instructions end alike; answers how they do. */
function sameEverywhere(make: (options: BareOptions) => BareProcessor, total: number): string {
  const reference = make({ accel: 'interp' });
  runByServices(reference, total);
  const expected = hash(reference);
  for (const accel of ['interp', 'jit'] as const) {
    for (const slice of [1, 5, 97, total]) {
      const cpu = make({ accel });
      for (let done = 0; done < total; done += slice) cpu.processor.run(Math.min(slice, total - done));
      expect(cpu.processor.retired, `${accel} ${slice}`).toBe(reference.processor.retired);
      expect(hash(cpu), `${accel} ${slice}`).toBe(expected);
    }
  }
  return expected;
}

const both = [['interp'], ['jit']] as const;

describe('system calls in generated code', () => {
  test.each([
    ['as usual', 0x202, 0x47700],
    ['all status flags, direction', 0xcd7, 0x47700],
    ['flags kept', 0xed7, 0],
    ['everything masked', 0x2cd7, 0x3f7fd5],
    ['alignment checks', 0x40202, 0x47700],
    ['alignment checks kept', 0x40202, 0],
    ['identification, privilege level of I/O', 0x203202, 0x200],
  ])('equal to the services: %s', { timeout: 60_000 }, (_, flags, mask) => {
    for (const vendor of ['intel', 'amd'] as const)
      sameEverywhere((options) => start({ ...options, vendor, flags, mask }), 600);
  });

  test.each(both)('TypeScript is hardly asked (%s)', (accel) => {
    const cpu = start({ accel });
    cpu.processor.run(11_000);
    // 1,000 rounds of four instructions each; the first ones make the banks.
    expect(cpu.processor.exits[ExitReason.service]).toBeLessThan(10);
    expect(cpu.processor.exits[ExitReason.jump]).toBeLessThan(20);
  });

  test('other backends of the TLB', () => {
    const results = new Set<string>();
    for (const tlb of ['set-associative', 'exact', 'none', 'chaos'] as const) {
      const cpu = start({ tlb, accel: 'jit' });
      cpu.processor.run(3000);
      results.add(hash(cpu));
    }
    expect(results.size).toBe(1);
  });

  /** Maps the first 2 MiB by pages of 4 KiB for the supervisor, but for what the user reads; answers where an entry is. */
  function supervisorPages(cpu: BareProcessor): (page: number) => { set(entry: number): void } {
    const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset);
    const set = (page: number, entry: number): void =>
      view.setBigUint64(0x200000 + 8 * page, BigInt(entry), true);
    view.setBigUint64(cpu.ram.length - 0x6000 + 0x2000, 0x200007n, true);
    for (let page = 0; page < 512; page++) set(page, page * 4096 + 3);
    set(5, 0x5007);
    cpu.processor.stateChanged();
    return (page) => ({ set: (entry) => set(page, entry) });
  }

  test.each(both)('SYSRET into the page of the kernel asks for its rights anew (%s)', (accel) => {
    // After 100 rounds the kernel returns into its own page.
    const entry = [
      ...[0x49, 0xff, 0xc4], //               inc r12
      ...[0x49, 0x83, 0xfc, 0x64], //         cmp r12, 100
      ...[0x75, 0x07], //                     jne +7
      ...[0x48, 0xc7, 0xc1, 0, 0x38, 0, 0], // mov rcx, 3800h
      ...[0x48, 0x0f, 0x07], //               sysretq
    ];
    const cpu = start({ accel, entry });
    supervisorPages(cpu);
    cpu.processor.run(100_000);
    expect(cpu.seen).toEqual({ vector: 14, errorCode: 0x15 });
    expect(cpu.rip).toBe(0x3800n);
    expect(cpu.register(12)).toBe(100n);
  });

  test.each(both)('the same after the kernel has taken the page from the user (%s)', (accel) => {
    const entry = [
      ...[0x49, 0xff, 0xc4], //                           inc r12
      ...[0x49, 0x83, 0xfc, 0x64], //                     cmp r12, 100
      ...[0x75, 0x08], //                                 jne +8
      ...[0x41, 0x83, 0x27, 0xfb], //                     and dword [r15], ~4
      ...[0x41, 0x0f, 0x01, 0x3e], //                     invlpg [r14]
      ...[0x48, 0x0f, 0x07], //                           sysretq
    ];
    const cpu = start({ accel, entry });
    cpu.ram.set(user, 0x3800);
    supervisorPages(cpu)(3).set(0x3007);
    cpu.setRegister(1, 0x3800n);
    cpu.setRegister(14, 0x3000n);
    cpu.setRegister(15, 0x200018n);
    cpu.processor.run(100_000);
    expect(cpu.seen).toEqual({ vector: 14, errorCode: 0x15 });
    expect(cpu.rip).toBe(0x3808n);
    expect(cpu.register(12)).toBe(100n);
  });

  test.each(both)('what the kernel touches is not the user’s (%s)', (accel) => {
    // In one stay in generated code: no branch is taken for the first time.
    const entry = [
      ...[0x49, 0xff, 0xc4], //         inc r12
      ...[0x49, 0x83, 0xfc, 0x64], //   cmp r12, 100
      ...[0x4d, 0x0f, 0x44, 0xfe], //   cmovz r15, r14
      ...[0x49, 0x8b, 0x07], //         mov rax, [r15]
      ...[0x48, 0x0f, 0x07], //         sysretq
    ];
    const cpu = start({ accel, heat: 5, entry });
    supervisorPages(cpu);
    // mov rbx, [r15]; syscall; jmp
    cpu.ram.set([0x49, 0x8b, 0x1f, 0x0f, 0x05, 0xeb, 0xf9], userCode);
    cpu.setRegister(14, 0x6000n);
    cpu.setRegister(15, 0x5000n);
    cpu.processor.run(500);
    while (cpu.processor.state.get('cpl') !== 3) cpu.processor.run(1);
    expect(cpu.register(12)).toBeLessThan(100n);
    cpu.processor.run(100_000);
    expect(cpu.seen).toEqual({ vector: 14, errorCode: 5 });
    expect(cpu.register(12)).toBe(100n);
  });

  test.each(both)('alignment is checked as soon as the kernel sets AC (%s)', (accel) => {
    const entry = [
      ...[0x49, 0xff, 0xc4], //             inc r12
      ...[0x49, 0x83, 0xfc, 0x64], //       cmp r12, 100
      ...[0x75, 0x05], //                   jne +5
      ...[0x49, 0x0f, 0xba, 0xeb, 0x12], // bts r11, 18
      ...[0x48, 0x0f, 0x07], //             sysretq
    ];
    const cpu = start({ accel, entry });
    cpu.setRegister(6, 0x5001n);
    cpu.processor.run(100_000);
    expect(cpu.seen).toEqual({ vector: 17, errorCode: 0 });
    expect(cpu.register(12)).toBe(100n);
  });
});

describe('contexts', () => {
  /** The kernel goes to the next of `count` PCIDs; two sets of tables map the user's code to different pages. */
  function switching(count: number, noFlush: boolean, options: BareOptions): BareProcessor {
    const entry = [
      ...[0x49, 0xff, 0xc4], //                   inc r12
      ...[0x49, 0x81, 0xfc, count, 0, 0, 0], //   cmp r12, count
      ...[0x4d, 0x0f, 0x44, 0xe5], //             cmovz r12, r13
      ...[0x4b, 0x8b, 0x04, 0xe6], //             mov rax, [r14 + 8 * r12]
      ...[0x0f, 0x22, 0xd8], //                   mov cr3, rax
      ...[0x31, 0xc0], //                         xor eax, eax
      ...[0x48, 0x0f, 0x07], //                   sysretq
    ];
    const cpu = start({ ...options, entry });
    const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset);
    const root = cpu.ram.length - 0x6000;
    const other = cpu.ram.length - 0x10000;
    cpu.ram.copyWithin(other, root, root + 0x6000);
    for (const [at, target] of [
      [other, other + 0x1000],
      [other + 0x1000, other + 0x2000],
    ])
      view.setBigUint64(at, BigInt(target) | 7n, true);
    // User code that adds 2 each time.
    cpu.ram.copyWithin(0x600000, userCode, userCode + 0x20);
    cpu.ram.set([0x48, 0x8d, 0x5b, 0x02, 0x90, 0x90], 0x600000);
    view.setBigUint64(other + 0x2000 + 8 * 2, 0x600087n, true);
    for (let i = 0; i < count; i++)
      view.setBigUint64(
        0x8000 + 8 * i,
        BigInt(i & 1 ? other : root) | BigInt(i) | (noFlush ? 1n << 63n : 0n),
        true,
      );
    cpu.setRegister(13, 0n);
    cpu.setRegister(14, 0x8000n);
    cpu.context.set({ cr4: cpu.context.cr4 | 0x20000 });
    cpu.processor.mmu.enter(cpu.context);
    cpu.processor.stateChanged();
    return cpu;
  }

  test.each([
    [2, false],
    [2, true],
    // More pairs of banks than there are.
    [21, true],
  ])('%i PCIDs (kept: %s)', { timeout: 60_000 }, (count, noFlush) => {
    sameEverywhere((options) => switching(count, noFlush, options), 700);
  });
});

describe('events', () => {
  test.each(both)('an interrupt that waits is taken right behind SYSRET (%s)', (accel) => {
    let isPending = false;
    let taken = -1;
    const interrupts = {
      get isPending() {
        return isPending;
      },
      acknowledge: () => {
        taken = cpu.processor.retired;
        return 0x20;
      },
    };
    const cpu = start({ accel, parts: { interrupts } });
    // Into a later round's kernel: SYSRET, 3 of the user, SYSCALL, SWAPGS.
    cpu.processor.run(10_006);
    const { state } = cpu.processor;
    expect(state.get('cpl')).toBe(0);
    isPending = true;
    cpu.processor.run(1000);
    expect(taken).toBeGreaterThan(10_006);
    expect(taken).toBeLessThan(10_006 + 11);
    expect(cpu.processor.exits[ExitReason.service]).toBeGreaterThan(0);
  });

  test('an interrupt that a device raises in the kernel is taken right behind SYSRET', () => {
    const taken = new Set<number>();
    for (const accel of ['interp', 'jit'] as const) {
      for (const slice of [1, 13, 5000]) {
        let writes = 0;
        let first = -1;
        const interrupts = {
          get isPending() {
            return writes >= 100;
          },
          acknowledge: () => {
            if (first < 0) first = cpu.processor.retired;
            return 0x20;
          },
        };
        // mov [rdi], eax; sysretq
        const cpu = start({ accel, entry: [0x89, 0x07, 0x48, 0x0f, 0x07], parts: { interrupts } });
        cpu.engine.physical.addRegion({
          kind: 'mmio',
          start: 0x2000_0000,
          size: 4096,
          handler: { read: () => 0, write: () => writes++ },
        });
        cpu.setRegister(7, 0x2000_0000n);
        for (let done = 0; done < 5000 && first < 0; done += slice) cpu.processor.run(slice);
        taken.add(first);
      }
    }
    // SYSRET; three of the user, the store, SYSRET; 99 rounds of eight.
    expect([...taken]).toEqual([1 + 5 + 99 * 8]);
  });

  test.each(both)('a breakpoint at the entry (%s)', (accel) => {
    const cpu = start({ accel });
    cpu.processor.run(1001);
    const { state } = cpu.processor;
    state.setPair('debug', kernelCode, 0, 0);
    state.setPair('debug', 0x401, 0, 7);
    cpu.processor.breakpointsChanged();
    cpu.processor.run(1000);
    expect(cpu.seen?.vector).toBe(1);
    expect(cpu.rip).toBe(BigInt(kernelCode));
    expect(state.get('cpl')).toBe(0);
  });

  test('RF of an IRETQ holds for one instruction', () => {
    const flags: number[][] = [];
    for (const accel of ['interp', 'jit'] as const) {
      for (const slice of [1, 2, 3]) {
        const cpu = new BareProcessor({ accel, heat: 2 });
        // iretq; 7002h: inc rax; inc rax; jmp 7002h
        cpu.ram.set([0x48, 0xcf, 0x48, 0xff, 0xc0, 0x48, 0xff, 0xc0, 0xeb, 0xf8], 0x7000);
        const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset);
        for (const [i, value] of [0x7002, 0x10, 0x10002, 0x9000, 0x18].entries())
          view.setBigUint64(0x8000 + 8 * i, BigInt(value), true);
        view.setBigUint64(0xa010, 0x00af9b000000ffffn, true);
        view.setBigUint64(0xa018, 0x00cf93000000ffffn, true);
        cpu.processor.state.setPair('tableBase', 0xa000, 0, 0);
        cpu.processor.state.set('tableLimit', 0xff, 0);
        cpu.setRegister(4, 0x8000n);
        cpu.rip = 0x7000;
        const seen: number[] = [];
        for (let done = 0; done < 6; done += slice) {
          cpu.processor.run(slice);
          seen[cpu.processor.retired] = cpu.processor.state.flags & 0x10000;
        }
        flags.push(seen);
      }
    }
    for (const seen of flags)
      for (const [count, flag] of seen.entries())
        if (flag !== undefined) expect(flag, `${count}`).toBe(count === 1 ? 0x10000 : 0);
  });
});

describe('accesses of TypeScript through the fast TLB', () => {
  test.each(both)('a write to code that was translated meanwhile is seen (%s)', (accel) => {
    const cpu = new BareProcessor({ accel, heat: 2 });
    cpu.ram.set([0x48, 0xff, 0xc0, 0xeb, 0xfb], 0x7000);
    cpu.rip = 0x7000;
    cpu.processor.run(1);
    const { memory } = cpu.processor;
    // The page is writable directly now …
    memory.write(0x7100, 0, 4, 0x11111111);
    memory.write(0x7104, 0, 4, 0x22222222);
    expect(memory.read(0x7100, 0, 4)).toBe(0x11111111);
    cpu.processor.run(100);
    const before = cpu.register(0);
    // … but its code must not go on: inc rax becomes dec rax.
    memory.write(0x7002, 0, 1, 0xc8);
    cpu.processor.run(100);
    expect(cpu.register(0)).toBe(before - 50n);
  });

  test('a page that becomes read-only is not written to', () => {
    const cpu = new BareProcessor();
    cpu.ram.set([0x0f, 0x01, 0x3e, 0xeb, 0xfe], 0x7000);
    cpu.rip = 0x7000;
    cpu.setRegister(6, 0x400000n);
    const { memory } = cpu.processor;
    cpu.processor.run(1);
    memory.write(0x400000, 0, 4, 1);
    memory.write(0x400000, 0, 4, 2);
    const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset);
    view.setBigUint64(cpu.ram.length - 0x6000 + 0x2000 + 16, 0x400085n, true);
    cpu.rip = 0x7000;
    cpu.processor.run(1);
    expect(() => memory.write(0x400000, 0, 4, 3)).toThrow();
    expect(memory.read(0x400000, 0, 4)).toBe(2);
  });
});
