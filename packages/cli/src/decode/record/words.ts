import { noRegister, type Register, registerName } from '@nest86/decoder';

/*
 * Names for the decoder's numbers, in the words of its own constants: `Flag.auxiliaryCarry` becomes "auxiliaryCarry".
 * So nothing has to be kept in step by hand.
 */

type Constants = Readonly<Record<string, number>>;

/** Name of one value. */
export function word(constants: Constants, value: number): string {
  const found = Object.entries(constants).find(([, number]) => number === value);
  return found ? found[0] : String(value);
}

/** Names of the bits of a mask. Constants that are masks themselves are left out. */
export function words(constants: Constants, mask: number): string[] {
  return Object.entries(constants)
    .filter(([, bit]) => bit !== 0 && (bit & (bit - 1)) === 0 && (mask & bit) !== 0)
    .map(([name]) => name);
}

export function nameOrNull(register: Register): string | null {
  return register === noRegister ? null : registerName(register);
}

/** Unsigned value of `bytes` bytes. */
export function join64(low: number, high: number, bytes: number): bigint {
  return BigInt.asUintN(bytes * 8, (BigInt(high) << 32n) | BigInt(low >>> 0));
}

/** As a number where that is exact, else as hexadecimal text: JSON has no larger integers. */
export function signed64(low: number, high: number): number | string {
  const value = (BigInt(high) << 32n) | BigInt(low >>> 0);
  return Number.isSafeInteger(Number(value)) ? Number(value) : hex(BigInt.asUintN(64, value));
}

export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
