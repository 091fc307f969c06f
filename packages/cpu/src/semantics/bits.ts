import { Op, type Value } from '@nest86/wasm';
import { crc32cByte } from '../library/integer/crc32c.ts';
import { joinFlags, keepCarry, type StatusFlags, separateFlags } from './flags.ts';
import type { Definition, Family, Operation } from './operation.ts';

type Change = 'set' | 'reset' | 'complement' | 'none';

/** log2 of a width. */
function logOf(bits: number): number {
  return 31 - Math.clz32(bits);
}

/** i64 of a value of `bits`, sign-extended. */
function signed(op: Operation, bits: number, value: Value): Value {
  const { x } = op;
  if (bits === 64) return value;
  return x.extendS(bits === 16 ? x.compute(Op.i32Extend16S, value) : value);
}

/**
 * BT, BTS, BTR, BTC: CF is the bit, the other flags stay. A register as bit offset addresses a string of bits around a memory operand (SDM vol.
 * 2A, "BT"; bit addressing in 3.1.1.9): what is accessed is the operand's width, where the offset points.
 */
function bitTest(change: Change): Definition {
  return (op) => {
    const { x } = op;
    const bits = op.bits(0);
    const isString = op.isMemory(0) && op.kind(1) === 'register';
    // Memory comes before the offset is used: keep what its register holds.
    const offset = x.copy(op.read(1));
    let value: Value;
    if (isString) {
      const log = logOf(bits);
      const units = x.shrS(signed(op, bits, offset), x.i64(log));
      const place = op.operandPlace(
        0,
        change === 'none' ? 'read' : 'readWrite',
        x.shl(units, x.i64(log - 3)),
      );
      value = op.loadPlace(place);
    } else value = change === 'none' ? op.read(0) : op.readForWrite(0);
    value = x.copy(value);
    const isNarrow = op.bits(1) < 64;
    const masked = isNarrow ? x.and(offset, x.i32(bits - 1)) : x.and(offset, x.i64(bits - 1));
    const index = bits === 64 ? (isNarrow ? x.extendU(masked) : masked) : masked;
    const bit = x.and(x.shrU(value, index), op.constant(bits, 1));
    op.writeFlags(keepCarry(x, op.readFlags(), bits === 64 ? x.wrap(bit) : bit));
    if (change === 'none') return;
    const mask = x.shl(op.constant(bits, 1), index);
    const results: Record<Exclude<Change, 'none'>, () => Value> = {
      set: () => x.or(value, mask),
      reset: () => x.and(value, x.xor(mask, op.constant(bits, -1))),
      complement: () => x.xor(value, mask),
    };
    op.write(0, results[change]());
  };
}

/** Only ZF changes; the others are undefined and stay. @param zero i32, 0 or 1 */
export function replaceZero(op: Operation, flags: StatusFlags, zero: Value): StatusFlags {
  return joinFlags(op.x, { ...separateFlags(op.x, flags), zero });
}

/**
 * BSF, BSR. Of a source of 0 only ZF is defined; AMD's manual says what processors do, that the destination stays as it is (APM vol. 3, "BSF"),
 * with its upper half. The undefined flags become 0 but for PF, which follows the result (found by comparing).
 */
function bitScan(isForward: boolean): Definition {
  return (op) => {
    const { x } = op;
    const bits = op.bits(0);
    const source = x.copy(op.read(1));
    const isZero = x.copy(x.eqz(source));
    const width = bits === 64 ? 63 : 31;
    const index = isForward ? x.ctz(source) : x.sub(op.constant(bits, width), x.clz(source));
    // Not 0, with the index's parity.
    const like = x.or(bits === 64 ? index : x.extendU(index), x.i64(0x100));
    op.writeFlags({ result: x.select(isZero, x.i64(0), like), aux: x.i32(0) });
    x.if(x.eqz(isZero), () => op.write(0, index));
  };
}

/**
 * TZCNT, LZCNT: CF if the source is 0, ZF if the result is. The others are undefined: on AMD's processors OF stays and the rest is 0 (found by
 * comparing).
 */
function countZeros(isTrailing: boolean): Definition {
  return (op) => {
    const { x } = op;
    const bits = op.bits(0);
    const source = op.read(1);
    // A bit beyond 16 stops the count there.
    const bounded =
      bits === 16
        ? isTrailing
          ? x.or(source, x.i32(0x10000))
          : x.or(x.shl(source, x.i32(16)), x.i32(0x8000))
        : source;
    const result = isTrailing ? x.ctz(bounded) : x.clz(bounded);
    const { overflow } = separateFlags(x, op.readFlags());
    const none = x.i32(0);
    op.writeFlags(
      joinFlags(x, {
        carry: x.eqz(source),
        parity: none,
        auxiliary: none,
        zero: x.eqz(result),
        sign: none,
        overflow,
      }),
    );
    op.write(0, result);
  };
}

const crc32: Definition = (op) => {
  const { x } = op;
  const bits = op.bits(1);
  const source = x.copy(op.read(1));
  let crc = op.bits(0) === 64 ? x.wrap(op.read(0)) : op.read(0);
  for (let shift = 0; shift < bits; shift += 8) {
    const shifted = shift === 0 ? source : x.shrU(source, op.constant(bits, shift));
    const byte = x.and(bits === 64 ? x.wrap(shifted) : shifted, x.i32(0xff));
    crc = op.library(crc32cByte, [crc, byte])!;
  }
  op.write(0, op.bits(0) === 64 ? x.extendU(crc) : crc);
};

/** The bytes of a value of 16, 32 or 64 bits in the opposite order. */
function swapBytes(op: Operation, bits: number, value: Value): Value {
  const { x } = op;
  if (bits === 16) return x.or(x.shl(x.and(value, x.i32(0xff)), x.i32(8)), x.shrU(value, x.i32(8)));
  if (bits === 32) {
    return x.or(
      x.and(x.rotl(value, x.i32(8)), x.i32(0x00ff00ff)),
      x.and(x.rotl(value, x.i32(24)), x.i32(0xff00ff00 | 0)),
    );
  }
  const low = x.extendU(swapBytes(op, 32, x.wrap(value)));
  const high = x.extendU(swapBytes(op, 32, x.wrap(x.shrU(value, x.i64(32)))));
  return x.or(x.shl(low, x.i64(32)), high);
}

export const bits: Family = {
  definitions: {
    BT: bitTest('none'),
    BTS: bitTest('set'),
    BTR: bitTest('reset'),
    BTC: bitTest('complement'),
    BSF: bitScan(true),
    BSR: bitScan(false),
    TZCNT: countZeros(true),
    LZCNT: countZeros(false),
    POPCNT: (op) => {
      const { x } = op;
      const width = op.bits(0);
      const result = x.popcnt(op.read(1));
      // All flags are 0 but ZF: PF's byte and the sign must not show the count.
      const isZero = x.eqz(result);
      const none = x.i32(0);
      op.writeFlags(
        joinFlags(x, {
          carry: none,
          parity: none,
          auxiliary: none,
          zero: isZero,
          sign: none,
          overflow: none,
        }),
      );
      op.write(0, width === 16 ? x.and(result, x.i32(0xffff)) : result);
    },
    CRC32: crc32,
    /** Undefined for 16 bits (SDM vol. 2A): AMD's processors, as Intel's, clear the word. */
    BSWAP: (op) => {
      const width = op.bits(0);
      op.write(0, width === 16 ? op.x.i32(0) : swapBytes(op, width, op.readForWrite(0)));
    },
    MOVBE: (op) => {
      const width = op.bits(0);
      op.write(0, swapBytes(op, width, op.x.copy(op.read(1))));
    },
  },
};
