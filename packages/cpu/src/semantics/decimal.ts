import { Op, type Value } from '@nest86/wasm';
import { resultFlags, type StatusFlags, separateFlags } from './flags.ts';
import { type Definition, Exception, type Family, type Operation } from './operation.ts';

/*
 * Decimal adjustments and BOUND, which 64-bit code does not have (SDM vol. 2A). Undefined flags: SF, ZF and PF follow the result; OF is 0.
 */

/** i32, 0 or 1: AL needs an adjustment of its low digit. */
function lowDigitIsOff(op: Operation, al: Value): Value {
  const { x } = op;
  const { auxiliary } = separateFlags(x, op.readFlags());
  return x.or(x.gtU(x.and(al, x.i32(15)), x.i32(9)), auxiliary);
}

function withAuxiliary(op: Operation, flags: StatusFlags, auxiliary: Value): StatusFlags {
  const { x } = op;
  return { result: flags.result, aux: x.or(flags.aux, x.shl(auxiliary, x.i32(3))) };
}

/** AAA, AAS. */
function adjustUnpacked(isAddition: boolean): Definition {
  return (op) => {
    const { x } = op;
    const ax = x.copy(op.readRegister(0, 16));
    const isOff = x.copy(lowDigitIsOff(op, ax));
    const by = x.mul(isOff, x.i32(0x106));
    const adjusted = x.and(isAddition ? x.add(ax, by) : x.sub(ax, by), x.i32(0xff0f));
    op.writeFlags(withAuxiliary(op, resultFlags(x, 8, x.and(adjusted, x.i32(0xff)), isOff, x.i32(0)), isOff));
    op.writeRegister(0, 16, adjusted);
  };
}

/** DAA, DAS. */
function adjustPacked(isAddition: boolean): Definition {
  return (op) => {
    const { x } = op;
    const al = x.copy(op.readRegister(0, 8));
    const carry = x.copy(op.carry());
    const isLowOff = x.copy(lowDigitIsOff(op, al));
    const isHighOff = x.copy(x.or(x.gtU(al, x.i32(0x99)), carry));
    const by = x.add(x.mul(isLowOff, x.i32(6)), x.mul(isHighOff, x.i32(0x60)));
    const adjusted = x.and(isAddition ? x.add(al, by) : x.sub(al, by), x.i32(0xff));
    // DAS borrows if the low digit's step goes below 0, too.
    const borrow = isAddition ? x.i32(0) : x.and(isLowOff, x.ltU(al, x.i32(6)));
    op.writeFlags(
      withAuxiliary(op, resultFlags(x, 8, adjusted, x.or(isHighOff, borrow), x.i32(0)), isLowOff),
    );
    op.writeRegister(0, 8, adjusted);
  };
}

export const decimal: Family = {
  definitions: {
    AAA: adjustUnpacked(true),
    AAS: adjustUnpacked(false),
    DAA: adjustPacked(true),
    DAS: adjustPacked(false),
    AAM: (op) => {
      const { x } = op;
      const base = x.copy(op.read(0));
      op.fault(Exception.divide, x.eqz(base));
      const al = x.copy(op.readRegister(0, 8));
      const low = x.compute(Op.i32RemU, al, base);
      const high = x.compute(Op.i32DivU, al, base);
      op.writeFlags(resultFlags(x, 8, low, x.i32(0), x.i32(0)));
      op.writeRegister(0, 16, x.or(low, x.shl(high, x.i32(8))));
    },
    AAD: (op) => {
      const { x } = op;
      const ax = x.copy(op.readRegister(0, 16));
      const sum = x.add(x.and(ax, x.i32(0xff)), x.mul(x.shrU(ax, x.i32(8)), op.read(0)));
      const result = x.and(sum, x.i32(0xff));
      op.writeFlags(resultFlags(x, 8, result, x.i32(0), x.i32(0)));
      op.writeRegister(0, 16, result);
    },
    /** #BR if the index is below the first or above the second bound, signed. Intel's processors read the second only if the first holds (seen on Xeon). */
    BOUND: (op) => {
      const { x } = op;
      const bits = op.bits(0);
      const signed = (value: Value): Value => (bits === 16 ? x.compute(Op.i32Extend16S, value) : value);
      const index = signed(op.read(0));
      if (op.vendor === 'intel') {
        const offset = x.copy(op.effectiveAddress(1));
        op.fault(Exception.bound, x.ltS(index, signed(op.load(op.dataSegment, offset, bits))));
        const next = x.add(offset, x.i64(bits / 8));
        const second = x.and(next, op.addressBits === 16 ? x.i64(0xffff) : x.i64(-1, 0));
        op.fault(Exception.bound, x.ltS(signed(op.load(op.dataSegment, second, bits)), index));
        return;
      }
      const place = op.operandPlace(1, 'read');
      const lower = signed(op.loadPlace(place, bits, 0));
      const upper = signed(op.loadPlace(place, bits, bits / 8));
      op.fault(Exception.bound, x.or(x.ltS(index, lower), x.ltS(upper, index)));
    },
  },
};
