import { isReturnedDenormal } from '../harness/allowances.ts';
import { hostVendor } from '../harness/host-processor.ts';
import { answerSize, type Subject } from './batch.ts';
import { caseSize, resultSize } from './oracle.ts';

/** Exceptions that, if unmasked, keep an instruction from writing its result. */
const before = 0x7;

/** An instruction of oracle.c and the library function for it. */
export interface Comparison extends Subject {
  /** Of the status word, besides the exceptions. @defaultValue C1 */
  readonly conditions?: number;
  /** Where the result is. @defaultValue register */
  readonly result?: 'register' | 'two' | 'conditions' | 'decimal' | number;
  /** FSCALE or FPREM: see `isReturnedDenormal`. */
  readonly keeps?: string;
}

/**
 * Where ours and the host's answers differ: texts, of the first few; and how many.
 * `number` of bytes as the place of the result: memory.
 */
export function differences(
  { conditions = 0x200, result = 'register', keeps }: Comparison,
  cases: Uint8Array,
  answers: Uint8Array,
  results: Uint8Array,
): { texts: string[]; count: number } {
  const [input, ours, host] = [cases, answers, results].map((bytes) =>
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  );
  const texts: string[] = [];
  let count = 0;
  for (let i = 0, total = cases.length / caseSize; i < total; i++) {
    const [c, o, h] = [i * caseSize, i * answerSize, i * resultSize];
    const control = input.readUInt16LE(c + 32);
    const codes = result === 'conditions' ? ours.readInt32LE(o) : 0;
    const flags = ours.readInt32LE(o + 12) | codes;
    const status = host.readUInt16LE(h + 48);
    const isBlocked = (flags & ~control & before) !== 0;
    const isStoreBlocked = (flags & ~control & (before | 0x18)) !== 0;
    // FPREM leaves C0 and C3 alone if there is no remainder; the manual does not say.
    const hasCodes =
      result === 'conditions' || !(isBlocked || (host.readUInt16LE(h + 8) & 0x7fff) === 0x7fff);
    let same = ((flags ^ status) & (0x3f | (hasCodes ? conditions : conditions & 0x600))) === 0;
    switch (result) {
      case 'two':
        // The second result was pushed.
        if ((flags & 0x400) !== 0) same &&= same80(ours, o, o + 8, host, h);
        else if (!isBlocked)
          same &&= same80(ours, o, o + 8, host, h + 16) && same80(ours, o + 16, o + 24, host, h);
        break;
      case 'conditions':
        break;
      case 'decimal':
        if (!isBlocked) same &&= same80(ours, o, o + 8, host, h + 32);
        break;
      case 'register':
        if (!isBlocked) same &&= same80(ours, o, o + 8, host, h);
        break;
      default:
        if (!isStoreBlocked) same &&= ours.compare(host, h + 32, h + 32 + result, o, o + result) === 0;
        else same &&= host[h + 32] === 0xa5;
    }
    const isUnderflow = (flags & ~control & 0x10) !== 0 && (status & 0x3f) === 2;
    if (keeps !== undefined && hostVendor() === 'intel' && isUnderflow)
      same ||= isReturnedDenormal(keeps, view(cases), c, view(results), h);
    if (same) continue;
    count++;
    if (texts.length >= 10) continue;
    const operands = `a ${text80(input, c, c + 8)} b ${text80(input, c + 16, c + 24)} control ${control.toString(16)}`;
    const registers = [0, 16, 32].map((at) => text80(host, h + at, h + at + 8)).join(' ');
    const answer = `${text80(ours, o, o + 8)} ${text80(ours, o + 16, o + 24)}`;
    texts.push(
      `${operands}: host ${registers} status ${status.toString(16)}, ours ${answer} flags ${flags.toString(16)}`,
    );
  }
  return { texts, count };
}

function view({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function same80(ours: Buffer, significand: number, exponent: number, host: Buffer, at: number): boolean {
  return (
    ours.readUInt16LE(exponent) === host.readUInt16LE(at + 8) &&
    ours.compare(host, at, at + 8, significand, significand + 8) === 0
  );
}

function text80(bytes: Buffer, significand: number, exponent: number): string {
  return `${bytes.readUInt16LE(exponent).toString(16).padStart(4, '0')}:${bytes.readBigUInt64LE(significand).toString(16).padStart(16, '0')}`;
}
