import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  DecoderOptions,
  DecodeStatus,
  decode,
  decodeFetched,
  Instruction,
  maximumLength,
} from '../src/index.ts';
import { randomStrings } from './oracle/random.ts';

const modes = [64, 32, 16] as const;

/** Everything that a decoder answers, as a plain object. */
function snapshot(instruction: Instruction): object {
  return { ...instruction };
}

describe('bytes that end early', () => {
  test.each(modes)('every proper prefix of an instruction is truncated, %i-bit', (mode) => {
    const options = new DecoderOptions({ mode });
    const whole = new Instruction();
    const part = new Instruction();
    const wrong: string[] = [];
    randomStrings(mode, 20_000, mode, (buffer, stride) => {
      for (let offset = 0; offset < buffer.length; offset += stride) {
        if (decode(buffer, offset, options, whole) !== DecodeStatus.ok) continue;
        const bytes = buffer.slice(offset, offset + whole.length);
        for (let length = 0; length < bytes.length; length++) {
          if (decode(bytes.subarray(0, length), 0, options, part) !== DecodeStatus.truncated)
            wrong.push(Buffer.from(bytes).toString('hex'));
        }
        decode(bytes, 0, options, part);
        if (JSON.stringify(snapshot(part)) !== JSON.stringify(snapshot(whole)))
          wrong.push(Buffer.from(bytes).toString('hex'));
      }
    });
    expect(wrong).toEqual([]);
  });

  test('the answer does not depend on bytes outside those given', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 0, maxLength: 20 }),
        fc.uint8Array({ minLength: 20, maxLength: 60 }),
        fc.constantFrom(...modes),
        (bytes, surroundings, mode) => {
          const options = new DecoderOptions({ mode });
          const [alone, inside] = [new Instruction(), new Instruction()];
          const buffer = new Uint8Array(bytes.length + 2 * surroundings.length);
          buffer.set(surroundings);
          buffer.set(bytes, surroundings.length);
          buffer.set(surroundings, surroundings.length + bytes.length);
          const view = buffer.subarray(surroundings.length, surroundings.length + bytes.length);
          expect(decode(view, 0, options, inside)).toBe(decode(bytes, 0, options, alone));
          expect(snapshot(inside)).toEqual(snapshot(alone));
          expect(inside.length).toBeLessThanOrEqual(Math.min(maximumLength, bytes.length));
        },
      ),
      { numRuns: 20_000 },
    );
  });

  test('an offset at or behind the end is truncated, with length 0', () => {
    const instruction = new Instruction();
    const options = new DecoderOptions();
    expect(decode(Uint8Array.of(0x90), 1, options, instruction)).toBe(DecodeStatus.truncated);
    expect(instruction.length).toBe(0);
    expect(decode(new Uint8Array(), 7, options, instruction)).toBe(DecodeStatus.truncated);
  });

  test('more than 15 bytes are invalid, 15 are not', () => {
    const instruction = new Instruction();
    const options = new DecoderOptions();
    const nop = (prefixes: number): Uint8Array => Uint8Array.of(...new Array(prefixes).fill(0x66), 0x90);
    expect(decode(nop(14), 0, options, instruction)).toBe(DecodeStatus.ok);
    expect(instruction.length).toBe(15);
    for (const prefixes of [15, 16, 40, 200]) {
      expect(decode(nop(prefixes), 0, options, instruction)).toBe(DecodeStatus.invalid);
      expect(instruction.length).toBe(15);
    }
    expect(decode(nop(14).subarray(0, 14), 0, options, instruction)).toBe(DecodeStatus.truncated);
  });
});

describe('decodeFetched', () => {
  const options = new DecoderOptions();
  // mov rax, [rip+0x12345678]; then bytes that nobody needs
  const code = Uint8Array.of(0x48, 0x8b, 0x05, 0x78, 0x56, 0x34, 0x12, 0xcc, 0xcc, 0xcc);

  test('asks for one byte more only while the instruction is open', () => {
    const instruction = new Instruction();
    let asked = 0;
    const status = decodeFetched(
      (buffer, count) => {
        asked++;
        buffer[count] = code[count];
        return count + 1;
      },
      options,
      instruction,
    );
    expect(status).toBe(DecodeStatus.ok);
    expect(instruction.length).toBe(7);
    expect(asked).toBe(7);
  });

  test('takes what one page has, then asks for the next', () => {
    const instruction = new Instruction();
    const counts: number[] = [];
    decodeFetched(
      (buffer, count) => {
        counts.push(count);
        const end = count === 0 ? 3 : 10;
        buffer.set(code.subarray(count, end), count);
        return end;
      },
      options,
      instruction,
    );
    expect(counts).toEqual([0, 3]);
    expect(instruction.displacement).toBe(0x12345678);
  });

  test('is truncated at a fault, and tells how many bytes were there', () => {
    const instruction = new Instruction();
    const status = decodeFetched(
      (buffer, count) => {
        if (count === 4) return 4;
        buffer[count] = code[count];
        return count + 1;
      },
      options,
      instruction,
    );
    expect(status).toBe(DecodeStatus.truncated);
    expect(instruction.length).toBe(4);
    expect(decodeFetched((_, count) => count, options, instruction)).toBe(DecodeStatus.truncated);
    expect(instruction.length).toBe(0);
  });

  test('does not ask for bytes behind an invalid opcode', () => {
    const instruction = new Instruction();
    const bytes = [0x0f, 0x04];
    const status = decodeFetched(
      (buffer, count) => {
        if (count >= bytes.length) throw new Error(`asked for byte ${count}`);
        buffer[count] = bytes[count];
        return count + 1;
      },
      options,
      instruction,
    );
    expect(status).toBe(DecodeStatus.invalid);
  });

  test('a source that hands out more than 15 bytes, or nonsense, does no harm', () => {
    const instruction = new Instruction();
    expect(decodeFetched(() => 1000, options, instruction)).not.toBe(DecodeStatus.truncated);
    expect(decodeFetched(() => Number.NaN, options, instruction)).toBe(DecodeStatus.truncated);
    expect(decodeFetched(() => -3, options, instruction)).toBe(DecodeStatus.truncated);
  });
});
