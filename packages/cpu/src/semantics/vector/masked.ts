import { type Expressions, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import { bytesVector, zero } from '../../library/vector/constants.ts';
import type { Definition, Family, Operation, Place } from '../operation.ts';
import { checkPending } from '../x87/stack.ts';
import { enterMmx } from './mmx.ts';
import { bitmaskOf, lowElement, splatOf, withVex } from './packed.ts';

/** Runs `body` for each set bit of a mask (i32), lowest first, with its number. */
function forEachBit(x: Expressions, mask: Value, body: (index: Value) => void): void {
  const rest = x.temporary(ValueType.i32);
  x.write(rest, mask);
  x.block((leave) => {
    leave(x.eqz(x.read(rest)));
    x.loop((again) => {
      const bits = x.copy(x.read(rest));
      body(x.ctz(bits));
      x.write(rest, x.and(bits, x.sub(bits, x.i32(1))));
      again(x.read(rest));
    });
  });
}

const iota = Array.from({ length: 16 }, (_, i) => i);

/** Element `index` (i32, known when it runs) of some vectors, as i32 or i64. */
function elementAt(x: Expressions, bits: 8 | 32 | 64, vectors: readonly Value[], index: Value): Value {
  const perVector = 128 / bits;
  const vector =
    vectors.length === 1 ? vectors[0] : x.select(x.ltU(index, x.i32(perVector)), vectors[0], vectors[1]);
  const first = x.mul(x.and(index, x.i32(perVector - 1)), x.i32(bits / 8));
  const wanted = x.compute(Op.i8x16Add, x.compute(Op.i8x16Splat, first), bytesVector(x, iota));
  const moved = x.compute(Op.i8x16Swizzle, vector, wanted);
  const extract = { 8: Op.i8x16ExtractLaneU, 32: Op.i32x4ExtractLane, 64: Op.i64x2ExtractLane }[bits];
  return x.extractLane(extract, moved, 0);
}

/** Numbers of the elements of vector `lane`, counted through all vectors, and `index` (i32, known when it runs) everywhere. */
function numbersAndIndex(x: Expressions, bits: 32 | 64, index: Value, lane: number): [Value, Value] {
  if (bits === 32) return [x.v128([0, 1, 2, 3].map((i) => i + 4 * lane)), x.compute(Op.i32x4Splat, index)];
  return [x.v128([2 * lane, 0, 2 * lane + 1, 0]), x.compute(Op.i64x2Splat, x.extendU(index))];
}

/** All ones in element `index` and nowhere else. */
function elementMask(x: Expressions, bits: 32 | 64, index: Value, lane: number): Value {
  return x.compute(bits === 32 ? Op.i32x4Eq : Op.i64x2Eq, ...numbersAndIndex(x, bits, index, lane));
}

/** All ones in the elements before `index`. */
function elementsBelow(x: Expressions, bits: 32 | 64, index: Value, lane: number): Value {
  return x.compute(bits === 32 ? Op.i32x4LtS : Op.i64x2LtS, ...numbersAndIndex(x, bits, index, lane));
}

/** `base + displacement` (i64), wrapped to the address size. */
function offsetAt(op: Operation, base: Value, displacement: Value): Value {
  const { x } = op;
  const sum = x.add(base, displacement);
  if (op.addressBits === 64) return sum;
  return x.and(sum, op.addressBits === 32 ? x.i64(-1, 0) : x.i64(0xffff));
}

const lanesOf = (op: Operation, read: (lane: number) => Value): Value[] =>
  Array.from({ length: op.lanes }, (_, lane) => read(lane));

/** Signs of all elements of some vectors, as an i32. */
function signsOf(x: Expressions, bits: 8 | 32 | 64, vectors: readonly Value[]): Value {
  return vectors
    .map((vector, lane) => x.shl(x.compute(bitmaskOf(bits), vector), x.i32((lane * 128) / bits)))
    .reduce((all, one) => x.or(all, one));
}

/** Writes the elements that `mask` (i32) names and touches no others; none is written before all can be. */
function storeElements(
  op: Operation,
  bits: 8 | 32 | 64,
  base: Value,
  values: readonly Value[],
  mask: Value,
): void {
  const { x } = op;
  const placeOf = (index: Value): Place => {
    const displacement = x.extendU(x.mul(index, x.i32(bits / 8)));
    return op.place(op.dataSegment, offsetAt(op, base, displacement), bits, 'write');
  };
  // MASKMOVDQU has checked all of its bytes.
  if (bits > 8)
    forEachBit(x, mask, (index) => {
      placeOf(index);
    });
  forEachBit(x, mask, (index) => {
    const place = placeOf(index);
    op.storePlace(place, elementAt(x, bits, values, index));
    op.commitPlace(place);
  });
}

/**
 * MASKMOVDQU, MASKMOVQ: bytes whose mask bytes have their sign set go to [rDI]. As on AMD's processors (seen on Zen 5), all must be writable
 * whatever the mask is, and MASKMOVQ has changed the x87 state even if they are not: doing it again changes nothing.
 */
const maskedBytes: Definition = (op) => {
  const { x } = op;
  const pointer = op.readRegister(7, op.addressBits);
  const base = x.copy(op.addressBits === 64 ? pointer : x.extendU(pointer));
  const isMmx = op.kind(1) === 'mmx';
  if (isMmx) checkPending(op);
  const vector = (operand: number): Value =>
    isMmx ? lowElement(x, 64, op.read(operand)) : op.readVector(operand);
  const values = [vector(1)];
  const mask = x.copy(signsOf(x, 8, [vector(2)]));
  if (isMmx) enterMmx(op);
  op.place(op.dataSegment, base, isMmx ? 64 : 128, 'write');
  storeElements(op, 8, base, values, mask);
};

/** VMASKMOVPS, VPMASKMOVD and the like: only elements whose mask has its sign set are accessed. */
const maskedMove =
  (bits: 32 | 64): Definition =>
  (op) => {
    const { x } = op;
    const isStore = op.isMemory(0);
    const memory = isStore ? 0 : 2;
    const mask = x.copy(
      signsOf(
        x,
        bits,
        lanesOf(op, (lane) => op.readVector(1, lane)),
      ),
    );
    const all = x.i32((1 << ((128 / bits) * op.lanes)) - 1);
    const base = x.copy(op.effectiveAddress(memory));
    const whole = (access: 'read' | 'write') => op.place(op.dataSegment, base, op.bits(memory), access);
    if (isStore) {
      const values = lanesOf(op, (lane) => op.readVector(2, lane));
      x.if(
        x.eq(mask, all),
        () => {
          const place = whole('write');
          for (const [lane, value] of values.entries()) op.storePlace(place, value, 128, 16 * lane);
          op.commitPlace(place);
        },
        () => storeElements(op, bits, base, values, mask),
      );
      return;
    }
    const results = lanesOf(op, () => x.temporary(ValueType.v128));
    x.if(
      x.eq(mask, all),
      () => {
        const place = whole('read');
        for (const [lane, result] of results.entries()) x.write(result, op.loadPlace(place, 128, 16 * lane));
      },
      () => {
        for (const result of results) x.write(result, zero(x));
        forEachBit(x, mask, (index) => {
          const displacement = x.extendU(x.mul(index, x.i32(bits / 8)));
          const value = op.load(op.dataSegment, offsetAt(op, base, displacement), bits);
          setElement(x, bits, results, index, value);
        });
      },
    );
    op.writeVector(
      0,
      results.map((result) => x.read(result)),
    );
  };

/** Element `index` becomes a value. */
function setElement(
  x: Expressions,
  bits: 32 | 64,
  vectors: readonly Variable[],
  index: Value,
  value: Value,
): void {
  const everywhere = x.compute(splatOf(bits), value);
  for (const [lane, vector] of vectors.entries()) {
    const here = elementMask(x, bits, index, lane);
    x.write(vector, x.compute(Op.v128Bitselect, everywhere, x.read(vector), here));
  }
}

/** Element `index` of vectors. */
function lanesElement(x: Expressions, bits: 32 | 64, vectors: readonly Value[], index: number): Value {
  const perLane = 128 / bits;
  const extract = bits === 64 ? Op.i64x2ExtractLane : Op.i32x4ExtractLane;
  return x.extractLane(extract, vectors[Math.floor(index / perLane)], index % perLane);
}

/**
 * VGATHER and VPGATHER: one element after the other. Before one is read, those before it are in the destination and out of the mask, so that
 * the instruction goes on where a fault stopped it. Mask elements from there on are as they were on AMD's processors (seen on Zen 5); on Intel's, the
 * signs of the whole mask register are extended first (SDM vol. 2C, VGATHERDPS), and with VEX.128 what lies
 * above is cleared with the first element that is written.
 */
const gather =
  (indexBits: 32 | 64, bits: 32 | 64): Definition =>
  (op) => {
    const { x } = op;
    const count = (op.lanes * 128) / Math.max(indexBits, bits);
    const vectorsOf = (width: number): number[] =>
      Array.from({ length: Math.ceil((count * width) / 128) }, (_, lane) => lane);
    const lanes = vectorsOf(bits);
    const indices = vectorsOf(indexBits).map((lane) => op.readVectorIndex(lane));
    const base = x.copy(op.effectiveAddress(1));
    const isIntel = op.vendor === 'intel';
    const extended = (mask: Value): Value =>
      isIntel ? x.compute(bits === 32 ? Op.i32x4ShrS : Op.i64x2ShrS, mask, x.i32(bits - 1)) : mask;
    const results = lanes.map(() => x.temporary(ValueType.v128));
    const masks = lanes.map(() => x.temporary(ValueType.v128));
    for (const lane of lanes) {
      x.write(results[lane], op.readVector(0, lane));
      x.write(masks[lane], extended(op.readVector(2, lane)));
    }
    const chosen = x.and(
      signsOf(
        x,
        bits,
        masks.map((mask) => x.read(mask)),
      ),
      x.i32((1 << count) - 1),
    );
    // Until the last element, what lies above stays too.
    const save = (operand: 0 | 2, isEnd: boolean): void => {
      const values = (operand === 0 ? results : masks).map((vector) => x.read(vector));
      if (!isEnd && values.length === 1 && (op.lanes === 2 || !isIntel)) {
        const above = op.readVector(operand, 1);
        values.push(operand === 2 ? extended(above) : above);
      }
      op.writeVector(operand, values);
    };
    const addressOf = (element: Value): Value => {
      const scaled = x.shl(indexBits === 64 ? element : x.extendS(element), x.i64(Math.max(op.scale, 0)));
      return offsetAt(op, base, scaled);
    };
    x.block((done) => {
      x.block((unsure) => {
        // All elements, in memory at hand, aligned (so that none crosses a page): nothing can stop it.
        unsure(x.ne(chosen, x.i32((1 << count) - 1)));
        const hosts = Array.from({ length: count }, (_, index) => {
          const host = x.copy(
            op.directPlace(op.dataSegment, addressOf(lanesElement(x, indexBits, indices, index)), 'read'),
          );
          unsure(x.or(x.eqz(host), x.and(host, x.i32(bits / 8 - 1))));
          return host;
        });
        const perLane = 128 / bits;
        for (const [index, host] of hosts.entries()) {
          const result = results[Math.floor(index / perLane)];
          const value = x.load(bits === 64 ? Op.i64Load : Op.i32Load, host, 0);
          const replace = bits === 64 ? Op.i64x2ReplaceLane : Op.i32x4ReplaceLane;
          x.write(result, x.replaceLane(replace, x.read(result), value, index % perLane));
        }
        done();
      });
      forEachBit(x, chosen, (index) => {
        for (const [lane, mask] of masks.entries())
          x.write(mask, x.compute(Op.v128AndNot, x.read(mask), elementsBelow(x, bits, index, lane)));
        if (!isIntel) save(0, false);
        save(2, false);
        const element = elementAt(x, indexBits, indices, index);
        const value = op.load(op.dataSegment, addressOf(element), bits);
        setElement(x, bits, results, index, value);
        if (isIntel) save(0, false);
      });
    });
    for (const lane of lanes) {
      x.write(masks[lane], zero(x));
      // With two elements in an XMM register, the upper half is cleared.
      if (count * bits < 128)
        x.write(results[lane], x.compute(Op.v128And, x.read(results[lane]), x.v128([-1, -1, 0, 0])));
    }
    save(0, true);
    save(2, true);
  };

/** Instructions that access the elements of memory that a mask names. */
export const masked: Family = {
  definitions: {
    ...withVex({ MASKMOVDQU: maskedBytes }),
    MASKMOVQ: maskedBytes,
    VMASKMOVPS: maskedMove(32),
    VMASKMOVPD: maskedMove(64),
    VPMASKMOVD: maskedMove(32),
    VPMASKMOVQ: maskedMove(64),
    VGATHERDPS: gather(32, 32),
    VGATHERDPD: gather(32, 64),
    VGATHERQPS: gather(64, 32),
    VGATHERQPD: gather(64, 64),
    VPGATHERDD: gather(32, 32),
    VPGATHERDQ: gather(32, 64),
    VPGATHERQD: gather(64, 32),
    VPGATHERQQ: gather(64, 64),
  },
};
