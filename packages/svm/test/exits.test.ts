import { describe, expect, test } from 'vitest';
import { EventField, Intercept1, Intercept2 } from '../src/index.ts';
import { Guest, Host, instruction, NestedMachine, scenario } from './nested-machine.ts';

const end = (at: number): string => `VMMCALL 0 0 at ${at} next ${at + 3}`;
const state = (machine: NestedMachine) => machine.processor.state;
/** MOV EAX, n; MOV ECX, n. */
const eax = (value: number): number[] => [0xb8, ...word(value)];
const ecx = (value: number): number[] => [0xb9, ...word(value)];
function word(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
}

describe('intercepted instructions', () => {
  test('RIP stays, nRIP is behind; without an intercept nothing leaves the guest', () => {
    // CPUID, RDTSC, PUSHFQ, POPFQ, WBINVD, PAUSE, HLT; then CPUID and RDTSC again.
    const code = [0x0f, 0xa2, 0x0f, 0x31, 0x9c, 0x9d, 0x0f, 0x09, 0xf3, 0x90, 0xf4, 0x0f, 0xa2, 0x0f, 0x31];
    const { cpuid, rdtsc, pushf, popf, pause, hlt } = Intercept1;
    const { exits } = scenario(
      code,
      (m) =>
        m.set({
          intercept1: cpuid | rdtsc | pushf | popf | pause | hlt,
          intercept2: 3 | Intercept2.wbinvd,
        }),
      (m, exit) => {
        if (exit.startsWith('HLT')) m.set({ intercept1: 0 });
      },
    );
    expect(exits).toEqual([
      'CPUID 0 0 at 0 next 2',
      'RDTSC 0 0 at 2 next 4',
      'PUSHF 0 0 at 4 next 5',
      'POPF 0 0 at 5 next 6',
      'WBINVD 0 0 at 6 next 8',
      'PAUSE 0 0 at 8 next 10',
      'HLT 0 0 at 10 next 11',
      end(15),
    ]);
  });

  test('control and debug registers, with the general register', () => {
    // MOV RBX, CR0; MOV CR4, R9; MOV CR3, RDX; MOV RSI, DR7; CLTS; SMSW EAX; LMSW EAX.
    const code = [
      ...[0x0f, 0x20, 0xc3],
      ...[0x41, 0x0f, 0x22, 0xe1],
      ...[0x0f, 0x22, 0xda],
      ...[0x0f, 0x21, 0xfe],
      ...[0x0f, 0x06],
      ...[0x0f, 0x01, 0xe0],
      ...[0x0f, 0x01, 0xf0],
    ];
    const { exits } = scenario(code, (m) => m.set({ interceptCr: 0x0019_0001, interceptDr: 0x80 }));
    expect(exits).toEqual([
      'CR0_READ 8000000000000003 0 at 0 next 3',
      'CR4_WRITE 8000000000000009 0 at 3 next 7',
      'CR3_WRITE 8000000000000002 0 at 7 next 10',
      'DR7_READ 6 0 at 10 next 13',
      'CR0_WRITE 0 0 at 13 next 15',
      'CR0_READ 0 0 at 15 next 18',
      'CR0_WRITE 0 0 at 18 next 21',
      end(21),
    ]);
  });

  test('DR4 and DR5 by their own names; RSM wherever it stands', () => {
    // MOV DR4, RAX; MOV RAX, DR5; RSM
    const code = [0x0f, 0x23, 0xe0, 0x0f, 0x21, 0xe8, 0x0f, 0xaa];
    const values = { interceptDr: 0x0010_0020, intercept1: Intercept1.rsm };
    expect(scenario(code, (m) => m.set(values)).exits).toEqual([
      'DR4_WRITE 0 0 at 0 next 3',
      'DR5_READ 0 0 at 3 next 6',
      'RSM 0 0 at 6 next 8',
      end(8),
    ]);
  });

  test('the selective CR0 intercept lets TS and MP pass, but not LMSW', () => {
    // MOV RBX, CR0; XOR EBX, 8; MOV CR0, RBX; XOR EBX, 20000h (AM is 40000h: bit 16 is WP); MOV CR0, RBX; LMSW BX
    const code = [
      ...[0x0f, 0x20, 0xc3, 0x83, 0xf3, 0x08, 0x0f, 0x22, 0xc3],
      ...[0x81, 0xf3, 0, 0, 1, 0, 0x0f, 0x22, 0xc3, 0x0f, 0x01, 0xf3],
    ];
    const { exits } = scenario(code, (m) => m.set({ intercept1: Intercept1.cr0Selective }));
    expect(exits).toEqual([
      'CR0_SEL_WRITE 8000000000000003 0 at 15 next 18',
      'CR0_SEL_WRITE 0 0 at 18 next 21',
      end(21),
    ]);
  });

  test('descriptor tables, INVLPG, INT n', () => {
    // SGDT [7000h]; LIDT [7000h]; STR EAX; LLDT AX; INVLPG [RCX]; INT 40h
    const code = [
      ...[0x0f, 0x01, 0x04, 0x25, ...word(Guest.data)],
      ...[0x0f, 0x01, 0x1c, 0x25, ...word(Guest.data)],
      ...[0x0f, 0x00, 0xc8, 0x0f, 0x00, 0xd0],
      ...[...ecx(0x1234_5678), 0x0f, 0x01, 0x39, 0xcd, 0x40],
    ];
    const { gdtrRead, idtrWrite, trRead, ldtrWrite, invlpg, intn } = Intercept1;
    const { exits } = scenario(code, (m) =>
      m.set({ intercept1: gdtrRead | idtrWrite | trRead | ldtrWrite | invlpg | intn }),
    );
    expect(exits).toEqual([
      'GDTR_READ 0 0 at 0 next 8',
      'IDTR_WRITE 0 0 at 8 next 16',
      'TR_READ 0 0 at 16 next 19',
      'LDTR_WRITE 0 0 at 19 next 22',
      'INVLPG 12345678 0 at 27 next 30',
      'SWINT 40 0 at 30 next 32',
      end(32),
    ]);
  });

  test('ports by their map: size, direction, string, repeat', () => {
    // OUT 80h, AL; IN EAX, 60h; OUT DX, AX (3F8h); REP OUTSB with FS; OUT 20h, AL, which nobody wants
    const code = [
      ...[0xe6, 0x80, 0xe5, 0x60, 0x66, 0xba, 0xf8, 0x03, 0x66, 0xef],
      ...[...ecx(2), 0xbe, ...word(Guest.data), 0xf3, 0x64, 0x6e, 0xe6, 0x20],
    ];
    const { exits, machine } = scenario(code, (m) => {
      m.set({ intercept1: Intercept1.ioio });
      for (const port of [0x80, 0x60, 0x3f8]) m.ram[Host.iopm + (port >> 3)] |= 1 << (port & 7);
    });
    expect(exits).toEqual([
      'IOIO 800210 1002 at 0 next 2',
      'IOIO 600241 1004 at 2 next 4',
      'IOIO 3f80220 100a at 8 next 10',
      'IOIO 3f8121c 1017 at 20 next 23',
      end(25),
    ]);
    expect(machine.ports).toEqual(['20=0']);
  });

  test('an access across ports is intercepted by any of them, also the last of all', () => {
    // IN AX, 5Fh; MOV DX, FFFFh; IN AX, DX
    const code = [0x66, 0xe5, 0x5f, 0x66, 0xba, 0xff, 0xff, 0x66, 0xed];
    const { exits } = scenario(code, (m) => {
      m.set({ intercept1: Intercept1.ioio });
      m.ram[Host.iopm + (0x60 >> 3)] |= 1;
      m.ram[Host.iopm + 0x2000] |= 1;
    });
    expect(exits).toEqual(['IOIO 5f0221 1003 at 0 next 3', 'IOIO ffff0221 1009 at 7 next 9', end(9)]);
  });

  test('MSRs by their map', () => {
    // RDMSR of LSTAR (map), WRMSR of it (none), RDMSR of 174h (none), WRMSR C0010117h (map), RDMSR of 2000h (no range)
    const code = [
      ...[...ecx(0xc000_0082), 0x0f, 0x32, 0x0f, 0x30],
      ...[...ecx(0x174), 0x0f, 0x32],
      ...[...ecx(0xc001_0117), 0x0f, 0x30],
      ...[...ecx(0x2000), 0x0f, 0x32],
    ];
    const { exits } = scenario(code, (m) => {
      m.set({ intercept1: Intercept1.msr });
      m.ram[Host.msrpm + 0x800 + (0x82 >> 2)] |= 1 << (2 * (0x82 & 3));
      m.ram[Host.msrpm + 0x1000 + (0x117 >> 2)] |= 2 << (2 * (0x117 & 3));
    });
    expect(exits).toEqual(['MSR 0 0 at 5 next 7', 'MSR 1 0 at 21 next 23', 'MSR 0 0 at 28 next 30', end(30)]);
  });

  test('PAUSE by count and threshold', () => {
    const pauses = Array.from({ length: 6 }, () => [0xf3, 0x90]).flat();
    const byCount = scenario(pauses, (m) => m.set({ intercept1: Intercept1.pause, pauseFilterCount: 3 }));
    expect(byCount.exits).toEqual(['PAUSE 0 0 at 6 next 8', end(12)]);
    // Between them more time than the threshold: the count begins anew.
    const slow = Array.from({ length: 6 }, () => [0xf3, 0x90, 0x90, 0x90, 0x90]).flat();
    const values = { intercept1: Intercept1.pause, pauseFilterCount: 3, pauseFilterThreshold: 2 };
    expect(scenario(slow, (m) => m.set(values)).exits).toEqual([end(30)]);
  });

  test('SVM instructions in a guest: #UD, #GP, the intercept, or done', () => {
    const { vmload, vmsave, stgi, clgi, invlpga, skinit } = {
      ...instruction,
      skinit: [0x0f, 0x01, 0xde],
    };
    const code = [...vmload, ...vmsave, ...stgi, ...clgi, ...invlpga, ...instruction.vmrun, ...skinit];
    const { exits } = scenario(
      [...eax(0x3_0000), ...ecx(5), ...code],
      (m) => m.set({ intercept1: Intercept1.invlpga, intercept2: 0x3f, interceptExceptions: 1 << 6 }),
      (m, exit) => {
        if (exit.startsWith('EXCP')) m.set({ rip: m.get('rip') + 3n });
      },
    );
    expect(exits).toEqual([
      'VMLOAD 0 0 at 10 next 13',
      'VMSAVE 0 0 at 13 next 16',
      'STGI 0 0 at 16 next 19',
      'CLGI 0 0 at 19 next 22',
      'INVLPGA 30000 0 at 22 next 25',
      'VMRUN 0 0 at 25 next 28',
      'EXCP_UD 0 0 at 28',
      end(31),
    ]);
  });

  test('VMMCALL that nobody intercepts is #UD', () => {
    const { exits } = scenario(
      instruction.vmmcall as unknown as number[],
      (m) => m.set({ intercept2: 1, interceptExceptions: 1 << 6 }),
      (m) => m.set({ rip: m.get('rip') + 3n, intercept2: 3 }),
    );
    expect(exits).toEqual(['EXCP_UD 0 0 at 0', end(3)]);
  });
});

describe('exceptions', () => {
  test('#PF with error code, address and instruction bytes; CR2 stays', () => {
    // MOV [7008h], EAX
    const { exits, machine } = scenario(
      [0x89, 0x04, 0x25, ...word(Guest.data + 8)],
      (m) => {
        m.set({ interceptExceptions: 1 << 14, cr2: 0x55 });
        m.mapGuest(Guest.data, 5);
      },
      (m, exit) => {
        if (!exit.startsWith('EXCP_PF')) return;
        expect(m.get('cr2')).toBe(0x55n);
        expect(m.get('fetchedCount')).toBe(15n);
        expect(m.get('fetchedBytes') & 0xff_ffff_ffffn).toBe(0x0825_0489n | (0x70n << 32n));
        m.mapGuest(Guest.data, 7);
        m.set({ tlbControl: 3 });
      },
    );
    expect(exits).toEqual(['EXCP_PF 3 7008 at 0', end(7)]);
    expect(machine.get('fetchedCount')).toBe(0n);
  });

  test('#BP and #DB of INT1, #OF: nRIP is behind; others have none', () => {
    // INT3; INT1; UD2
    const { exits } = scenario(
      [0xcc, 0xf1, 0x0f, 0x0b],
      (m) => m.set({ interceptExceptions: 0x48, intercept2: 3 | Intercept2.icebp }),
      (m, exit) => {
        if (exit.startsWith('EXCP_UD')) m.set({ rip: m.get('rip') + 2n });
      },
    );
    expect(exits).toEqual(['EXCP_BP 0 0 at 0 next 1', 'ICEBP 0 0 at 1 next 2', 'EXCP_UD 0 0 at 2', end(4)]);
  });

  test('#DB shows its cause in DR6', () => {
    const { exits, machine } = scenario(
      [0x90, 0x90],
      (m) => m.set({ interceptExceptions: 2, rflags: 0x102 }),
      (m, exit) => {
        if (exit.startsWith('EXCP_DB')) m.set({ rflags: 2 });
      },
    );
    expect(exits).toEqual(['EXCP_DB 0 0 at 1', end(2)]);
    expect(machine.get('dr6') & 0x4000n).toBe(0x4000n);
  });

  test('that arise during the delivery of another: EXITINTINFO', () => {
    // UD2 whose handler's stack is not there.
    const { exits } = scenario(
      [0x0f, 0x0b],
      (m) => {
        m.set({ interceptExceptions: 1 << 14, rsp: Guest.data });
        m.mapGuest(Guest.stack, 0);
      },
      (m, exit) => {
        if (!exit.startsWith('EXCP_PF')) return;
        m.mapGuest(Guest.stack, 7);
        m.set({ rip: BigInt(Guest.code + 2), rsp: Guest.stack });
      },
    );
    expect(exits).toEqual(['EXCP_PF 2 6ff8 at 0 during 80000306', end(2)]);
  });

  test('a triple fault is SHUTDOWN where it is intercepted', () => {
    const { exits } = scenario([0x0f, 0x0b], (m) => m.set({ intercept1: Intercept1.shutdown, idtrLimit: 0 }));
    expect(exits).toEqual(['SHUTDOWN 0 0 at 0']);
  });

  test('one that is not intercepted reaches the guest', () => {
    const { exits, machine } = scenario(
      [0x0f, 0x0b],
      (m) => m.guestWrite(Guest.handlers + 24 * 6 + 6, [...instruction.vmmcall]),
      () => true,
    );
    expect(exits).toHaveLength(1);
    expect(machine.register(15)).toBe(6n);
  });
});

describe('nested page faults', () => {
  test('of data: error code, guest-physical address, bytes; and again once it is mapped', () => {
    const { exits, machine } = scenario(
      [0xc7, 0x04, 0x25, ...word(Guest.data + 0x10), ...word(0x1234)],
      (m) => m.map(Guest.data, 0),
      (m, exit) => {
        if (!exit.startsWith('NPF')) return;
        expect(m.get('fetchedBytes') & 0xffffffn).toBe(0x2504c7n);
        m.map(Guest.data, exit.startsWith('NPF 100000006') ? 1 : 3);
      },
    );
    expect(exits).toEqual(['NPF 100000006 7010 at 0', 'NPF 100000007 7010 at 0', end(11)]);
    expect(machine.view.getUint32(Host.guest + Guest.data + 0x10, true)).toBe(0x1234);
  });

  test('of code, without bytes; of the guest page tables', () => {
    const far = 0x8000;
    const { exits } = scenario(
      // JMP to another page.
      [0xe9, ...word(far - Guest.code - 5)],
      (m) => {
        m.guestWrite(far, [...instruction.vmmcall]);
        m.map(far, 0);
        m.map(Guest.tables + 0x3000, 1);
      },
      (m, exit) => {
        expect(m.get('fetchedCount')).toBe(0n);
        if (exit.startsWith('NPF 200')) m.map(Guest.tables + 0x3000, 3);
        if (exit.startsWith('NPF 100')) m.map(far, 3);
      },
    );
    expect(exits).toEqual([
      'NPF 200000007 13008 at 0',
      'NPF 100000014 8000 at 28672',
      `VMMCALL 0 0 at 28672 next 28675`,
    ]);
  });

  test('during the delivery of an event, which EXITINTINFO tells and EVENTINJ repeats', () => {
    const { exits, machine } = scenario(
      [0xcd, 0x30],
      (m) => m.map(Guest.stack - 8, 0),
      (m, exit) => {
        if (!exit.startsWith('NPF')) return;
        m.map(Guest.stack - 8, 3);
        m.set({ eventInjection: m.get('exitIntInfo'), nextRip: Guest.code + 2 });
        return true;
      },
    );
    expect(exits).toEqual(['NPF 100000006 5ff8 at 0 during 80000430', end(2)]);
    expect(machine.register(15)).toBe(0x30n);
  });
});

describe('the state', () => {
  test('of a failed VMRUN: INVALID, the host goes on, GIF is 0', () => {
    const { exits, machine } = scenario([], (m) => m.set({ asid: 0, eventInjection: 0x8000_0320 }));
    expect(exits).toEqual(['INVALID 0 0 at 0']);
    expect(machine.get('exitCode')).toBe(0xffff_ffff_ffff_ffffn);
    expect(machine.register(0)).toBe(BigInt(Host.vmcb));
    expect(machine.svm.isOpen).toBe(false);
  });

  test('what a guest changes is stored, what the host had is loaded', () => {
    // MOV RSP, 5000h; STC; MOV EAX, 77h; MOV CR2, RAX; MOV ES, EDX (0)
    const code = [...[0xbc, ...word(0x5000)], 0xf9, ...eax(0x77), 0x0f, 0x22, 0xd0, 0x31, 0xd2, 0x8e, 0xc2];
    const { machine } = scenario(code);
    expect(machine.get('rsp')).toBe(0x5000n);
    expect(machine.get('rax')).toBe(0x77n);
    expect(machine.get('cr2')).toBe(0x77n);
    expect(machine.get('esAttributes') & 0x80n).toBe(0n);
    expect(machine.get('csAttributes')).toBe(0x29bn);
    expect(machine.register(4)).toBe(BigInt(Host.stack));
    expect(state(machine).get('segmentSelector', 0)).toBe(16);
    expect(machine.context.cr3Low).toBe(Host.tables);
    expect(machine.processor.context).toBe(machine.context);
  });

  test('VMLOAD and VMSAVE move FS, GS, LDTR, TR and MSRs', () => {
    const { machine } = scenario(
      [],
      (m) => {
        m.ram.set([...instruction.vmload, ...instruction.vmsave], Host.code + 3);
        m.ram.set([0xe6, 0x10, 0xeb, 0xf3], Host.code + 9);
        const at = Host.vmcb + 0x448;
        m.view.setBigUint64(at, 0x0000_9000_0000_0123n, true);
        m.view.setBigUint64(Host.vmcb + 0x600, 0x1111_2222_3333_4444n, true);
        m.view.setUint32(Host.vmcb + 0x490, 0x008b_0028, true);
      },
      () => true,
    );
    expect(machine.processor.state.getBig('segmentBase', 4)).toBe(0xffff_9000_0000_0123n);
    expect(machine.get('fsBase')).toBe(0xffff_9000_0000_0123n);
    expect(machine.processor.state.getBig('star')).toBe(0x1111_2222_3333_4444n);
    expect(machine.processor.state.get('segmentSelector', 7)).toBe(0x28);
  });

  test('a guest in real mode, with legacy paging and with none', () => {
    // MOV AX, CS; OUT 40h, AL; then VMMCALL
    const { exits, machine } = scenario([0x8c, 0xc8, 0xe6, 0x40], (m) =>
      m.set({
        cr0: 0x10,
        efer: 0x1000,
        csSelector: 0x50,
        csBase: 0x500,
        csAttributes: 0x9b,
        csLimit: 0xffff,
        rip: Guest.code - 0x500,
      }),
    );
    expect(exits).toEqual([`VMMCALL 0 0 at ${4 - 0x500} next ${7 - 0x500}`]);
    expect(machine.ports).toEqual(['40=80']);
    expect(machine.get('csAttributes')).toBe(0x9bn);
  });
});

describe('events', () => {
  test('EVENTINJ: exception with error code, interrupt, NMI, INT n with nRIP', () => {
    const valid = BigInt(EventField.valid >>> 0);
    const injected = [valid | 0x0b0dn | (0x18n << 32n), valid | 0x0041n, valid | 0x0202n, valid | 0x0450n];
    const seen: bigint[] = [];
    const code = Array.from({ length: 4 }, () => [...instruction.cpuid]).flat();
    const { exits } = scenario(
      code,
      (m) => {
        seen.length = 0;
        m.set({ intercept1: Intercept1.cpuid, eventInjection: injected[0] });
      },
      (m, exit) => {
        seen.push(m.register(15));
        if (!exit.startsWith('CPUID')) return;
        expect(m.get('eventInjection')).toBe(0n);
        const next = injected[seen.length];
        if (next !== undefined) m.set({ eventInjection: next });
      },
    );
    expect(exits).toEqual([0, 2, 4, 6].map((at) => `CPUID 0 0 at ${at} next ${at + 2}`).concat(end(8)));
    expect(seen).toEqual([13n, 0x41n, 2n, 0x50n, 0x50n]);
  });

  /** The guest writes to port 41h, and something happens. */
  const during = (machine: NestedMachine, happen: () => void): void => {
    machine.processor.state.flags = 0x202;
    machine.onPort = (port) => {
      if (port === 0x41) happen();
    };
  };

  test('a physical interrupt leaves the guest, stays pending, and the host takes it once GIF is 1', () => {
    const { exits, machine } = scenario(
      [0xe6, 0x41, 0x90],
      (m) => {
        m.set({ intercept1: Intercept1.intr, virtualInterrupt: 1 << 24 });
        // OUT 10h, AL; STGI; NOP; CLGI; JMP
        m.ram.set([0xe6, 0x10, ...instruction.stgi, 0x90, ...instruction.clgi, 0xeb, 0xf2], Host.code + 3);
        during(m, () => m.raise(0x61));
      },
      (m, exit) => expect(m.register(15)).toBe(exit.startsWith('INTR') ? 0n : 0x61n),
    );
    expect(exits).toEqual(['INTR 0 0 at 2', end(3)]);
    expect(machine.svm.isOpen).toBe(false);
  });

  test("one that is not intercepted is the guest's, whose IF or the host's decides", () => {
    for (const [masking, guestFlags, taken] of [
      [0, 0x202, true],
      [0, 0x2, false],
      [1 << 24, 0x2, true],
    ] as const) {
      const { exits, machine } = scenario([0xe6, 0x41, 0x90], (m) => {
        m.set({ virtualInterrupt: masking, rflags: guestFlags });
        during(m, () => m.raise(0x61));
      });
      expect(exits).toEqual([end(3)]);
      expect(machine.register(15)).toBe(taken ? 0x61n : 0n);
    }
  });

  test.each([
    ['NMI', Intercept1.nmi, 0x200],
    ['INIT', Intercept1.init, 8],
  ] as const)('%s is seen, and stays pending while GIF is 0', (name, bit, source) => {
    const { exits, machine } = scenario(
      [0xe6, 0x41, 0x90],
      (m) => {
        m.set({ intercept1: bit });
        during(m, () => {
          m.processor.events.pending |= source;
        });
      },
      (m) => m.stop(),
    );
    expect(exits).toEqual([`${name} 0 0 at 2`]);
    expect(machine.processor.events.pending & source).toBe(source);
    expect(machine.register(15)).toBe(0n);
  });

  test('INIT that VM_CR redirects is #SX: for the host, for the guest, for the host by an exit', () => {
    const { exits, machine } = scenario([0xe6, 0x41, 0x90], (m) => {
      m.svm.msrs.write(0xc001_0114, 2, 0);
      during(m, () => {
        m.processor.events.pending |= 8;
      });
    });
    expect(exits).toEqual([end(3)]);
    expect(machine.register(15)).toBe(30n);
    const other = scenario([0xe6, 0x41, 0x90], (m) => {
      m.svm.msrs.write(0xc001_0114, 2, 0);
      m.set({ interceptExceptions: 1 << 30 });
      during(m, () => {
        m.processor.events.pending |= 8;
      });
    });
    expect(other.exits).toEqual(['EXCP_SX 1 0 at 2', end(3)]);
  });

  test('INIT that nobody holds back drops the guest', () => {
    const { exits, machine } = scenario([0xe6, 0x41, 0x90], (m) => {
      during(m, () => {
        m.processor.events.pending |= 8;
      });
    });
    expect(exits).toEqual([]);
    expect(machine.processor.context).toBe(machine.context);
    expect(machine.svm.controls.isGuest).toBe(false);
  });

  test('V_IRQ waits for IF and priority, and is taken; VINTR tells the window', () => {
    // CLI; CPUID; STI; NOP; CPUID
    const { exits, machine } = scenario(
      [0xfa, ...instruction.cpuid, 0xfb, 0x90, ...instruction.cpuid],
      (m) =>
        m.set({
          intercept1: Intercept1.cpuid | Intercept1.vintr,
          virtualInterrupt: 0x10f_0100,
          virtualVector: 0x55,
          rflags: 0x2,
        }),
      (m, exit) => {
        if (exit.startsWith('VINTR')) m.set({ intercept1: Intercept1.cpuid });
      },
    );
    expect(exits).toEqual([
      'CPUID 0 0 at 1 next 3',
      // Behind the shadow of STI.
      'VINTR 0 0 at 5',
      'CPUID 0 0 at 5 next 7',
      end(7),
    ]);
    expect(machine.register(15)).toBe(0x55n);
    expect(machine.get('virtualInterrupt') & 0x100n).toBe(0n);
  });

  test('CR8 is V_TPR with V_INTR_MASKING', () => {
    // MOV EAX, 5; MOV CR8, RAX; MOV RBX, CR8; MOV EAX, 10h; MOV CR8, RAX: #GP
    const code = [
      ...eax(5),
      0x44,
      0x0f,
      0x22,
      0xc0,
      0x44,
      0x0f,
      0x20,
      0xc3,
      ...eax(16),
      0x44,
      0x0f,
      0x22,
      0xc0,
    ];
    const { exits, machine } = scenario(
      code,
      (m) => {
        m.tpr = 9;
        m.set({ virtualInterrupt: 1 << 24, rflags: 0x202, interceptExceptions: 1 << 13 });
      },
      (m, exit) => {
        if (exit.startsWith('EXCP')) m.set({ rip: m.get('rip') + 4n });
      },
    );
    expect(exits).toEqual(['EXCP_GP 0 0 at 18', end(22)]);
    expect(machine.register(3)).toBe(5n);
    expect(machine.get('virtualInterrupt') & 0xffn).toBe(5n);
    expect(machine.tpr).toBe(9);
  });

  test('the interrupt shadow is loaded and stored', () => {
    const { exits, machine } = scenario(
      [...instruction.cpuid],
      (m) =>
        m.set({
          intercept1: Intercept1.cpuid,
          virtualInterrupt: 0x1f_0100,
          virtualVector: 0x55,
          rflags: 0x202,
          interruptShadow: 1,
        }),
      (m, exit) => {
        if (exit.startsWith('CPUID')) expect(m.get('interruptShadow')).toBe(1n);
        m.set({ interruptShadow: 0 });
      },
    );
    expect(exits).toEqual(['CPUID 0 0 at 0 next 2', end(2)]);
    expect(machine.register(15)).toBe(0x55n);
  });
});

describe('time and the TLB', () => {
  test('TSC offset and ratio', () => {
    const { machine } = scenario([0x0f, 0x31], (m) => {
      m.svm.msrs.write(0xc000_0104, 0x8000_0000, 2);
      m.set({ tscOffset: 0x1_0000_0000_0000n });
    });
    // At the VMRUN 1000 instructions, then 1 or 2 more, times 2.5.
    expect([2502n, 2505n]).toContain((machine.get('rax') & 0xffff_ffffn) as bigint);
    expect(machine.register(2)).toBe(0x1_0000n);
  });

  test.each([
    [0, 1n],
    [3, 2n],
    [7, 2n],
    [1, 2n],
    // A reserved value flushes, too.
    [2, 2n],
  ])('translations of an ASID stay until TLB_CONTROL drops them: %i', (control, second) => {
    const read = [0x8b, 0x04, 0x25, ...word(Guest.data), ...instruction.cpuid];
    for (const accel of ['interp', 'jit'] as const) {
      const machine = new NestedMachine([...read, ...read], { accel, heat: 1, tlb: 'exact' });
      const values: bigint[] = [];
      machine.onExit = () => {
        values.push(machine.get('rax') & 0xffn);
        machine.view.setUint32(Host.guest + Guest.tables + 0x3000 + 8 * 7, 0x8007, true);
        machine.set({ tlbControl: control, rip: machine.get('nextRip') });
        if (values.length === 2) machine.stop();
      };
      machine.set({ intercept1: Intercept1.cpuid });
      machine.guestWrite(Guest.data, [1]);
      machine.guestWrite(0x8000, [2]);
      machine.run();
      expect(values).toEqual([1n, second]);
    }
  });

  test('INVLPGA drops a page of an ASID, the same page of another stays', () => {
    const read = [0x8b, 0x04, 0x25, ...word(Guest.data), ...instruction.cpuid];
    for (const [asid, second] of [
      [1, 2n],
      [2, 1n],
    ] as const) {
      // OUT 10h, AL; MOV ECX, asid; MOV R8, RAX; MOV EAX, 7000h; INVLPGA; MOV RAX, R8; JMP
      const host = [0xe6, 0x10, ...ecx(asid), 0x49, 0x89, 0xc0, ...eax(Guest.data), ...instruction.invlpga];
      host.push(0x4c, 0x89, 0xc0);
      host.push(0xeb, 256 - host.length - 5);
      const machine = new NestedMachine([...read, ...read], { tlb: 'exact', host });
      const values: bigint[] = [];
      machine.onExit = () => {
        values.push(machine.get('rax') & 0xffn);
        machine.view.setUint32(Host.guest + Guest.tables + 0x3000 + 8 * 7, 0x8007, true);
        machine.set({ rip: machine.get('nextRip') });
        if (values.length === 2) machine.stop();
      };
      machine.set({ intercept1: Intercept1.cpuid });
      machine.guestWrite(Guest.data, [1]);
      machine.guestWrite(0x8000, [2]);
      machine.run();
      expect(values).toEqual([1n, second]);
    }
  });
});
