export const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const values = new Uint8Array(128);
for (let i = 0; i < 64; i++) values[digits.charCodeAt(i)] = i;

/** Reads numbers written as base-64 VLQ (see scripts/table/emit.ts) into an array, from its start. */
export function readVlq(text: string, into: Int32Array): Int32Array {
  let count = 0;
  let number = 0;
  let shift = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = values[text.charCodeAt(i)];
    number |= (digit & 31) << shift;
    shift += 5;
    if (digit < 32) {
      into[count++] = number & 1 ? -(number >>> 1) : number >>> 1;
      number = 0;
      shift = 0;
    }
  }
  return into.subarray(0, count);
}

/** The same, where each number is the difference to the one before. */
export function readVlqDeltas(text: string, into: Int32Array): Int32Array {
  const numbers = readVlq(text, into);
  for (let i = 1; i < numbers.length; i++) numbers[i] += numbers[i - 1];
  return numbers;
}
