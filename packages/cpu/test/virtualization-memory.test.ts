import { describe, expect, test } from 'vitest';
import { Answer } from '../src/virtualization/extension.ts';
import { scenario, vmmcall } from './virtualization/scenario.ts';
import { Guest } from './virtualization/toy-machine.ts';

const readable = 1;
const all = 7;
const trapFlag = 0x100;

function summary(
  exits: readonly {
    readonly reason: string;
    readonly rip: number;
    readonly retired: number;
    readonly during: string;
  }[],
): unknown[] {
  return exits.map(({ reason, rip, retired, during }) => [
    during === '' ? reason : `${reason} during ${during}`,
    rip - Guest.code,
    retired,
  ]);
}

describe('faults of the second stage', () => {
  test('of a load, a store, a read-modify-write: nothing is done, and it is done again', () => {
    // MOV RAX, [RDI]; MOV [RDI], RBX; ADD [RDI], EAX
    const code = [0x48, 0x8b, 0x07, 0x48, 0x89, 0x1f, 0x01, 0x07];
    const { exits, machine } = scenario(
      code,
      (toy) => {
        toy.cpu.setRegister(7, BigInt(Guest.data));
        toy.cpu.setRegister(3, 5n);
        toy.guestWrite(Guest.data, [0x11]);
        toy.map(Guest.data, 0);
      },
      (toy, { reason }) => {
        if (reason.includes('access=0')) toy.map(Guest.data, readable);
        else toy.map(Guest.data, all);
      },
    );
    expect(summary(exits)).toEqual([
      ['violation access=0 guest=7000 linear=7000', 0, 1],
      ['violation access=1 guest=7000 linear=7000', 3, 4],
      ['vmmcall length=3', 8, 8],
    ]);
    expect(machine.guestRead(Guest.data, 2)).toEqual([0x16, 0]);
  });

  test('of an access across pages, in its second page', () => {
    const { exits } = scenario(
      [0x48, 0x89, 0x1f],
      (toy) => {
        toy.cpu.setRegister(7, BigInt(Guest.other - 4));
        toy.cpu.setRegister(3, -1n);
        toy.map(Guest.other, readable);
      },
      (toy, { reason }) => {
        if (!reason.startsWith('violation')) return;
        expect(toy.guestRead(Guest.other - 4, 4)).toEqual([0, 0, 0, 0]);
        toy.map(Guest.other, all);
      },
    );
    expect(summary(exits)).toEqual([
      ['violation access=1 guest=8000 linear=8000', 0, 1],
      ['vmmcall length=3', 3, 4],
    ]);
  });

  test('of a fetch: at a jump, and in the middle of straight code', () => {
    const start = Guest.other - 8;
    const { exits, machine } = scenario(
      // JMP to the last bytes of a page: six NOPs, and MOV EAX, 1, which reaches into the next.
      [0xe9, ...word(start - Guest.code - 5)],
      (toy) => {
        toy.guestWrite(start, [...new Array(6).fill(0x90), 0xb8, 1, 0, 0, 0, ...vmmcall]);
        toy.map(Guest.data, 0);
        toy.map(Guest.other, 3);
      },
      (toy, { reason }) => {
        if (reason.includes('guest=7')) toy.map(Guest.data, all);
        else toy.map(Guest.other, all);
      },
    );
    expect(summary(exits)).toEqual([
      ['violation access=2 guest=7ff8 linear=7ff8', start - Guest.code, 2],
      ['violation access=2 guest=8000 linear=8000', start + 6 - Guest.code, 2 + 2 + 6],
      ['vmmcall length=3', start + 11 - Guest.code, 10 + 2 + 1],
    ]);
    expect(exits.map((exit) => exit.bytes)).toEqual(['', 'b8 1', 'f 1']);
    expect(machine.guestStack).toBe(Guest.stack);
  });

  test('of a page table of the guest', () => {
    const { exits } = scenario(
      // MOV EAX, [RDI]
      [0x8b, 0x07],
      (toy) => {
        toy.cpu.setRegister(7, BigInt(Guest.far));
        toy.map(Guest.farTable, 0);
      },
      (toy) => toy.map(Guest.farTable, all),
    );
    expect(summary(exits)).toEqual([
      ['violation access=0 guest=14000 linear=200000 walk', 0, 1],
      ['vmmcall length=3', 2, 4],
    ]);
  });

  test('while an exception is delivered: the IDT, the stack', () => {
    const { exits } = scenario(
      // UD2, whose handler goes on behind it
      [0x0f, 0x0b],
      (toy) => {
        toy.guestWrite(Guest.handlers + 16 * 6, [0x48, 0x83, 0x04, 0x24, 2, 0x48, 0xcf]);
        toy.map(Guest.idt, 0);
        toy.map(Guest.stack - 0x1000, readable);
      },
      (toy, { reason }) => {
        if (reason.includes('guest=2060')) toy.map(Guest.idt, all);
        else toy.map(Guest.stack - 0x1000, all);
      },
    );
    expect(summary(exits)).toEqual([
      ['violation access=8 guest=2060 linear=2060 during 6/3/-1', 0, 1],
      ['violation access=1 guest=5ff8 linear=5ff8 during 6/3/-1', 0, 3],
      ['vmmcall length=3', 2, 7],
    ]);
  });

  test('in the middle of REP MOVS: what was moved is moved and counted', () => {
    const { exits, machine } = scenario(
      // REP MOVSB
      [0xf3, 0xa4],
      (toy) => {
        toy.guestWrite(
          Guest.data,
          Array.from({ length: 64 }, (_, i) => i + 1),
        );
        toy.cpu.setRegister(6, BigInt(Guest.data));
        toy.cpu.setRegister(7, BigInt(Guest.other + 0x1000 - 24));
        toy.cpu.setRegister(1, 64n);
        toy.map(Guest.other + 0x1000, readable);
      },
      (toy, { reason }) => {
        if (!reason.startsWith('violation')) return;
        expect(toy.cpu.register(1)).toBe(40n);
        expect(toy.cpu.register(7)).toBe(BigInt(Guest.other + 0x1000));
        toy.map(Guest.other + 0x1000, all);
      },
    );
    expect(summary(exits)).toEqual([
      ['violation access=1 guest=9000 linear=9000', 0, 1 + 24],
      ['vmmcall length=3', 2, 1 + 24 + 2 + 40],
    ]);
    expect(machine.guestRead(Guest.other + 0x1000 - 24, 64)).toEqual(
      Array.from({ length: 64 }, (_, i) => i + 1),
    );
  });

  test('that the extension mends at once are not exits', () => {
    const { exits } = scenario([0x8b, 0x07], (toy) => {
      toy.cpu.setRegister(7, BigInt(Guest.data));
      toy.map(Guest.data, 0);
      toy.extension.onSecondStage = () => {
        toy.map(Guest.data, all);
        return Answer.continue;
      };
    });
    expect(summary(exits)).toEqual([['vmmcall length=3', 2, 2]]);
  });

  test('that the extension turns into #VE', () => {
    const { exits } = scenario(
      [0x8b, 0x07],
      (toy) => {
        toy.cpu.setRegister(7, BigInt(Guest.data));
        toy.map(Guest.data, 0);
        toy.extension.wanted.exceptions = 1 << 20;
        toy.extension.onSecondStage = () => Answer.completed;
      },
      (toy) => toy.map(Guest.data, all),
    );
    expect(summary(exits)).toEqual([
      ['exception 20/3/-1', 0, 1],
      ['vmmcall length=3', 2, 4],
    ]);
  });
});

describe('a virtualized APIC', () => {
  // MOV EAX, [RDI+80h]; MOV [RDI+80h], EBX; INC EBX
  const code = [0x8b, 0x87, ...word(0x80), 0x89, 0x9f, ...word(0x80), 0xff, 0xc3];
  const page = (0x40_0000 + Guest.data) >> 12;

  test('is read and written, and an exit follows the write behind its instruction', () => {
    const { exits, machine } = scenario(code, (toy) => {
      toy.cpu.setRegister(7, BigInt(Guest.data));
      toy.cpu.setRegister(3, 0x30n);
      toy.extension.guest.context.apicAccessPage = page;
      toy.extension.apic[8] = 0x20;
      toy.extension.trapsAt = 0x80;
    });
    expect(summary(exits)).toEqual([
      ['apic write 80=48', 12, 3],
      ['vmmcall length=3', 14, 3 + 2 + 1],
    ]);
    expect(machine.extension.apic[8]).toBe(0x30);
    expect(machine.guestRead(Guest.data + 0x80, 1)).toEqual([0]);
  });

  test('the exit goes before a single-step trap, which waits', () => {
    const { exits } = scenario(
      [...code.slice(6), 0x90],
      (toy) => {
        toy.cpu.setRegister(7, BigInt(Guest.data));
        toy.extension.guest.context.apicAccessPage = page;
        toy.extension.trapsAt = 0x80;
        toy.extension.wanted.exceptions = 1 << 1;
        toy.guestFlags |= trapFlag;
      },
      (toy) => {
        toy.guestFlags &= ~trapFlag;
      },
    );
    expect(summary(exits)).toEqual([
      ['apic write 80=0, debug traps 4000', 6, 2],
      ['vmmcall length=3', 9, 2 + 2 + 2],
    ]);
  });

  test('an access is an exit before it is made', () => {
    const { exits } = scenario(
      code,
      (toy) => {
        toy.cpu.setRegister(7, BigInt(Guest.data));
        toy.extension.guest.context.apicAccessPage = page;
        toy.extension.onApic = (access) => (access.access === 1 ? Answer.exit : Answer.completed);
      },
      (toy) => {
        toy.extension.onApic = () => Answer.completed;
      },
    );
    expect(summary(exits)).toEqual([
      ['apic access 80 bytes=4 access=1', 6, 2],
      ['vmmcall length=3', 14, 2 + 2 + 2],
    ]);
  });
});

function word(value: number): number[] {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
}
