import { describe, expect, test } from 'vitest';
import { Activity, stateOffset } from '../src/state/layout.ts';
import { EventType } from '../src/system/exceptions.ts';
import { InterruptGate } from '../src/virtualization/controls.ts';
import { EventSource } from '../src/virtualization/events.ts';
import { InterruptAnswer } from '../src/virtualization/extension.ts';
import { Intercept } from '../src/virtualization/intercept.ts';
import { inc, scenario, skip } from './virtualization/scenario.ts';
import { Guest, type ToyMachine } from './virtualization/toy-machine.ts';

const nop = 0x90;
const interruptFlag = 0x200;

/** Reason, offset of RIP, count. */
function summary(
  exits: readonly { readonly reason: string; readonly rip: number; readonly retired: number }[],
): unknown[] {
  return exits.map(({ reason, rip, retired }) => [reason, rip - Guest.code, retired]);
}

/** OUT 80h, AL makes a port write, at which the test does something in the middle of the guest. */
const out = [0xe6, 0x80];
function atOut(toy: ToyMachine, action: () => void): void {
  toy.onPort = action;
}

describe('external interrupts', () => {
  test('leave the guest without being acknowledged, whatever its IF', () => {
    const { exits, machine } = scenario(
      [...inc, ...out, ...inc],
      (toy) => {
        toy.extension.wanted.events = EventSource.externalInterrupt;
        toy.extension.wanted.interruptGate = InterruptGate.open;
        atOut(toy, () => toy.raise(0x40));
      },
      // The host does not take it: it is gone by itself.
      (toy) => toy.dropInterrupts(),
    );
    expect(summary(exits)).toEqual([
      ['interrupt, not acknowledged', 4, 3],
      ['vmmcall length=3', 6, 6],
    ]);
    expect(machine.acknowledged).toEqual([]);
  });

  test('are acknowledged before the exit', () => {
    const { exits, machine } = scenario([...out, ...inc], (toy) => {
      toy.extension.wanted.events = EventSource.externalInterrupt;
      toy.extension.wanted.interruptGate = InterruptGate.open;
      toy.extension.onInterrupt = () => InterruptAnswer.acknowledge;
      atOut(toy, () => toy.raise(0x41));
    });
    expect(summary(exits)).toEqual([
      ['interrupt 65', 2, 2],
      ['vmmcall length=3', 4, 5],
    ]);
    expect(machine.acknowledged).toEqual([0x41]);
  });

  test("are the guest's own by its IF, if nobody wants them", () => {
    const { exits, machine } = scenario([...out, nop, 0xfb, nop, nop], (toy) => {
      atOut(toy, () => toy.raise(0x42));
    });
    // OUT NOP STI NOP; MOV IRETQ; NOP.
    expect(summary(exits)).toEqual([['vmmcall length=3', 6, 1 + 4 + 2 + 1]]);
    expect(machine.cpu.register(15)).toBe(0x42n);
    expect(machine.acknowledged).toEqual([0x42]);
  });

  test('are held while the host is deaf', () => {
    const { exits } = scenario(
      [...out, 0xfb, nop, nop],
      (toy) => {
        toy.extension.wanted.interruptGate = InterruptGate.closed;
        atOut(toy, () => toy.raise(0x42));
      },
      (toy) => toy.dropInterrupts(),
    );
    expect(summary(exits)).toEqual([['vmmcall length=3', 5, 5]]);
  });

  test('wake a guest that halted', () => {
    const { exits } = scenario(
      [0xf4, ...inc],
      (toy) => {
        toy.extension.wanted.events = EventSource.externalInterrupt;
        toy.extension.wanted.interruptGate = InterruptGate.open;
        toy.onStop = () => toy.raise(0x40);
      },
      (toy) => {
        toy.dropInterrupts();
        toy.guestActivity = Activity.running;
      },
    );
    expect(summary(exits)).toEqual([
      ['interrupt, not acknowledged', 1, 2],
      ['vmmcall length=3', 3, 5],
    ]);
  });
});

describe('NMIs', () => {
  test("leave the guest; what consumes them is the extension's to say", () => {
    for (const consumed of [0, EventSource.nmi]) {
      const { exits, machine } = scenario(
        [...out, ...inc],
        (toy) => {
          toy.extension.wanted.events = EventSource.nmi;
          toy.extension.consumed = consumed;
          atOut(toy, () => {
            toy.cpu.processor.nmiPending = true;
          });
        },
        (toy, { reason }) => {
          // The host takes it in its own time.
          if (reason === 'nmi' && consumed === 0) {
            expect(toy.cpu.processor.nmiPending).toBe(true);
            toy.cpu.processor.nmiPending = false;
          }
        },
      );
      expect(summary(exits)).toEqual([
        ['nmi', 2, 2],
        ['vmmcall length=3', 4, 5],
      ]);
      expect(machine.cpu.processor.nmiPending).toBe(false);
    }
  });

  test('the window opens when IRET unblocks them', () => {
    const { exits } = scenario([nop, ...inc], (toy) => {
      toy.extension.injected = {
        vector: 2,
        type: EventType.nonMaskable,
        errorCode: -1,
        instructionLength: 0,
      };
      toy.extension.requests = EventSource.nmiWindow;
    });
    // VMRUN; MOV, IRETQ of the handler.
    expect(summary(exits)).toEqual([
      ['nmiWindow', 0, 3],
      ['vmmcall length=3', 3, 3 + 2 + 2],
    ]);
  });
});

describe('windows and requests of the extension', () => {
  test('the interrupt window opens behind the shadow of STI', () => {
    const { exits } = scenario([nop, 0xfb, nop, ...inc], (toy) => {
      toy.extension.requests = EventSource.interruptWindow;
    });
    expect(summary(exits)).toEqual([
      ['interruptWindow', 3, 4],
      ['vmmcall length=3', 5, 4 + 2 + 1],
    ]);
  });

  test('the interrupt window is open already', () => {
    const { exits } = scenario([nop], (toy) => {
      toy.guestFlags |= interruptFlag;
      toy.extension.requests = EventSource.interruptWindow;
    });
    expect(summary(exits)).toEqual([
      ['interruptWindow', 0, 1],
      ['vmmcall length=3', 1, 4],
    ]);
  });

  test('a virtual interrupt is delivered when the guest lets it', () => {
    const { exits, machine } = scenario([nop, 0xfb, nop, nop], (toy) => {
      toy.extension.virtualVector = 0x51;
      toy.extension.requests = EventSource.virtualInterrupt;
    });
    expect(summary(exits)).toEqual([['vmmcall length=3', 4, 1 + 4 + 2]]);
    expect(machine.cpu.register(15)).toBe(0x51n);
  });

  test('a virtual interrupt is intercepted', () => {
    const { exits } = scenario([0xfb, nop, nop], (toy) => {
      toy.extension.virtualVector = -1;
      toy.extension.requests = EventSource.virtualInterrupt;
    });
    expect(summary(exits)[0]).toEqual(['virtual interrupt', 2, 3]);
  });

  test('the timer, at its count', () => {
    // DEC ECX; JNZ
    const { exits } = scenario(
      [0xff, 0xc9, 0x75, 0xfc],
      (toy) => {
        toy.extension.wanted.deadline = 100;
        toy.cpu.setRegister(1, 200n);
      },
      (toy) => {
        toy.extension.wanted.deadline = Number.POSITIVE_INFINITY;
      },
    );
    expect(summary(exits)).toEqual([
      ['timer', 2, 100],
      ['vmmcall length=3', 4, 100 + 2 + 400 - 99],
    ]);
  });

  test("the monitor trap: behind each instruction, behind an injected event, behind a fault's delivery", () => {
    const { exits } = scenario(
      [nop, 0x0f, 0x0b],
      (toy) => {
        toy.extension.wanted.monitorTrap = true;
        toy.extension.injected = {
          vector: 0x40,
          type: EventType.external,
          errorCode: -1,
          instructionLength: 0,
        };
      },
      (toy, exit) => {
        if (exit.rip === Guest.handlers + 16 * 6) {
          toy.extension.wanted.monitorTrap = false;
          toy.extension.guest.ripLow = Guest.code + 3;
        }
      },
    );
    const handler = Guest.handlers - Guest.code;
    expect(summary(exits)).toEqual([
      ['monitorTrap', handler + 16 * 0x40, 1],
      ['monitorTrap', handler + 16 * 0x40 + 6, 4],
      ['monitorTrap', 0, 7],
      ['monitorTrap', 1, 10],
      ['monitorTrap', handler + 16 * 6, 12],
      ['vmmcall length=3', 3, 14],
    ]);
  });
});

describe('order and latches', () => {
  test("SMI, INIT, NMI and an interrupt that are due together come in the vendor's order", () => {
    const { exits } = scenario([...out, nop], (toy) => {
      const { smi, init, nmi, externalInterrupt } = EventSource;
      toy.extension.wanted.events = smi | init | nmi | externalInterrupt;
      // As SVM does: the host is deaf behind an exit.
      toy.extension.isHeld = true;
      toy.extension.consumed = smi | init | nmi;
      toy.extension.wanted.interruptGate = InterruptGate.open;
      toy.extension.onInterrupt = () => InterruptAnswer.acknowledge;
      atOut(toy, () => {
        toy.cpu.processor.events.pending |= smi | init | nmi;
        toy.raise(0x40);
      });
    });
    expect(exits.map((exit) => exit.reason)).toEqual([
      'smi',
      'init',
      'nmi',
      'interrupt 64',
      'vmmcall length=3',
    ]);
  });

  test('what is blocked stays latched: CLGI and STGI of the host', () => {
    // STGI; NOP, where the NMI comes.
    const { exits, machine } = scenario(
      [...out],
      (toy) => {
        toy.extension.wanted.blocked = EventSource.nmi;
        atOut(toy, () => {
          toy.cpu.processor.nmiPending = true;
        });
      },
      (toy) => {
        expect(toy.cpu.processor.nmiPending).toBe(true);
      },
    );
    expect(summary(exits)).toEqual([['vmmcall length=3', 2, 2]]);
    expect(machine.cpu.processor.nmiPending).toBe(true);
  });

  test('an intercepted instruction goes before an event that it would have let in', () => {
    const { exits } = scenario(
      [0xfb, 0x0f, 0xa2],
      (toy) => {
        toy.extension.wanted.intercepts = Intercept.cpuid;
        toy.raise(0x40);
      },
      (toy, { reason }) => {
        toy.dropInterrupts();
        if (reason === 'cpuid') skip(toy, 2);
      },
    );
    // STI shadows CPUID.
    expect(summary(exits)[0]).toEqual(['cpuid', 1, 2]);
  });
});

test('debug traps that a guest is entered with wait behind MOV SS until the next instruction has completed', () => {
  for (const [shadow, rip] of [
    [0, 0],
    [2, 2],
  ]) {
    const { exits } = scenario([...inc, ...inc], (toy) => {
      const { extension, cpu } = toy;
      extension.wanted.exceptions = 1 << 1;
      extension.requests = EventSource.debugTrap;
      cpu.processor.events.debugBits = 1;
      extension.guest.words[extension.guest.at(stateOffset.interruptShadow)] = shadow;
    });
    expect(summary(exits)[0]).toEqual(['exception 1/3/-1 1', rip, 1 + rip / 2]);
  }
});
