import { describe, expect, test } from 'vitest';
import { definitions } from '../src/semantics/definitions.ts';
import { Answer } from '../src/virtualization/extension.ts';
import { codeInterceptOf, codeIntercepts, Intercept } from '../src/virtualization/intercept.ts';
import { inc, scenario, skip } from './virtualization/scenario.ts';
import { Guest } from './virtualization/toy-machine.ts';

const instructions: readonly (readonly [name: string, code: readonly number[], reason: string])[] = [
  ['CPUID', [0x0f, 0xa2], 'cpuid'],
  ['HLT', [0xf4], 'halt'],
  ['PAUSE', [0xf3, 0x90], 'pause'],
  ['RDTSC', [0x0f, 0x31], 'timeStampCounter'],
  ['RDTSCP', [0x0f, 0x01, 0xf9], 'processorId'],
  ['RDPMC', [0x0f, 0x33], 'performanceCounter'],
  ['INVLPG', [0x0f, 0x01, 0x3e], 'invalidatePage 7000'],
  ['INVD', [0x0f, 0x08], 'invalidateCaches'],
  ['WBINVD', [0x0f, 0x09], 'writeBackCaches'],
  ['XSETBV', [0x0f, 0x01, 0xd1], 'extendedControl'],
  ['LGDT', [0x0f, 0x01, 0x16], 'descriptorTable write 0'],
  ['SIDT', [0x0f, 0x01, 0x0e], 'descriptorTable read 1'],
  ['LTR', [0x0f, 0x00, 0xd8], 'descriptorTable write 7'],
  ['SLDT', [0x0f, 0x00, 0xc0], 'descriptorTable read 6'],
  ['MOV RAX, CR0', [0x0f, 0x20, 0xc0], 'controlRead read 0 kind=1 value=80050033'],
  ['MOV CR4, RSI', [0x0f, 0x22, 0xe6], 'controlWrite write 4 kind=0 value=7000'],
  ['CLTS', [0x0f, 0x06], 'controlWrite write 0 kind=2 value=80050033'],
  ['LMSW SI', [0x0f, 0x01, 0xf6], 'controlWrite write 0 kind=3 value=7000'],
  ['SMSW EAX', [0x0f, 0x01, 0xe0], 'controlRead read 0 kind=4 value=80050033'],
  ['MOV RAX, CR3', [0x0f, 0x20, 0xd8], 'pageTableRead read 3 kind=1 value=10000'],
  ['MOV CR3, RSI', [0x0f, 0x22, 0xde], 'pageTableWrite write 3 kind=0 value=7000'],
  ['MOV CR8, RSI', [0x44, 0x0f, 0x22, 0xc6], 'taskPriorityWrite write 8 kind=0 value=7000'],
  ['MOV RAX, DR6', [0x0f, 0x21, 0xf0], 'debugRegister read 6'],
  ['IN AL, 71h', [0xe4, 0x71], 'port read 71 bytes=1'],
  ['OUT DX, EAX', [0xef], 'port write 0 bytes=4'],
  ['REP OUTSB', [0xf3, 0x6e], 'port write 0 bytes=1 segment=3 at=7000 count=3'],
  ['RDMSR', [0x0f, 0x32], 'msr read 3 kind=0 value=0'],
  ['INT 21h', [0xcd, 0x21], 'softwareInterrupt 21'],
  ['IRETQ', [0x48, 0xcf], 'interruptReturn'],
  ['PUSHFQ', [0x9c], 'pushFlags'],
  ['POPFQ', [0x9d], 'popFlags'],
  ['RDRAND EAX', [0x0f, 0xc7, 0xf0], 'random'],
  ['INVPCID', [0x66, 0x0f, 0x38, 0x82, 0x06], 'invalidateContext'],
  ['MONITOR', [0x0f, 0x01, 0xc8], 'monitor'],
  ['MWAIT', [0x0f, 0x01, 0xc9], 'monitorWait'],
  ['TPAUSE', [0x66, 0x0f, 0xae, 0xf0], 'timedWait'],
  ['XSAVES', [0x0f, 0xc7, 0x2e], 'supervisorState'],
];

describe('instructions are intercepted', () => {
  test('of each class, with what tells the members of the class apart', () => {
    const lengths = instructions.map(([, code]) => code.length);
    let left = 0;
    const { exits, machine } = scenario(
      instructions.flatMap(([, code]) => [...inc, ...code]),
      (toy) => {
        left = 0;
        toy.extension.wanted.intercepts = -1;
        toy.cpu.setRegister(6, BigInt(Guest.data));
        toy.cpu.setRegister(1, 3n);
        toy.cpu.processor.state.setPair('miscEnable', 1 << 18, 0);
      },
      (toy, exit) => {
        if (!exit.reason.startsWith('vmmcall')) skip(toy, lengths[left++]);
      },
    );
    let rip = Guest.code;
    const expected = instructions.map(([name, code, reason], i) => {
      const bytes =
        code.length === 1 ? [...code, i + 1 < instructions.length ? 0xff : 0x0f] : code.slice(0, 2);
      const exit = {
        name,
        reason,
        rip: rip + 2,
        // VMRUN, INC: nothing of the instruction; then the host's JMP.
        retired: 3 * i + 2,
        bytes: bytes.map((byte) => byte.toString(16)).join(' '),
        during: '',
      };
      rip += 2 + code.length;
      return exit;
    });
    expect(exits.slice(0, -1).map((exit, i) => ({ name: instructions[i][0], ...exit }))).toEqual(expected);
    expect(machine.cpu.register(3)).toBe(BigInt(instructions.length));
  });

  test('nothing is asked outside the guest, and nothing that is not in the mask', () => {
    const { exits } = scenario([0x0f, 0xa2, 0xf3, 0x90, 0xe6, 0x80], (toy) => {
      toy.extension.wanted.intercepts = Intercept.halt;
    });
    expect(exits.map((exit) => exit.reason)).toEqual(['vmmcall length=3']);
  });

  test('also where the host has executed the same instruction unasked', () => {
    const { exits } = scenario(
      // PAUSE; PUSHFQ; POPFQ
      [0xf3, 0x90, 0x9c, 0x9d],
      (toy) => {
        toy.extension.wanted.intercepts = Intercept.pause | Intercept.popFlags;
        toy.cpu.ram.set([0xf3, 0x90, 0x9c, 0x9d, 0xeb, 0xf7], 0x1003);
      },
      (toy, { reason }) => {
        if (!reason.startsWith('vmmcall')) skip(toy, reason === 'pause' ? 2 : 1);
      },
    );
    expect(exits.map(({ reason, retired }) => [reason, retired])).toEqual([
      ['pause', 1],
      // PAUSE PUSHFQ POPFQ JMP VMRUN, PUSHFQ.
      ['popFlags', 1 + 5 + 1],
      ['vmmcall length=3', 7 + 5],
    ]);
  });
});

test('an instruction that is staged and may be intercepted is known to the translator', () => {
  const names = instructions.flatMap(([name]) => [name.split(' ')[0], name.split(' ').slice(-1)[0]]);
  // RDTSC and RDTSCP ask the state, where a guest's are never staged.
  const asks = ['MOV', 'RDTSC', 'RDTSCP'];
  const staged = names.filter((name) => !asks.includes(name) && Object.hasOwn(definitions, name));
  expect(staged).toContain('PAUSE');
  for (const name of staged) expect(codeIntercepts & codeInterceptOf(name), name).not.toBe(0);
});

describe('values', () => {
  /** MOV RAX, CR0; MOV CR0, RAX; MOV RDI, CR0. */
  const code = [0x0f, 0x20, 0xc0, 0x0f, 0x22, 0xc0, 0x0f, 0x20, 0xc7];

  test('masks and shadows: what is read and written may be changed', () => {
    const { machine, exits } = scenario(code, (toy) => {
      toy.extension.wanted.intercepts = Intercept.controlRead | Intercept.controlWrite;
      toy.extension.onInstruction = (what) => {
        // NE looks as if it were clear, and is not written.
        if (what.isWrite) what.valueLow |= 0x20;
        else what.valueLow &= ~0x20;
        return Answer.continue;
      };
    });
    expect(exits).toHaveLength(1);
    expect(machine.extension.guest.context.cr0).toBe(0x80050033 | 0);
    expect(machine.cpu.register(7)).toBe(0x80050013n);
  });

  test('MSRs that the extension has itself', () => {
    const written: number[] = [];
    // RDMSR; WRMSR
    const { machine } = scenario([0x0f, 0x32, 0x89, 0xc7, 0x0f, 0x30], (toy) => {
      written.length = 0;
      toy.cpu.setRegister(1, 0x80bn);
      toy.extension.wanted.intercepts = Intercept.msr;
      toy.extension.onInstruction = (what) => {
        expect(what.number).toBe(0x80b);
        if (what.isWrite) written.push(what.valueLow, what.valueHigh);
        what.valueLow = 0x1234;
        what.valueHigh = 5;
        return Answer.completed;
      };
    });
    expect(machine.cpu.register(7)).toBe(0x1234n);
    expect(written).toEqual([0x1234, 5]);
    expect(machine.cpu.register(2)).toBe(5n);
  });

  test('the time stamp counter: offset and multiplier', () => {
    // RDTSC; SHL RDX, 32; OR RAX, RDX; MOV RDI, RAX
    const code = [0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x48, 0x89, 0xc7];
    const { machine } = scenario(code, (toy) => {
      const { wanted } = toy.extension;
      // The counter is 2: VMRUN and this instruction. 1.5 times as fast.
      wanted.tscMultiplierHigh = 0x1_8000;
      wanted.tscOffsetLow = -1;
      wanted.tscOffsetHigh = 7;
    });
    expect(machine.cpu.register(7)).toBe(0x8_0000_0002n);
  });
});

describe('instructions of the extension', () => {
  test('#UD without one, and where it refuses', () => {
    const { exits } = scenario(
      [0x0f, 0x01, 0xd8],
      (toy) => {
        toy.extension.wanted.exceptions = 1 << 6;
      },
      (toy, exit) => {
        if (exit.reason.startsWith('exception')) skip(toy, 3);
      },
    );
    expect(exits.map((exit) => exit.reason)).toEqual(['exception 6/3/-1', 'vmmcall length=3']);
  });
});
