import { describe, expect, test } from 'vitest';
import { memoryHash, stateHash } from '../src/engine/state-hash.ts';
import { ExitReason } from '../src/records/layout.ts';
import { Activity } from '../src/state/layout.ts';
import { deriveSegmentAccess } from '../src/state/segment-cache.ts';
import { EventSource } from '../src/virtualization/events.ts';
import { type BareOptions, BareProcessor } from './bare-processor.ts';

/*
 * PUSHF, POPF, CLI, STI, MOV from segment registers and IRETQ in generated code (semantics/system/flags.ts and interrupt-return.ts) end as the
 * services do, however the run is cut.
 */

const code = 0x1000;
const gdt = 0x21000;
const staged = /^(PUSHF|POPF|IRET|CLI|STI)/;

/** A round: flags of RAX's bits go through the stack and back, then to the next instruction by IRETQ. */
const round = [
  ...[0x48, 0xff, 0xc3], //             0 inc rbx
  ...[0x9c], //                         3 pushfq
  ...[0x5a], //                         4 pop rdx
  ...[0x48, 0x01, 0xd7], //             5 add rdi, rdx
  ...[0x50, 0x9d], //                   8 push rax; popfq
  ...[0x66, 0x9c, 0x66, 0x9d], //       a pushfw; popfw
  ...[0xfa, 0x90, 0xfb, 0x90], //       e cli; nop; sti; nop
  ...[0x8c, 0xd2], //                  12 mov edx, ss
  ...[0x48, 0x01, 0xd7], //            14 add rdi, rdx
  ...[0x8c, 0x1e], //                  17 mov [rsi], ds
  ...[0x49, 0x89, 0xe0], //            19 mov r8, rsp
  ...[0x52, 0x41, 0x50, 0x9c], //      1c push rdx; push r8; pushfq
  ...[0x8c, 0xc9, 0x51], //            20 mov ecx, cs; push rcx
  ...[0x48, 0x8d, 0x15, 3, 0, 0, 0], // 23 lea rdx, [2d]
  ...[0x52, 0x48, 0xcf], //            2a push rdx; iretq
  ...[0x69, 0xc0, 1, 1, 1, 0x11], //   2d imul eax, eax, 11010101h
  ...[0x25, 0, 0, 0, 0], //            33 and eax, mask
  ...[0xeb, 0xc6], //                  38 jmp 0
];
const maskAt = 0x34;

interface Init extends BareOptions {
  /** Flags that POPFQ changes. */
  readonly mask?: number;
  readonly ss?: number;
  readonly byServices?: boolean;
}

function start({ mask = 0x24_4cd5, ss = 0x10, byServices = false, ...options }: Init): BareProcessor {
  const cpu = new BareProcessor({ heat: 20, ramSize: 1 << 20, ...options });
  const { state } = cpu.processor;
  if (byServices) {
    const { handlers } = cpu.engine;
    const has = handlers.has.bind(handlers);
    handlers.has = (name) => !staged.test(name) && has(name);
  }
  cpu.ram.set(round, code);
  const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset);
  view.setInt32(code + maskAt, mask, true);
  view.setBigUint64(gdt + 8, 0x00af9b000000ffffn, true);
  view.setBigUint64(gdt + 16, 0x00cf93000000ffffn, true);
  state.setPair('tableBase', gdt, 0);
  state.set('tableLimit', 0x17);
  state.set('segmentSelector', 8, 1);
  state.set('segmentSelector', ss, 2);
  state.set('segmentSelector', 0x33, 3);
  for (let segment = 0; segment < 6; segment++) deriveSegmentAccess(state, segment);
  cpu.setRegister(0, 0x8d5n);
  cpu.setRegister(4, 0x9000n);
  cpu.setRegister(6, 0x5000n);
  cpu.rip = code;
  cpu.processor.stateChanged();
  return cpu;
}

function hash({ processor, ram }: BareProcessor): string {
  return `${processor.retired} ${stateHash(processor)} ${memoryHash(ram.subarray(0, 0x30000))}`;
}

const total = 1200;

describe('equal to the services', () => {
  test.each([
    ['status flags, direction, ID', {}],
    ['interrupts, too', { mask: 0x24_4ed5 }],
    ['alignment checks', { mask: 0x24_0ed5 | 0x4_0000 }],
    ['a null stack segment', { ss: 0, mask: 0xed5 }],
  ] satisfies [string, Init][])('%s', { timeout: 60_000 }, (_, init) => {
    const reference = start({ ...init, accel: 'interp', byServices: true });
    reference.processor.run(total);
    for (const accel of ['interp', 'jit'] as const) {
      for (const slice of [1, 7, 97, total]) {
        const cpu = start({ ...init, accel });
        for (let done = 0; done < total; done += slice) cpu.processor.run(Math.min(slice, total - done));
        expect(hash(cpu), `${accel} ${slice}`).toBe(hash(reference));
      }
    }
    // Where a run may end behind STI, its shadow shows there.
    for (const count of Array.from({ length: 29 }, (_, i) => 300 + i)) {
      const cpu = start({ ...init, accel: 'jit' });
      const other = start({ ...init, accel: 'interp', byServices: true });
      for (const one of [cpu, other]) one.processor.run(count);
      expect(hash(cpu), `${count}`).toBe(hash(other));
    }
  });
});

test.each(['interp', 'jit'] as const)('TypeScript is hardly asked (%s)', (accel) => {
  const cpu = start({ accel, mask: 0xed5 });
  cpu.processor.run(30_000);
  expect(cpu.processor.exits[ExitReason.service]).toBeLessThan(20);
});

test('another selector of the GDT is loaded, and a descriptor that was changed', () => {
  for (const change of [2, 6]) {
    const results = [true, false].map((byServices) => {
      const cpu = start({ accel: 'interp', byServices, mask: 0 });
      cpu.processor.run(100);
      // The limit of SS's descriptor, or its base.
      cpu.ram[gdt + 16 + (change === 2 ? 3 : 6)] ^= 1;
      cpu.processor.run(100);
      return hash(cpu);
    });
    expect(results[0]).toBe(results[1]);
  }
});

test.each(['interp', 'jit'] as const)(
  'an interrupt that waits comes one instruction behind STI (%s)',
  (accel) => {
    let isPending = false;
    const interrupts = {
      get isPending(): boolean {
        return isPending;
      },
      acknowledge: () => {
        isPending = false;
        return 0x20;
      },
    };
    const cpu = start({ accel, mask: 0, parts: { interrupts } });
    cpu.processor.run(3000);
    // Before CLI's NOP. The empty IDT has no gate: the processor shuts down at once.
    while (cpu.rip !== BigInt(code + 0xf)) cpu.processor.run(1);
    isPending = true;
    cpu.processor.run(100);
    expect([cpu.rip, isPending, cpu.processor.state.get('activity')]).toEqual([
      BigInt(code + 0x12),
      false,
      Activity.shutdown,
    ]);
  },
);

test('an NMI that waits keeps STI with its service', () => {
  const cpu = start({ accel: 'interp', mask: 0 });
  while (cpu.rip !== BigInt(code + 0x10)) cpu.processor.run(1);
  cpu.processor.state.set('nmiBlocked', 1);
  cpu.processor.events.pending |= EventSource.nmi;
  const before = cpu.processor.exits[ExitReason.service];
  cpu.processor.run(2);
  expect(cpu.processor.exits[ExitReason.service] - before).toBe(1);
});
