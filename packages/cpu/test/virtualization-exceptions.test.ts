import { describe, expect, test } from 'vitest';
import { EventType } from '../src/system/exceptions.ts';
import { scenario, skip } from './virtualization/scenario.ts';
import { Guest, type ToyMachine } from './virtualization/toy-machine.ts';

/** MOV RAX, [RDI]. */
const load = [0x48, 0x8b, 0x07];
const ud2 = [0x0f, 0x0b];
const unmapped = 0x40_0000;

function reasons(
  exits: readonly { readonly reason: string; readonly rip: number; readonly during: string }[],
): string[] {
  return exits.map(
    ({ reason, rip, during }) =>
      `${reason} @${(rip - Guest.code).toString(16)}${during && ` during ${during}`}`,
  );
}

describe('exceptions are intercepted before they change anything', () => {
  test('#PF: CR2 stays, the address is told', () => {
    const { exits, machine } = scenario(
      load,
      (toy) => {
        toy.extension.wanted.exceptions = 1 << 14;
        toy.cpu.setRegister(7, BigInt(unmapped));
      },
      (toy) => skip(toy, 3),
    );
    expect(reasons(exits)).toEqual(['exception 14/3/0 400000 @0', 'vmmcall length=3 @3']);
    expect(exits.map((exit) => exit.retired)).toEqual([1, 3]);
    expect(machine.cpu.processor.state.getBig('cr2')).toBe(0n);
  });

  test('#UD, #BP, #OF of INT3 and INTO-like events, #DB of INT1', () => {
    const { exits } = scenario(
      [...ud2, 0xcc, 0xf1],
      (toy) => {
        toy.extension.wanted.exceptions = (1 << 6) | (1 << 3) | (1 << 1);
      },
      (toy, { reason }) => skip(toy, reason.includes('length') ? 1 : 2),
    );
    expect(reasons(exits)).toEqual([
      'exception 6/3/-1 @0',
      'exception 3/6/-1 length=1 @2',
      'exception 1/5/-1 length=1 @3',
      'vmmcall length=3 @4',
    ]);
  });

  test('#DB of a single step comes behind its instruction, with DR6 untouched', () => {
    const { exits, machine } = scenario(
      // PUSHFQ; OR BYTE [RSP+1], 1; POPFQ; NOP; NOP
      [0x9c, 0x80, 0x4c, 0x24, 0x01, 0x01, 0x9d, 0x90, 0x90],
      (toy) => {
        toy.extension.wanted.exceptions = 1 << 1;
      },
      (toy) => {
        toy.guestFlags &= ~0x100;
      },
    );
    expect(reasons(exits)).toEqual(['exception 1/3/-1 4000 @8', 'vmmcall length=3 @9']);
    expect(machine.guestDr6).toBe(0xffff0ff0);
  });

  test('one that is not in the bitmap is delivered to the guest', () => {
    const { exits, machine } = scenario([...ud2, 0x90], (toy) => {
      toy.extension.wanted.exceptions = 1 << 14;
      // The handler of #UD goes on behind UD2: ADD QWORD [RSP], 2; IRETQ.
      toy.guestWrite(Guest.handlers + 16 * 6, [0x48, 0x83, 0x04, 0x24, 2, 0x48, 0xcf]);
    });
    expect(reasons(exits)).toEqual(['vmmcall length=3 @3']);
    // VMRUN, ADD, IRETQ, NOP.
    expect(exits[0].retired).toBe(4);
    expect(machine.cpu.processor.delivery.stage).toBe(0);
  });
});

describe('exceptions that arise while an event is delivered', () => {
  /** The stack is not mapped: pushing the frame is #PF. */
  function withoutStack(toy: ToyMachine): void {
    toy.guestStack = unmapped + 0x100;
  }

  test('#PF of the frame, with the event that was being delivered', () => {
    const { exits } = scenario(
      ud2,
      (toy) => {
        toy.extension.wanted.exceptions = 1 << 14;
        withoutStack(toy);
      },
      (toy) => skip(toy, 2),
    );
    expect(reasons(exits)).toEqual(['exception 14/3/2 4000f8 @0 during 6/3/-1', 'vmmcall length=3 @2']);
  });

  test('INT n: RIP stays at the instruction', () => {
    const { exits } = scenario(
      [0x90, 0xcd, 0x21],
      (toy) => {
        toy.extension.wanted.exceptions = 1 << 14;
        withoutStack(toy);
      },
      (toy) => skip(toy, 2),
    );
    expect(reasons(exits)).toEqual(['exception 14/3/2 4000f8 @1 during 33/4/-1', 'vmmcall length=3 @3']);
    expect(exits[0].retired).toBe(2);
  });

  test('the double fault that nobody intercepted the parts of', () => {
    const { exits, machine } = scenario(
      load,
      (toy) => {
        toy.extension.wanted.exceptions = 1 << 8;
        toy.cpu.setRegister(7, BigInt(unmapped));
        withoutStack(toy);
      },
      (toy) => skip(toy, 3),
    );
    expect(reasons(exits)).toEqual(['exception 8/3/0 @0', 'vmmcall length=3 @3']);
    // Both page faults were real: the second's address is in CR2.
    expect(machine.cpu.processor.state.getBig('cr2')).toBe(BigInt(unmapped + 0xf8));
  });

  test('a triple fault', () => {
    const { exits, machine } = scenario(
      load,
      (toy) => {
        toy.cpu.setRegister(7, BigInt(unmapped));
        withoutStack(toy);
      },
      (toy) => skip(toy, 3),
    );
    expect(reasons(exits)).toEqual(['shutdown @0', 'vmmcall length=3 @3']);
    expect(machine.cpu.processor.state.get('activity')).toBe(0);
  });
});

describe('injection', () => {
  const {
    external,
    nonMaskable,
    hardwareException,
    softwareInterrupt,
    privilegedSoftwareException,
    softwareException,
  } = EventType;

  test.each([
    ['external', 0x40, external, -1, 0, 0],
    ['NMI', 2, nonMaskable, -1, 0, 0],
    ['hardware exception', 6, hardwareException, -1, 0, 0],
    ['hardware exception with an error code', 13, hardwareException, 0x18, 0, 0],
    ['INT n', 0x21, softwareInterrupt, -1, 2, 2],
    ['INT1', 1, privilegedSoftwareException, -1, 1, 1],
    ['INT3', 3, softwareException, -1, 1, 1],
  ])(
    '%s goes to its handler before the first instruction, and is not intercepted',
    (_name, vector, type, errorCode, instructionLength, behind) => {
      const { exits, machine } = scenario([0x90, 0x90], (toy) => {
        toy.extension.wanted.exceptions = -1;
        toy.extension.injected = { vector, type, errorCode, instructionLength };
        // POP RDI, if there is an error code; MOV R15D, vector; MOV RSI, [RSP]; IRETQ
        const pop = errorCode >= 0 ? [0x5f] : [];
        const code = [...pop, 0x41, 0xb7, vector, 0x48, 0x8b, 0x34, 0x24, 0x48, 0xcf];
        toy.guestWrite(Guest.handlers + 16 * vector, code);
      });
      expect(reasons(exits)).toEqual(['vmmcall length=3 @2']);
      expect(machine.cpu.register(15)).toBe(BigInt(vector));
      expect(machine.cpu.register(6)).toBe(BigInt(Guest.code + behind));
      if (errorCode >= 0) expect(machine.cpu.register(7)).toBe(BigInt(errorCode));
      // VMRUN, handler, what is left of the two NOPs.
      expect(exits[0].retired).toBe(1 + 3 + (errorCode >= 0 ? 1 : 0) + 2 - behind);
      // IRET has unblocked NMIs.
      expect(machine.cpu.processor.state.get('nmiBlocked')).toBe(0);
    },
  );

  test('a fault of its delivery is intercepted, and the event is told', () => {
    const { exits } = scenario([0x90], (toy) => {
      toy.extension.wanted.exceptions = 1 << 14;
      toy.extension.injected = { vector: 13, type: hardwareException, errorCode: 8, instructionLength: 0 };
      toy.guestStack = unmapped + 0x100;
    });
    expect(reasons(exits)).toEqual(['exception 14/3/2 4000f8 @0 during 13/3/8', 'vmmcall length=3 @1']);
    expect(exits[0].retired).toBe(1);
  });

  test('a fault of its delivery in the second stage', () => {
    const { exits } = scenario(
      [0x90],
      (toy) => {
        toy.extension.injected = { vector: 0x40, type: external, errorCode: -1, instructionLength: 0 };
        toy.map(Guest.stack - 0x1000, 5);
      },
      (toy, exit) => {
        if (exit.during === '') return;
        // As a hypervisor does: it mends the mapping and injects again.
        toy.map(Guest.stack - 0x1000, 7);
        toy.extension.injected = { vector: 0x40, type: external, errorCode: -1, instructionLength: 0 };
      },
    );
    expect(reasons(exits)).toEqual([
      'violation access=1 guest=5ff8 linear=5ff8 @0 during 64/0/-1',
      'vmmcall length=3 @1',
    ]);
  });
});
