import type { Vendor } from './host-processor.ts';
import { stateAt } from './host-state.ts';

/*
 * Results of transcendental instructions may differ from the host's in the last place, and what says how they were rounded with them: both are
 * within the manual's bound of one unit (SDM vol. 1, 8.3.10). See float80-transcendental.test.ts for how often and why.
 */

const transcendental: ReadonlySet<string> = new Set([
  'F2XM1',
  'FYL2X',
  'FYL2XP1',
  'FSIN',
  'FCOS',
  'FSINCOS',
  'FPTAN',
  'FPATAN',
]);

/** Whether a host's results may differ from the engine's: of functions that the manuals give a bound of error. */
export function isApproximate(mnemonic: string, vendor: Vendor): boolean {
  return transcendental.has(mnemonic) || (vendor === 'intel' && /^V?(RCP|RSQRT)[PS]S$/.test(mnemonic));
}

const underflow = 0x10;
const precision = 0x20;
const summary = 0x8080;
const c1 = 0x200;

const leadingBit = 1n << 63n;

/**
 * Whether the host's result is the smallest normal number, which is not tiny, and ours the one below it, which is, and was scaled if underflow is not masked.
 * Intel's FSIN and FPTAN answer that of arguments just there, whatever RC is: one unit off, as the manual allows.
 */
export function isAtTinyBorder(ours: DataView, place: number, host: DataView, at: number): boolean {
  const exponent = ours.getUint16(place + 8, true) & 0x7fff;
  const significand = ours.getBigUint64(place, true);
  return (
    host.getBigUint64(at, true) === leadingBit &&
    (host.getUint16(at + 8, true) & 0x7fff) === 1 &&
    ((exponent === 0 && significand === leadingBit - 1n) ||
      (exponent === 0x6000 && significand === 2n * leadingBit - 1n))
  );
}

/** Takes the host's results and flags over where only the last place, or whether a result is exact, is another. */
export function forgiveLastPlace(mnemonic: string, ours: DataView, host: DataView): void {
  if (!transcendental.has(mnemonic)) return;
  let isTinyHere = false;
  for (const at of [stateAt.st, stateAt.st + 16]) {
    const isBorder = isAtTinyBorder(ours, at, host, at);
    isTinyHere ||= isBorder;
    const distance = rank(ours, at) - rank(host, at);
    if (distance !== 1n && distance !== -1n && !isBorder) continue;
    ours.setBigUint64(at, host.getBigUint64(at, true), true);
    ours.setUint16(at + 8, host.getUint16(at + 8, true), true);
  }
  const status = ours.getUint16(stateAt.x87Status, true);
  const theirs = host.getUint16(stateAt.x87Status, true);
  // The host calls exact results inexact, never the other way round.
  const isExactHere = (theirs & ~status & precision) !== 0;
  const forgiven =
    c1 | (isExactHere ? precision | underflow | summary : 0) | (isTinyHere ? underflow | summary : 0);
  if (((status ^ theirs) & ~forgiven) === 0) ours.setUint16(stateAt.x87Status, theirs, true);
}

/** Numbers in order, so that neighbours differ by one. */
function rank(view: DataView, at: number): bigint {
  const magnitude =
    (BigInt(view.getUint16(at + 8, true) & 0x7fff) << 63n) +
    (view.getBigUint64(at, true) & ((1n << 63n) - 1n));
  return view.getUint8(at + 9) >> 7 === 0 ? magnitude : -magnitude;
}
