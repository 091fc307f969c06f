const polynomial = 0xedb8_8320;
/** Bytes that one step takes. */
const width = 8;

/** Tables for eight bytes at a time: table n is for a byte that n more follow (Kounavis and Berry, 2005). */
const tables: readonly Int32Array[] = makeTables();

function makeTables(): Int32Array[] {
  const all = Array.from({ length: width }, () => new Int32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : polynomial);
    all[0][byte] = crc;
  }
  for (let byte = 0; byte < 256; byte++)
    for (let n = 1; n < width; n++) {
      const before = all[n - 1][byte];
      all[n][byte] = (before >>> 8) ^ all[0][before & 0xff];
    }
  return all;
}

/** CRC-32 of IEEE 802.3, as in zip and PNG, unsigned. */
export function crc32(bytes: Uint8Array): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
  let crc = -1;
  let at = 0;
  for (const end = bytes.length - width; at <= end; at += width) {
    crc ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    crc =
      t7[crc & 0xff] ^
      t6[(crc >>> 8) & 0xff] ^
      t5[(crc >>> 16) & 0xff] ^
      t4[crc >>> 24] ^
      t3[bytes[at + 4]] ^
      t2[bytes[at + 5]] ^
      t1[bytes[at + 6]] ^
      t0[bytes[at + 7]];
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]) & 0xff];
  return ~crc >>> 0;
}
