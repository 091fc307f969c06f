import { Access, Implicit, ImplicitBase, Special, When } from '../../src/info/constants.ts';
import { RegisterClass, register, registerByName } from '../../src/registers.ts';
import { accesses, type MemoryTypes, memoryTypeSize } from './operands.ts';
import type { EncodingRecord } from './record.ts';

/** What the implicit column says. */
interface ImplicitUse {
  /** Numbers of a program; empty if nothing is implicit. */
  readonly program: readonly number[];
  readonly special: number;
  /** Of `Special.count`: mask and modulus (0 none). */
  readonly countMask: number;
  readonly countModulus: number;
  /** Operands of which only part is used, as bits, and the register class of that part. */
  readonly narrowed: number;
  readonly narrowClass: number;
}

/** Access words as bits of `Access`. */
const accessBits = new Map<string, number>(
  Object.entries({
    n: Access.none,
    r: Access.read,
    w: Access.write,
    rw: Access.readWrite,
    cr: Access.conditionalRead,
    cw: Access.conditionalWrite,
    rcw: Access.readConditionalWrite,
    crcw: Access.conditionalRead | Access.conditionalWrite,
    a: Access.addressOnly,
  }),
);

/**
 * Of each access word of explicit operands: bits of a memory operand, then << 8 those of a register in the memory form (ModRM.mod
 * below 3), << 16 those of a register in the register form; bit 24: in 64-bit mode a register is read and written.
 */
export const operandAccess: readonly number[] = accesses.map((name): number => {
  const [memoryForm, registerForm = memoryForm] = name
    .replace('+z', '')
    .split('/')
    .map((word) => accessBits.get(word)!);
  const ofRegister = (access: number) => (access === Access.addressOnly ? Access.read : access);
  // CMOV clears the upper half whether or not the condition holds, so the lower half is in effect read and written back.
  return (
    memoryForm |
    (ofRegister(memoryForm) << 8) |
    (ofRegister(registerForm) << 16) |
    ((name.endsWith('+z') ? 1 : 0) << 24)
  );
});

const segments = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'];
/** Segment field of a memory operation: 0 to 5, or this for the effective one. */
const effectiveSegment = 7;

const lowClasses = new Map<string, number>([
  ['8', RegisterClass.gpr8],
  ['16', RegisterClass.gpr16],
  ['32', RegisterClass.gpr32],
]);

const whenByWord: Record<string, number> = { '': When.always, '@no64': When.outside64, '@64': When.in64 };

export function implicitUse(record: EncodingRecord, types: MemoryTypes): ImplicitUse {
  const program: number[] = [];
  let special: number = Special.none;
  let countMask = 0;
  let countModulus = 0;
  let narrowed = 0;
  let narrowClass = 0;
  const fail = (word: string): never => {
    throw new Error(`${record.where}: implicit "${word}" is not known`);
  };
  for (const word of record.implicit) {
    const [, name, mode, rest] = /^([a-z-]+)(@(?:no)?64)?(?::(.+))?$/.exec(word) ?? fail(word);
    const when = whenByWord[mode ?? ''];
    const sizes = /^(?:(\d)x)?([248])$/.exec(rest ?? '');
    const count = /^([13]F)(?:%(9|17))?$/.exec(rest ?? '');
    switch (name) {
      case 'push':
      case 'pop':
        if (sizes?.[1] === undefined) fail(word);
        else
          program.push(
            operation(name === 'push' ? Implicit.push : Implicit.pop, 0, when) |
              (Number(sizes[1]) << 10) |
              (Number(sizes[2]) << 14),
          );
        break;
      case 'pop-rm':
      case 'enter':
      case 'leave':
      case 'popa':
      case 'xstore':
        if (sizes === null || sizes[1] !== undefined) fail(word);
        else {
          const code = {
            'pop-rm': Implicit.popRm,
            enter: Implicit.enter,
            leave: Implicit.leave,
            popa: Implicit.popa,
            xstore: Implicit.xstore,
          }[name];
          program.push(operation(code, 0, when) | (Number(sizes[2]) << 10));
        }
        break;
      case 'partner':
        program.push(operation(Implicit.partner, accessBits.get(rest ?? '') ?? fail(word), when));
        break;
      case 'string':
        if (!/^(movs|cmps|stos|lods|scas|ins|outs)$/.test(rest ?? '')) fail(word);
        special = Special.string;
        break;
      case 'zero-idiom':
        special = record.operands.length === 3 ? Special.zeroIdiom3 : Special.zeroIdiom2;
        break;
      case 'zero-idiom-flags':
        special = record.operands.length === 3 ? Special.zeroIdiomFlags3 : Special.zeroIdiomFlags2;
        break;
      case 'narrow-address':
        special = Special.narrowAddress;
        break;
      case 'count':
      case 'count-flags':
        if (count === null) fail(word);
        else {
          special = Special.count;
          countMask = Number.parseInt(count[1], 16);
          countModulus = Number(count[2] ?? 0);
        }
        break;
      case 'low':
      case 'low-all': {
        narrowClass = lowClasses.get(rest ?? '') ?? fail(word);
        narrowed = name === 'low-all' ? 3 : 1 << lastRegister(record);
        break;
      }
      default:
        program.push(
          ...uses(rest ?? fail(word), accessBits.get(name) ?? fail(word), when, types, () => fail(word)),
        );
    }
  }
  if (record.operandTokens.some((token) => token.text === 'sibmem')) special = Special.stride;
  return { program, special, countMask, countModulus, narrowed, narrowClass };
}

/** Number of the last explicit operand that is not an immediate. */
function lastRegister(record: EncodingRecord): number {
  let last = record.operands.length - 1;
  while (last > 0 && record.operands[last].place.startsWith('imm')) last--;
  return last;
}

function operation(code: number, access: number, when: number): number {
  return code | (access << 4) | (when << 8);
}

/** `AX,CX`, `ES-GS`, `seg`, `[ES:rDI].u8`, mixed. */
function uses(text: string, access: number, when: number, types: MemoryTypes, fail: () => never): number[] {
  const program: number[] = [];
  for (const part of text.split(',')) {
    const memory = /^\[(ES|DS|SS|CS|seg):(\w+)\](?:\.(\w+))?$/.exec(part);
    if (memory !== null) {
      const segment = memory[1] === 'seg' ? effectiveSegment : segments.indexOf(memory[1]);
      const base =
        memory[2] === 'op0'
          ? ImplicitBase.operand0
          : memory[2] === 'rDI'
            ? ImplicitBase.rdi
            : named(memory[2], fail);
      const type = memory[3] ?? '';
      if (!isMemoryType(type)) fail();
      program.push(
        operation(Implicit.memory, access, when) | (segment << 10) | (base << 13),
        types.row(type),
      );
      continue;
    }
    if (part === 'seg') {
      program.push(operation(Implicit.segment, access, when));
      continue;
    }
    const [from, to = from] = part.split('-');
    const first = named(from, fail);
    const last = named(to, fail);
    if (last < first || last - first > 31 || last >> 5 !== first >> 5) fail();
    program.push(operation(Implicit.registers, access, when) | (first << 10) | ((last - first) << 20));
  }
  return program;
}

function isMemoryType(name: string): boolean {
  try {
    memoryTypeSize(name);
    return true;
  } catch {
    return false;
  }
}

function named(text: string, fail: () => never): number {
  if (/^ST[0-7]$/.test(text)) return register(RegisterClass.x87, Number(text[2]));
  // VMM: however wide the processor's vector registers are.
  const found = registerByName(text.replace(/^VMM/, 'ZMM').toLowerCase());
  return found === 0 ? fail() : found;
}
