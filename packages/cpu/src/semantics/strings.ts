import { Op, type Value, ValueType } from '@nest86/wasm';
import { Segment, stateOffset } from '../state/layout.ts';
import type { Definition, Family, Operation } from './operation.ts';

/*
 * MOVS, CMPS, SCAS, LODS, STOS (SDM vol. 1, 7.3.9; vol. 2B, "REP"). rSI reads from DS or an override, rDI from ES or to it; both move by the element's
 * bytes, down if DF is set. Each repetition is whole: a fault leaves the registers where the repetition began.
 */

const rax = 0;
const rsi = 6;
const rdi = 7;
const directionFlag = 10;

/** Offset in a pointer register, i64. */
function pointer(op: Operation, register: number): Value {
  const value = op.readRegister(register, op.addressBits);
  return op.x.copy(op.addressBits === 64 ? value : op.x.extendU(value));
}

/** Bytes by which pointers move: i32. */
function stepOf(op: Operation, bits: number): Value {
  const { x } = op;
  const flags = x.load(Op.i32Load, op.state, stateOffset.systemFlags);
  const isDown = x.and(x.shrU(flags, x.i32(directionFlag)), x.i32(1));
  // n or -n.
  return x.copy(x.sub(x.i32(bits / 8), x.mul(isDown, x.i32(bits / 4))));
}

/** @param by i32 */
function advance(op: Operation, register: number, by: Value): void {
  const { x } = op;
  const bits = op.addressBits;
  op.writeRegister(register, bits, x.add(op.readRegister(register, bits), bits === 64 ? x.extendS(by) : by));
}

/** Bytes from an offset to the end of its page, i32. */
function pageRest(op: Operation, offset: Value): Value {
  const { x } = op;
  return x.sub(x.i32(4096), x.and(x.wrap(offset), x.i32(4095)));
}

function minimum(op: Operation, a: Value, b: Value): Value {
  return op.x.select(op.x.ltU(a, b), a, b);
}

/** Upward, and within the address size. */
function goesUp(op: Operation): Value {
  const { x } = op;
  const flags = x.load(Op.i32Load, op.state, stateOffset.systemFlags);
  return x.eqz(x.and(flags, x.i32(1 << directionFlag)));
}

function moves(op: Operation): void {
  const { x } = op;
  const bits = op.bits(0);
  const size = bits / 8;
  op.repeat(
    () => {
      const step = stepOf(op, bits);
      const value = x.copy(op.load(op.dataSegment, pointer(op, rsi), bits));
      op.store(Segment.es, pointer(op, rdi), bits, value);
      advance(op, rsi, step);
      advance(op, rdi, step);
    },
    {
      bulk: (most) => {
        const done = x.temporary(ValueType.i32);
        x.write(done, x.i32(0));
        x.if(goesUp(op), () => {
          // One repetition as above. Right after each access the fast TLB knows its page, even if the other one takes the same entry. But the
          // second access may have lost what the first one found: repetitions one by one would look for it again.
          const [from, to] = [pointer(op, rsi), pointer(op, rdi)];
          const value = x.copy(op.load(op.dataSegment, from, bits));
          const source = x.copy(op.directPlace(op.dataSegment, from, 'read'));
          const losses = x.copy(op.translationLosses());
          const place = op.place(Segment.es, to, bits, 'write');
          const target = x.copy(op.directPlace(Segment.es, to, 'write'));
          op.storePlace(place, value);
          op.commitPlace(place);
          x.write(done, x.i32(1));
          // The others of the pages at once. Bytes that an earlier repetition writes must not be read before: at most the distance.
          const areBoth = x.and(x.ne(source, x.i32(0)), x.ne(target, x.i32(0)));
          x.if(x.and(areBoth, x.eq(losses, op.translationLosses())), () => {
            const room = minimum(op, pageRest(op, from), pageRest(op, to));
            const bytes = minimum(op, room, x.sub(target, source));
            const count = x.copy(minimum(op, most, x.shrU(bytes, x.i32(Math.log2(size)))));
            x.if(x.gtU(count, x.i32(1)), () => {
              // Not the first one again: it may have written into its own source.
              const rest = x.shl(x.sub(count, x.i32(1)), x.i32(Math.log2(size)));
              x.copyMemory(x.add(target, x.i32(size)), x.add(source, x.i32(size)), rest);
              x.write(done, count);
            });
          });
          const length = x.copy(x.shl(x.read(done), x.i32(Math.log2(size))));
          advance(op, rsi, length);
          advance(op, rdi, length);
        });
        return x.read(done);
      },
    },
  );
}

function stores(op: Operation): void {
  const { x } = op;
  const bits = op.bits(0);
  const size = bits / 8;
  const value = (): Value => x.copy(op.readRegister(rax, bits));
  op.repeat(
    () => {
      const step = stepOf(op, bits);
      op.store(Segment.es, pointer(op, rdi), bits, value());
      advance(op, rdi, step);
    },
    {
      bulk: (most) => {
        const done = x.temporary(ValueType.i32);
        x.write(done, x.i32(0));
        x.if(goesUp(op), () => {
          const to = pointer(op, rdi);
          const target = x.copy(op.directPlace(Segment.es, to, 'write'));
          x.if(x.ne(target, x.i32(0)), () => {
            const count = x.copy(minimum(op, most, x.shrU(pageRest(op, to), x.i32(Math.log2(size)))));
            x.write(done, count);
            x.if(count, () => {
              const length = x.copy(x.shl(count, x.i32(Math.log2(size))));
              fill(op, bits, target, length, value());
              advance(op, rdi, length);
            });
          });
        });
        return x.read(done);
      },
    },
  );
}

/** Fills `length` bytes (i32, a multiple of the element, not 0) with an element. */
function fill(op: Operation, bits: number, target: Value, length: Value, value: Value): void {
  const { x } = op;
  if (bits === 8) {
    x.fillMemory(target, value, length);
    return;
  }
  const byte = x.copy(x.and(bits === 64 ? x.wrap(value) : value, x.i32(0xff)));
  const repeated =
    bits === 64
      ? x.mul(x.extendU(byte), x.i64(0x01010101, 0x01010101))
      : x.mul(byte, x.i32(bits === 32 ? 0x01010101 : 0x0101));
  x.if(
    x.eq(value, repeated),
    () => x.fillMemory(target, byte, length),
    () => {
      // One element, then what is there again and again.
      const size = bits / 8;
      const store = bits === 64 ? Op.i64Store : bits === 32 ? Op.i32Store : Op.i32Store16;
      const filled = x.temporary(ValueType.i32);
      x.write(filled, x.i32(size));
      x.store(store, target, value, 0);
      x.block((leave) => {
        x.loop((again) => {
          const have = x.copy(x.read(filled));
          leave(x.geU(have, length));
          const part = x.copy(minimum(op, have, x.sub(length, have)));
          x.copyMemory(x.add(target, have), target, part);
          x.write(filled, x.add(have, part));
          again();
        });
      });
    },
  );
}

function loads(op: Operation): void {
  const { x } = op;
  const bits = op.bits(0);
  op.repeat(() => {
    const step = stepOf(op, bits);
    const value = x.copy(op.load(op.dataSegment, pointer(op, rsi), bits));
    op.writeRegister(rax, bits, value);
    advance(op, rsi, step);
  });
}

/**
 * Flags of a comparison that may be repeated. On Intel's processors, a fault in a repetition leaves the flags as they were before the instruction (SDM
 * vol. 2B, "REP"): they are written when it ends, so that they do not depend on where a run was cut either. On AMD's, each repetition writes them.
 */
function repeatCompare(
  op: Operation,
  bits: number,
  operands: () => readonly [a: Value, b: Value],
  move: () => void,
): void {
  const { x } = op;
  const write = (a: Value, b: Value): void => op.subtractFlags(bits, a, b, x.sub(a, b));
  if (op.vendor === 'amd' || !op.isRepeated) {
    op.repeat(
      () => {
        write(...operands());
        move();
      },
      { usesZeroFlag: true },
    );
    return;
  }
  const type = bits === 64 ? ValueType.i64 : ValueType.i32;
  const [first, second] = [x.temporary(type), x.temporary(type)];
  op.repeat(
    () => {
      const [a, b] = operands();
      x.write(first, a);
      x.write(second, b);
      move();
    },
    {
      usesZeroFlag: true,
      last: {
        isZero: () => x.eq(x.read(first), x.read(second)),
        end: () => write(x.read(first), x.read(second)),
      },
    },
  );
}

function compares(op: Operation): void {
  const { x } = op;
  const bits = op.bits(0);
  const step = stepOf(op, bits);
  repeatCompare(
    op,
    bits,
    () => {
      const first = (): Value => x.copy(op.load(op.dataSegment, pointer(op, rsi), bits));
      const second = (): Value => x.copy(op.load(Segment.es, pointer(op, rdi), bits));
      // Which one faults if both would: found by comparing.
      if (op.vendor === 'amd') return [first(), second()];
      const b = second();
      return [first(), b];
    },
    () => {
      advance(op, rsi, step);
      advance(op, rdi, step);
    },
  );
}

function scans(op: Operation): void {
  const { x } = op;
  const bits = op.bits(0);
  const step = stepOf(op, bits);
  repeatCompare(
    op,
    bits,
    () => {
      const b = x.copy(op.load(Segment.es, pointer(op, rdi), bits));
      return [x.copy(op.readRegister(rax, bits)), b];
    },
    () => advance(op, rdi, step),
  );
}

function allWidths(name: string, definition: Definition): [string, Definition][] {
  return ['B', 'W', 'D', 'Q'].map((width) => [name + width, definition]);
}

/** MOVSD and CMPSD are SSE2 instructions too; theirs have no implicit operands. */
export const strings: Family = {
  definitions: Object.fromEntries([
    ...allWidths('MOVS', moves),
    ...allWidths('STOS', stores),
    ...allWidths('LODS', loads),
    ...allWidths('CMPS', compares),
    ...allWidths('SCAS', scans),
  ]),
};
