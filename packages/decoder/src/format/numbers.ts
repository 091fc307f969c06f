/** Hexadecimal digits of a byte, without and with a leading zero. */
const short: string[] = [];
const padded: string[] = [];
for (let byte = 0; byte < 256; byte++) {
  const digits = byte.toString(16);
  short.push(digits);
  padded.push(byte < 16 ? `0${digits}` : digits);
}

/** Lower-case hexadecimal digits of an unsigned 32-bit number. Several times faster than `toString(16)`. */
export function hex(value: number): string {
  if (value < 0x100) return short[value];
  if (value < 0x10000) return short[value >> 8] + padded[value & 255];
  const low = padded[(value >> 8) & 255] + padded[value & 255];
  return (value < 0x1000000 ? short[value >> 16] : short[value >>> 24] + padded[(value >> 16) & 255]) + low;
}

/** Eight digits. */
export function hex8(value: number): string {
  return (
    padded[value >>> 24] + padded[(value >> 16) & 255] + padded[(value >> 8) & 255] + padded[value & 255]
  );
}

/** Low 32 bits of an address, unsigned. */
export function lowHalf(address: number | bigint): number {
  return typeof address === 'bigint' ? Number(BigInt.asUintN(32, address)) : address >>> 0;
}

/** Bits 32 to 63 of an address, unsigned. */
export function highHalf(address: number | bigint): number {
  return typeof address === 'bigint'
    ? Number(BigInt.asUintN(32, address >> 32n))
    : Math.floor(address / 0x100000000) >>> 0;
}
