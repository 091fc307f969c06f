import { decode, Instruction } from '@nest86/decoder';
import { formatIntel } from '@nest86/decoder/intel';
import { settle } from './allowances.ts';
import { hostDecoder } from './encodings.ts';
import { directionFlag, type HostCase, type Outcome, scratchAddress, stateAt } from './host-state.ts';

export interface CompareOptions {
  /** Also compare flags that the manual calls undefined. */
  readonly undefinedFlags?: boolean;
}

const pageFault = 14;
/** Bits of a page fault's error code that do not depend on who asks: present, write, reserved bit, instruction fetch. */
const errorBits = 0b11011;

/** What differs between an outcome and the host's, or an empty string. */
export function difference(
  one: HostCase,
  given: Outcome,
  host: Outcome,
  { undefinedFlags = false }: CompareOptions = {},
): string {
  if (given.problem !== undefined) return given.problem;
  const { before, definedFlags } = one;
  const ours = settle(one, given, host);
  if (ours.vector !== host.vector) return `${eventText(ours)}, on the host ${eventText(host)}`;
  if (host.vector === pageFault) {
    // The host's kernel has pages of its own in the upper half.
    const bits = host.address >> 47n === 0n ? errorBits : errorBits & ~1;
    if (ours.address !== host.address || ((ours.error ^ host.error) & bits) !== 0)
      return `${eventText(ours)}, on the host ${eventText(host)}`;
  }
  const found: string[] = [];
  const a = ours.state.view;
  const b = host.state.view;
  for (let number = 0; number < 16; number++) {
    const at = 8 * number;
    if (
      a.getInt32(at, true) !== b.getInt32(at, true) ||
      a.getInt32(at + 4, true) !== b.getInt32(at + 4, true)
    )
      found.push(text64(registerNames[number], a, b, at, before.view));
  }
  // A fault leaves all flags as they were, but for strings between their repetitions.
  const flagMask = (undefinedFlags || host.vector >= 0 ? 0x8d5 : definedFlags) | directionFlag;
  const flags = (a.getInt32(stateAt.rflags, true) ^ b.getInt32(stateAt.rflags, true)) & flagMask;
  if (flags !== 0)
    found.push(
      `flags ${flagNames(a.getInt32(stateAt.rflags, true) & flagMask)}, on the host ${flagNames(b.getInt32(stateAt.rflags, true) & flagMask)} (before: ${flagNames(before.view.getInt32(stateAt.rflags, true))})`,
    );
  if (
    a.getInt32(stateAt.rip, true) !== b.getInt32(stateAt.rip, true) ||
    a.getInt32(stateAt.rip + 4, true) !== b.getInt32(stateAt.rip + 4, true)
  )
    found.push(text64('rip', a, b, stateAt.rip, before.view));
  for (let number = 0; number < 16; number++) {
    vectorDifference(found, `xmm${number}`, a, b, before.view, stateAt.xmm + 16 * number);
    vectorDifference(found, `upper half of ymm${number}`, a, b, before.view, stateAt.upper + 16 * number);
  }
  field(
    found,
    'mxcsr',
    a.getUint32(stateAt.mxcsr, true),
    b.getUint32(stateAt.mxcsr, true),
    before.view.getUint32(stateAt.mxcsr, true),
  );
  field(
    found,
    'fcw',
    a.getUint16(stateAt.x87Control, true),
    b.getUint16(stateAt.x87Control, true),
    before.view.getUint16(stateAt.x87Control, true),
  );
  field(
    found,
    'fsw',
    a.getUint16(stateAt.x87Status, true),
    b.getUint16(stateAt.x87Status, true),
    before.view.getUint16(stateAt.x87Status, true),
  );
  field(
    found,
    'ftw',
    a.getUint8(stateAt.x87Tags),
    b.getUint8(stateAt.x87Tags),
    before.view.getUint8(stateAt.x87Tags),
  );
  for (let i = 0; i < 8; i++) {
    const at = stateAt.st + 16 * i;
    if (
      a.getInt32(at, true) !== b.getInt32(at, true) ||
      a.getInt32(at + 4, true) !== b.getInt32(at + 4, true) ||
      a.getUint16(at + 8, true) !== b.getUint16(at + 8, true)
    )
      found.push(
        `st(${i}) ${extendedText(a, at)}, on the host ${extendedText(b, at)} (before: ${extendedText(before.view, at)})`,
      );
  }
  if (ours.changedFrom !== host.changedFrom || Buffer.compare(ours.changed, host.changed) !== 0)
    found.push(`memory changed ${changeText(ours)}, on the host ${changeText(host)}`);
  return found.join('; ');
}

/** The instruction with its bytes and address. */
export function caseText({ code, address, mode, vendor }: HostCase): string {
  const instruction = new Instruction();
  const bytes = new Uint8Array(15);
  bytes.set(code);
  decode(bytes, 0, hostDecoder(vendor, mode), instruction);
  return `${formatIntel(instruction)} [${Buffer.from(code).toString('hex')} at ${address.toString(16)}]`;
}

/** The registers of the case that most instructions look at. */
export function stateText({ before, patch, patchOffset }: HostCase): string {
  const registers = registerNames.map((name, i) => `${name}=${hex64(before.view, 8 * i)}`).join(' ');
  return `${registers} fl=${flagNames(before.view.getInt32(stateAt.rflags, true))} memory at ${(scratchAddress + patchOffset).toString(16)}: ${Buffer.from(patch.subarray(0, 32)).toString('hex')}`;
}

const registerNames: readonly string[] = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];

function eventText({ vector, error, address, state }: Outcome): string {
  if (vector < 0) return vector === -1 ? 'no fault' : 'no end';
  const rip = hex64(state.view, stateAt.rip);
  return vector === pageFault
    ? `#PF(${error.toString(2)}) for ${address.toString(16)} at ${rip}`
    : `exception ${vector} at ${rip}`;
}

function hex64(view: DataView, at: number): string {
  return view.getBigUint64(at, true).toString(16);
}

function text64(name: string, a: DataView, b: DataView, at: number, before: DataView): string {
  return `${name} ${hex64(a, at)}, on the host ${hex64(b, at)} (before: ${hex64(before, at)})`;
}

function vectorText(view: DataView, at: number): string {
  return `${view
    .getBigUint64(at + 8, true)
    .toString(16)
    .padStart(16, '0')}_${view.getBigUint64(at, true).toString(16).padStart(16, '0')}`;
}

function vectorDifference(
  found: string[],
  name: string,
  a: DataView,
  b: DataView,
  before: DataView,
  at: number,
): void {
  for (let i = 0; i < 16; i += 4) {
    if (a.getInt32(at + i, true) === b.getInt32(at + i, true)) continue;
    found.push(
      `${name} ${vectorText(a, at)}, on the host ${vectorText(b, at)} (before: ${vectorText(before, at)})`,
    );
    return;
  }
}

function extendedText(view: DataView, at: number): string {
  return `${view.getUint16(at + 8, true).toString(16)}_${hex64(view, at).padStart(16, '0')}`;
}

function field(found: string[], name: string, a: number, b: number, before: number): void {
  if (a !== b)
    found.push(`${name} ${a.toString(16)}, on the host ${b.toString(16)} (before: ${before.toString(16)})`);
}

function changeText({ changedFrom, changed }: Outcome): string {
  return changed.length === 0
    ? 'nothing'
    : `${(scratchAddress + changedFrom).toString(16)}: ${Buffer.from(changed.subarray(0, 64)).toString('hex')}${changed.length > 64 ? ` and ${changed.length - 64} bytes more` : ''}`;
}

function flagNames(flags: number): string {
  const names: readonly (readonly [number, string])[] = [
    [1, 'CF'],
    [4, 'PF'],
    [0x10, 'AF'],
    [0x40, 'ZF'],
    [0x80, 'SF'],
    [0x400, 'DF'],
    [0x800, 'OF'],
  ];
  return `[${names
    .filter(([bit]) => (flags & bit) !== 0)
    .map(([, name]) => name)
    .join(' ')}]`;
}
