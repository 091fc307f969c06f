import { Op, type Value } from '@nest86/wasm';
import type { LibraryFunction } from '../../library/function.ts';
import {
  aesDecrypt,
  aesDecryptLast,
  aesEncrypt,
  aesEncryptLast,
  aesInverseMixColumns,
  aesKeyAssist,
} from '../../library/vector/aes.ts';
import { carrylessProduct } from '../../library/vector/carryless.ts';
import { fieldAffine, fieldAffineOfInverse, fieldProducts } from '../../library/vector/galois.ts';
import {
  sha1Message2,
  sha1Rounds,
  sha256Message1,
  sha256Message2,
  sha256Rounds,
} from '../../library/vector/sha.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { namesWithVex, shuffleElements, sources, withVex, writeLanes } from './packed.ts';
import { readXmm0 } from './registers.ts';

function call(op: Operation, fn: LibraryFunction, args: readonly Value[]): Value {
  return op.library(fn, args) as Value;
}

/** Two sources, by a function of the library. */
const byLibrary =
  (fn: LibraryFunction): Definition =>
  (op) => {
    const [first, second] = sources(op);
    writeLanes(op, (lane) => call(op, fn, [op.readVector(first, lane), op.readVector(second, lane)]));
  };

/** PCLMULQDQ: bits 0 and 4 of the immediate choose the halves. */
const carryless: Definition = (op) => {
  const { x } = op;
  const [first, second] = sources(op);
  const immediate = op.constantImmediate(op.operandCount - 1);
  const half = (operand: number, lane: number, which: number): Value =>
    x.extractLane(Op.i64x2ExtractLane, op.readVector(operand, lane), which);
  writeLanes(op, (lane) =>
    call(op, carrylessProduct, [half(first, lane, immediate & 1), half(second, lane, (immediate >> 4) & 1)]),
  );
};

/** GF2P8AFFINEQB, GF2P8AFFINEINVQB: the immediate is added to each byte. */
const affine =
  (fn: LibraryFunction): Definition =>
  (op) => {
    const { x } = op;
    const [first, second] = sources(op);
    const constant = x.compute(Op.i8x16Splat, op.read(op.operandCount - 1));
    writeLanes(op, (lane) => {
      const product = call(op, fn, [op.readVector(first, lane), op.readVector(second, lane)]);
      return x.compute(Op.v128Xor, product, constant);
    });
  };

/** SHA1NEXTE: E is the old A, turned, and added to the top element. */
const nextE: Definition = (op) => {
  const { x } = op;
  const a = x.extractLane(Op.i32x4ExtractLane, op.readVector(0), 3);
  const message = op.readVector(1);
  const w = x.extractLane(Op.i32x4ExtractLane, message, 3);
  const sum = x.add(w, x.rotl(a, x.i32(30)));
  op.writeVector(0, [x.replaceLane(Op.i32x4ReplaceLane, message, sum, 3)]);
};

/** SHA1MSG1: W0 + W2 to W3 + W5, exclusive-or. */
const message1: Definition = (op) => {
  const { x } = op;
  const [first, second] = [op.readVector(0), op.readVector(1)];
  const ahead = shuffleElements(x, 32, second, first, [2, 3, 4, 5]);
  op.writeVector(0, [x.compute(Op.v128Xor, first, ahead)]);
};

/** AES, SHA, carry-less multiplication and GF(2^8). */
export const cryptography: Family = {
  definitions: {
    ...withVex({
      AESENC: byLibrary(aesEncrypt),
      AESENCLAST: byLibrary(aesEncryptLast),
      AESDEC: byLibrary(aesDecrypt),
      AESDECLAST: byLibrary(aesDecryptLast),
      AESIMC: (op) => op.writeVector(0, [call(op, aesInverseMixColumns, [op.readVector(1)])]),
      AESKEYGENASSIST: (op) => op.writeVector(0, [call(op, aesKeyAssist, [op.readVector(1), op.read(2)])]),
      PCLMULQDQ: carryless,
      GF2P8MULB: byLibrary(fieldProducts),
      GF2P8AFFINEQB: affine(fieldAffine),
      GF2P8AFFINEINVQB: affine(fieldAffineOfInverse),
    }),
    SHA1RNDS4: (op) => byLibrary(sha1Rounds[op.constantImmediate(2) & 3])(op),
    SHA1NEXTE: nextE,
    SHA1MSG1: message1,
    SHA1MSG2: byLibrary(sha1Message2),
    SHA256RNDS2: (op) =>
      op.writeVector(0, [call(op, sha256Rounds, [op.readVector(0), op.readVector(1), readXmm0(op)])]),
    SHA256MSG1: byLibrary(sha256Message1),
    SHA256MSG2: byLibrary(sha256Message2),
  },
  constantImmediates: [...namesWithVex(['PCLMULQDQ']), 'SHA1RNDS4'],
};
