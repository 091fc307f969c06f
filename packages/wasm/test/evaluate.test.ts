import { describe, expect, test } from 'vitest';
import { CodeWriter } from '../src/code.ts';
import { canEvaluate, evaluate, type Scalar, signatureOf } from '../src/evaluate.ts';
import '../src/evaluate-vector.ts';
import { ModuleBuilder } from '../src/module.ts';
import { Op } from '../src/opcodes.ts';
import type { MemoryShape } from '../src/types.ts';

const memory: MemoryShape = { addressType: 'i32', shared: false, minimumPages: 1 };
const loads: Record<string, [number, number]> = {
  i: [Op.i32Load, 4],
  I: [Op.i64Load, 8],
  f: [Op.f32Load, 4],
  F: [Op.f64Load, 8],
  v: [Op.v128Load, 16],
};
const stores: Record<string, number> = {
  i: Op.i32Store,
  I: Op.i64Store,
  f: Op.f32Store,
  F: Op.f64Store,
  v: Op.v128Store,
};

const edges32 = [
  0,
  1,
  -1,
  2,
  31,
  32,
  33,
  0x7fffffff,
  -0x80000000,
  0x80,
  0xff,
  0x8000,
  0x55555555,
  0x3f800000,
  0x7f800000,
  0x7fc00000,
  0x4b000000 | 0,
  0x3f000000,
  0x40200000,
  0x4f000000,
  0x5f000000,
];
const edges64 = [
  0n,
  1n,
  -1n,
  63n,
  64n,
  65n,
  0x7fffffffffffffffn,
  -0x8000000000000000n,
  0x80000000n,
  0xffffffffn,
  0x3ff0000000000000n,
  0x3fe0000000000000n,
  0x4004000000000000n,
  0x43e0000000000000n,
  0x7ff0000000000000n,
  0x41e0000000000000n,
  0x1000001000001n,
  0x8000008000000001n,
];

/** xorshift32 */
function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

/** One exported function per instruction: operands from 0, 16, 32 in memory, result to 48. */
function build(ops: readonly (keyof typeof Op)[]): WebAssembly.Instance {
  const module = new ModuleBuilder();
  module.defineMemory(memory, 'memory');
  const code = new CodeWriter(memory);
  for (const name of ops) {
    const [operands, result] = signatureOf(Op[name]).split(':');
    const type = { parameters: [], results: [] };
    const index = module.declareFunction(type, name);
    code.begin(type);
    code.i32Const(48);
    [...operands].forEach((operand, i) => {
      code.i32Const(i * 16);
      code.memory(loads[operand][0], 0, 0);
    });
    code.op(Op[name]);
    code.memory(stores[result], 0, 0);
    code.finish();
    module.define(index, code);
    module.exportFunction(index, name);
  }
  const bytes = module.finish();
  expect(WebAssembly.validate(bytes)).toBe(true);
  return new WebAssembly.Instance(new WebAssembly.Module(bytes));
}

describe('evaluate computes what the engine computes', () => {
  const plain = (Object.keys(Op) as (keyof typeof Op)[]).filter((name) =>
    /^[iIfFv]+:[iIfFv]$/.test(signatureOf(Op[name])),
  );
  const instance = build(plain);
  const view = new DataView((instance.exports.memory as WebAssembly.Memory).buffer);

  test('every computing instruction can be evaluated', () => {
    expect(plain.filter((name) => !canEvaluate(Op[name]))).toEqual([]);
    expect(plain.length).toBeGreaterThan(300);
  });

  function write(kind: string, at: number, value: Scalar): void {
    if (kind === 'i') view.setInt32(at, value as number, true);
    else if (kind === 'f') view.setUint32(at, value as number, true);
    else if (kind === 'I') view.setBigInt64(at, value as bigint, true);
    else if (kind === 'F') view.setBigUint64(at, value as bigint, true);
    else new Uint8Array(view.buffer).set(value as Uint8Array, at);
  }

  function read(kind: string, at: number): Scalar {
    if (kind === 'i') return view.getInt32(at, true);
    if (kind === 'f') return view.getUint32(at, true);
    if (kind === 'I') return view.getBigInt64(at, true);
    if (kind === 'F') return view.getBigUint64(at, true);
    return new Uint8Array(view.buffer.slice(at, at + 16));
  }

  /** NaNs of results are equal: their bits are the engine's choice. */
  function comparable(name: string, kind: string, value: Scalar): string {
    if (kind === 'f') return isNaN32(value as number) ? 'NaN' : `${value}`;
    if (kind === 'F') return isNaN64(value as bigint) ? 'NaN' : `${value}`;
    if (kind !== 'v') return `${value}`;
    const bytes = new DataView((value as Uint8Array).slice().buffer);
    if (/^f32x4/.test(name))
      return [0, 4, 8, 12]
        .map((at) => (isNaN32(bytes.getUint32(at, true)) ? 'NaN' : bytes.getUint32(at, true)))
        .join();
    if (/^f64x2/.test(name))
      return [0, 8]
        .map((at) => (isNaN64(bytes.getBigUint64(at, true)) ? 'NaN' : bytes.getBigUint64(at, true)))
        .join();
    return (value as Uint8Array).join();
  }

  test.each(plain)('%s', (name) => {
    const [operands, result] = signatureOf(Op[name]).split(':');
    const random = randoms(0x1234567);
    const some = (kind: string): Scalar => {
      const useEdge = (random() & 1) === 0;
      if (kind === 'i' || kind === 'f') {
        const value = useEdge ? edges32[(random() >>> 1) % edges32.length] : random();
        return kind === 'i' ? value | 0 : value >>> 0;
      }
      if (kind === 'I' || kind === 'F') {
        const value = useEdge
          ? edges64[(random() >>> 1) % edges64.length]
          : (BigInt(random()) << 32n) ^ BigInt(random());
        return kind === 'I' ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value);
      }
      const bytes = new DataView(new ArrayBuffer(16));
      for (let at = 0; at < 16; at += 8) bytes.setBigUint64(at, some('F') as bigint, true);
      if (useEdge) for (let at = 0; at < 16; at += 4) bytes.setUint32(at, some('f') as number, true);
      return new Uint8Array(bytes.buffer);
    };
    for (let round = 0; round < 300; round++) {
      const values = [...operands].map(some);
      for (const [i, value] of values.entries()) write(operands[i], i * 16, value);
      let theirs: string;
      let ours: string;
      try {
        (instance.exports[name] as () => void)();
        theirs = comparable(name, result, read(result, 48));
      } catch {
        theirs = 'trap';
      }
      try {
        ours = comparable(name, result, evaluate(Op[name], ...values));
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        ours = 'trap';
      }
      // INT_MIN / -1 traps in the engine; in BigInt it wraps.
      if (/DivS$/.test(name) && theirs === 'trap') continue;
      expect(ours, `${name}(${values.join(' | ')})`).toBe(theirs);
    }
  });
});

function isNaN32(bits: number): boolean {
  return (bits & 0x7fffffff) > 0x7f800000;
}

function isNaN64(bits: bigint): boolean {
  return (bits & 0x7fffffffffffffffn) > 0x7ff0000000000000n;
}
