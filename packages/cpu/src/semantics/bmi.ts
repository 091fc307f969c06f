import type { Value } from '@nest86/wasm';
import type { LibraryFunction } from '../library/function.ts';
import { depositBits, extractBits } from '../library/integer/bit-scatter.ts';
import { replaceCarries, resultFlags, separateFlags } from './flags.ts';
import type { Definition, Family, Operation } from './operation.ts';

/*
 * BMI1, BMI2, ADX (SDM vol. 2). Flags that the manual leaves undefined follow the result.
 */

/** Flags of a result: SF, ZF, PF; CF as given (i32, 0 or 1), OF and AF 0. */
function writeResult(op: Operation, result: Value, carry: Value): void {
  const { x } = op;
  op.writeFlags(resultFlags(x, op.bits(0), result, carry, x.i32(0)));
  op.write(0, result);
}

/** BLSI, BLSMSK, BLSR: operand 1 and what it is with 1 less. */
function lowestSet(
  compute: (op: Operation, source: Value, one: Value) => Value,
  carryIfZero: boolean,
): Definition {
  return (op) => {
    const { x } = op;
    const source = x.copy(op.read(1));
    const isZero = x.eqz(source);
    const result = compute(op, source, op.constant(op.bits(0), 1));
    writeResult(op, result, carryIfZero ? isZero : x.eqz(isZero));
  };
}

/** SHLX, SHRX, SARX, RORX: no flags. */
function shiftOnly(name: 'shl' | 'shrU' | 'shrS' | 'rotr'): Definition {
  return (op) => {
    const { x } = op;
    const bits = op.bits(0);
    const count = op.read(2);
    // RORX's count is a byte whatever the operand is.
    const typed = bits === 64 && op.bits(2) < 64 ? x.extendU(count) : count;
    op.write(0, x[name](op.read(1), x.and(typed, op.constant(bits, bits - 1))));
  };
}

function scatter(fn: LibraryFunction): Definition {
  return (op) => {
    const { x } = op;
    const [source, mask] = [op.read(1), op.read(2)];
    if (op.bits(0) === 64) op.write(0, op.library(fn, [source, mask])!);
    else op.write(0, x.wrap(op.library(fn, [x.extendU(source), x.extendU(mask)])!));
  };
}

/** The low byte of a value, as i32. */
function lowByte(op: Operation, bits: number, value: Value): Value {
  const { x } = op;
  return x.and(bits === 64 ? x.wrap(value) : value, x.i32(0xff));
}

/** A mask of `count` ones (i32, up to 255), all if that is the width or more. */
function onesBelow(op: Operation, bits: number, count: Value): Value {
  const { x } = op;
  const all = op.constant(bits, -1);
  const typed = bits === 64 ? x.extendU(count) : count;
  const mask = x.xor(x.shl(all, typed), all);
  return x.select(x.ltU(count, x.i32(bits)), mask, all);
}

/** ADCX and ADOX: one flag is carry in and out, the others stay. */
function addWith(flag: 'carry' | 'overflow'): Definition {
  return (op) => {
    const { x } = op;
    const bits = op.bits(0);
    const a = x.copy(op.read(0));
    const b = op.read(1);
    const flags = op.readFlags();
    const separate = separateFlags(x, flags);
    const carry = separate[flag];
    const sum = x.add(a, b);
    const result = x.add(sum, bits === 64 ? x.extendU(carry) : carry);
    const out = x.or(x.ltU(sum, a), x.ltU(result, sum));
    const carryOut = flag === 'carry' ? out : separate.carry;
    const overflowOut = flag === 'carry' ? separate.overflow : out;
    const top = x.or(x.shl(carryOut, x.i32(31)), x.shl(x.xor(carryOut, overflowOut), x.i32(30)));
    op.writeFlags(replaceCarries(x, flags, top));
    op.write(0, result);
  };
}

export const bmi: Family = {
  definitions: {
    ANDN: (op) => {
      const { x } = op;
      const inverted = x.xor(op.read(1), op.constant(op.bits(0), -1));
      writeResult(op, x.and(inverted, op.read(2)), x.i32(0));
    },
    BLSI: lowestSet(({ x }, source, one) => x.and(source, x.sub(x.sub(one, one), source)), false),
    BLSMSK: lowestSet(({ x }, source, one) => x.xor(source, x.sub(source, one)), true),
    BLSR: lowestSet(({ x }, source, one) => x.and(source, x.sub(source, one)), true),
    BZHI: (op) => {
      const { x } = op;
      const bits = op.bits(0);
      const source = op.read(1);
      const count = lowByte(op, bits, op.read(2));
      const result = x.and(source, onesBelow(op, bits, count));
      writeResult(op, result, x.gtU(count, x.i32(bits - 1)));
    },
    BEXTR: (op) => {
      const { x } = op;
      const bits = op.bits(0);
      const source = op.read(1);
      const control = op.read(2);
      const start = lowByte(op, bits, control);
      const length = lowByte(op, bits, x.shrU(control, op.constant(bits, 8)));
      const shifted = x.shrU(source, bits === 64 ? x.extendU(start) : start);
      const field = x.select(x.ltU(start, x.i32(bits)), shifted, op.constant(bits, 0));
      const result = x.and(field, onesBelow(op, bits, length));
      // AF, PF and SF are undefined; AMD's processors set AF and clear SF (found by comparing).
      const sign = bits === 64 ? x.wrap(x.shrU(result, x.i64(63))) : x.i32(0);
      op.writeFlags({
        result: bits === 64 ? result : x.extendU(result),
        aux: x.or(sign, x.i32(8)),
      });
      op.write(0, result);
    },
    PDEP: scatter(depositBits),
    PEXT: scatter(extractBits),
    RORX: shiftOnly('rotr'),
    SARX: shiftOnly('shrS'),
    SHLX: shiftOnly('shl'),
    SHRX: shiftOnly('shrU'),
    ADCX: addWith('carry'),
    ADOX: addWith('overflow'),
  },
};
