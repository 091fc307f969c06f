import { expect, test } from 'vitest';
import { bodyToText, CodeWriter, detectFeatures, Op } from '../src/index.ts';

test('Node 20 and later have tail calls, SIMD and threads', () => {
  const features = detectFeatures(WebAssembly);
  expect(features).toMatchObject({ tailCalls: true, simd: true, threads: true });
  expect(typeof features.memory64).toBe('boolean');
});

test('an engine that refuses everything has no features', () => {
  expect(detectFeatures({ validate: () => false })).toEqual({
    tailCalls: false,
    simd: false,
    threads: false,
    memory64: false,
  });
});

test('a body reads as text', () => {
  const code = new CodeWriter({ addressType: 'i32', shared: false, minimumPages: 1 });
  code.begin({ parameters: [], results: [] });
  const label = code.block();
  code.i32Const(-3);
  code.memory(Op.i64Load32U, 2, 300);
  code.i64Const(0, -0x80000000);
  code.op(Op.i64GeU);
  code.brIf(label);
  code.v128Const([1, 2, 3, 4]);
  code.lane(Op.i16x8ExtractLaneU, 7);
  code.op(Op.drop);
  code.end();
  code.i32Const(0);
  code.i32Const(1);
  code.memory(Op.i32AtomicRmw8CmpxchgU, 0, 0);
  code.finish();
  const lines = bodyToText(code.body.bytes.subarray(0, code.body.length));
  expect(lines.map(({ depth, text }) => '  '.repeat(depth) + text)).toEqual([
    'block',
    '  i32.const -3',
    '  i64.load32_u offset=300 align=4',
    '  i64.const -9223372036854775808',
    '  i64.ge_u',
    '  br_if 0',
    '  v128.const 01000000020000000300000004000000',
    '  i16x8.extract_lane_u 7',
    '  drop',
    'end',
    'i32.const 0',
    'i32.const 1',
    'i32.atomic.rmw8.cmpxchg_u',
    'end',
  ]);
  expect(() => bodyToText(Uint8Array.of(0x41))).toThrow(RangeError);
  expect(() => bodyToText(Uint8Array.of(0x06))).toThrow(/no instruction at 0/);
});
