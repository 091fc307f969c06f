/** Numbers of a generated module. */
export function unpack(text: string): Int32Array {
  return new Int32Array(JSON.parse(text) as number[]);
}

/** The same, where each number is the difference to the one before. */
export function unpackDeltas(text: string): Int32Array {
  const numbers = unpack(text);
  for (let i = 1, sum = numbers[0]; i < numbers.length; i++) {
    sum += numbers[i];
    numbers[i] = sum;
  }
  return numbers;
}
