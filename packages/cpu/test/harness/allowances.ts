import { decode, Instruction, operandRegister, registerNumber } from '@nest86/decoder';
import { hostDecoder } from './encodings.ts';
import {
  type HostCase,
  type HostState,
  type Outcome,
  scratchAddress,
  scratchSize,
  stateAt,
  stateOf,
} from './host-state.ts';
import { forgiveLastPlace } from './last-place.ts';

/*
 * Where a host may differ from the engine, because the manuals let processors differ: each rule names the instructions, what may differ, and where that is
 * written. Nothing else of the outcome is excused. What the engine does is exactly what an AMD Zen 5 does, but for transcendental functions; the other
 * rules are for Intel's processors.
 */

type Rule = (one: HostCase, ours: Outcome, host: Outcome) => Outcome;

const stackFault = 12;
const pageFault = 14;
const generalProtection = 13;
const rcx = 1;
const rsp = 4;
const rsi = 6;
const rdi = 7;

/** What the engine did, with what a rule excuses as the host has it. The state may be changed in place. */
export function settle(one: HostCase, ours: Outcome, host: Outcome): Outcome {
  forgiveLastPlace(one.mnemonic, ours.state.view, host.state.view);
  if (one.vendor !== 'intel') return ours;
  return intelRules.reduce(
    (settled, [mnemonics, rule]) => (mnemonics.test(one.mnemonic) ? rule(one, settled, host) : settled),
    ours,
  );
}

/** The scratch page as an instruction left it. */
function pageAfter({ page, patch, patchOffset }: HostCase, { changed, changedFrom }: Outcome): Uint8Array {
  const after = page.slice();
  after.set(patch, patchOffset);
  after.set(changed, changedFrom);
  return after;
}

/** Takes memory at some linear addresses over from the host. */
function takeMemory(one: HostCase, ours: Outcome, host: Outcome, from: number, end: number): Outcome {
  const before = pageAfter(one, { ...ours, changed: new Uint8Array(0) });
  const after = pageAfter(one, ours);
  const start = Math.max(0, from - scratchAddress);
  const stop = Math.min(scratchSize, end - scratchAddress);
  if (start < stop) after.set(pageAfter(one, host).subarray(start, stop), start);
  let first = 0;
  let last = scratchSize;
  while (first < last && after[first] === before[first]) first++;
  while (last > first && after[last - 1] === before[last - 1]) last--;
  return { ...ours, changedFrom: first === last ? 0 : first, changed: after.subarray(first, last) };
}

function bothRaise(vector: number, ours: Outcome, host: Outcome): boolean {
  return ours.vector === vector && host.vector === vector;
}

function low(state: HostState, register: number): number {
  return state.view.getUint32(8 * register, true);
}

/**
 * RCPPS, RSQRTPS: any value whose relative error is at most 1.5 · 2^-12 (SDM vol. 2B, "RCPPS"), so two answers are no further apart than twice that. In the
 * destination only, and not if one of them is zero, an infinity or a NaN.
 */
const approximation: Rule = (one, ours, host) => {
  const instruction = new Instruction();
  const bytes = new Uint8Array(15);
  bytes.set(one.code);
  decode(bytes, 0, hostDecoder(one.vendor, one.mode), instruction);
  const number = registerNumber(operandRegister(instruction, 0));
  const [a, b] = [ours.state.view, host.state.view];
  for (const start of [stateAt.xmm, stateAt.upper]) {
    for (let at = start + 16 * number; at < start + 16 * number + 16; at += 4) {
      const distance = Math.abs(a.getFloat32(at, true) / b.getFloat32(at, true) - 1);
      if (distance < 3.01 * 2 ** -12) a.setInt32(at, b.getInt32(at, true), true);
    }
  }
  return ours;
};

/** Masked stores: which of the bytes that cannot be written CR2 names. "The linear address that generated the exception" (SDM vol. 3, 4.7) is any of them. */
const maskedStore: Rule = (_, ours, host) => {
  const isNear =
    ours.address >> 12n === host.address >> 12n &&
    host.address >= ours.address &&
    host.address < ours.address + 32n;
  return bothRaise(pageFault, ours, host) && isNear ? { ...ours, address: host.address } : ours;
};

/** CALL whose target is not canonical: the return address may have been stored below RSP, which stays; the manual checks the target first. */
const call: Rule = (one, ours, host) => {
  const pointer = low(one.before, rsp);
  return bothRaise(generalProtection, ours, host) ? takeMemory(one, ours, host, pointer - 8, pointer) : ours;
};

const summary = 0x80;
const exceptionFlags = 0x3f;

/**
 * x87 stores with an unmasked exception to memory that cannot be written: which comes first is left to the processor (SDM vol. 3, 6.9, table 6-2: one class
 * of priority). Then nothing but the status word changes, and the exception waits.
 */
const x87Store: Rule = (one, ours, host) => {
  const status = host.state.view.getUint16(stateAt.x87Status, true);
  const control = host.state.view.getUint16(stateAt.x87Control, true);
  const isPending = (status & summary) !== 0 && (status & ~control & exceptionFlags) !== 0;
  const isMemoryFault = ours.vector >= stackFault && ours.vector <= pageFault;
  if (!isMemoryFault || host.vector !== -1 || !isPending) return ours;
  const state = stateOf(one.before.bytes.slice());
  state.view.setUint16(stateAt.x87Status, status, true);
  state.view.setBigUint64(stateAt.rip, BigInt(one.address + one.code.length), true);
  return { ...ours, vector: -1, error: 0, state };
};

/**
 * FSCALE by zero, and FPREM by an infinity, of a denormal number with underflow unmasked: the operand is the result, and tiny. Intel's processors return it
 * and raise nothing but DE; the manual's underflow (SDM vol. 1, 8.5.5) does not say whether an operand that is only returned is a result.
 */
const returnedDenormal: Rule = (one, ours, host) => {
  const [{ view: before }, { view: a }, { view: b }] = [one.before, ours.state, host.state];
  if (
    ours.vector !== -1 ||
    host.vector !== -1 ||
    !isReturnedDenormal(one.mnemonic, before, stateAt.st, b, stateAt.st)
  )
    return ours;
  const status = a.getUint16(stateAt.x87Status, true);
  const theirs = b.getUint16(stateAt.x87Status, true);
  a.setBigUint64(stateAt.st, b.getBigUint64(stateAt.st, true), true);
  a.setUint16(stateAt.st + 8, b.getUint16(stateAt.st + 8, true), true);
  if ((status & ~theirs & underflow) !== 0)
    a.setUint16(stateAt.x87Status, (status & ~(underflow | summaryBits)) | (theirs & summaryBits), true);
  return ours;
};

const underflow = 0x10;
const summaryBits = 0x8080;

/** @param operands ST(0), and 16 bytes behind it ST(1) @param at of the host's result */
export function isReturnedDenormal(
  mnemonic: string,
  operands: DataView,
  place: number,
  host: DataView,
  at: number,
): boolean {
  const significand = operands.getBigUint64(place, true);
  const exponent = operands.getUint16(place + 8, true);
  const second = operands.getBigUint64(place + 16, true);
  const secondSize = operands.getUint16(place + 24, true) & 0x7fff;
  const isKept =
    mnemonic === 'FSCALE'
      ? secondSize === 0 && second === 0n
      : secondSize === 0x7fff && second << 1n === 1n << 64n;
  return (
    isKept &&
    (exponent & 0x7fff) === 0 &&
    host.getBigUint64(at, true) === significand &&
    host.getUint16(at + 8, true) === exponent
  );
}

/**
 * Stores of ten bytes that reach into a page that cannot be written: the bytes before it may have been (SDM vol. 3, 8.1.1: "some of the accesses may
 * complete … while another causes the operation to fault").
 */
const tenBytes: Rule = (one, ours, host) => {
  const end = Number(host.address);
  return bothRaise(pageFault, ours, host) ? takeMemory(one, ours, host, end - 9, end) : ours;
};

/**
 * MOVS and STOS that fault: the element in progress may have been written as far as it could (SDM vol. 3, 8.1.1). With 32-bit addresses in 64-bit code, the
 * upper halves of RSI and RDI may be 0 before the first element is done, as they are once it is, and even if ECX says that there is none.
 */
const strings: Rule = (one, ours, host) => {
  const isNone = bothRaise(-1, ours, host) && low(one.before, rcx) === 0;
  if (!isNone && !bothRaise(pageFault, ours, host)) return ours;
  const { view } = ours.state;
  for (const register of [rsi, rdi])
    if (one.mode === 64 && one.code.includes(0x67) && host.state.view.getUint32(8 * register + 4, true) === 0)
      view.setUint32(8 * register + 4, 0, true);
  if (isNone) return ours;
  const element = low(ours.state, rdi);
  return takeMemory(one, ours, host, element, element + 8);
};

const intelRules: readonly (readonly [RegExp, Rule])[] = [
  [/^V?(RCP|RSQRT)[PS]S$/, approximation],
  [/^V?P?MASKMOV/, maskedStore],
  [/^CALL$/, call],
  [/^F(ST|STP|IST|ISTP|ISTTP|BSTP)$/, x87Store],
  [/^F(STP|BSTP)$/, tenBytes],
  [/^F(SCALE|PREM1?)$/, returnedDenormal],
  [/^(MOVS|STOS)[BWDQ]$/, strings],
];
