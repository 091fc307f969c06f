import { CodeWriter } from './code.ts';
import { ModuleBuilder } from './module.ts';
import { Op } from './opcodes.ts';
import { type MemoryShape, ValueType } from './types.ts';

/** What the WebAssembly engine at hand can do beyond the core specification's first version. */
export interface WasmFeatures {
  readonly tailCalls: boolean;
  readonly simd: boolean;
  /** Shared memories and atomics. */
  readonly threads: boolean;
  readonly memory64: boolean;
}

interface WasmEngine {
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
}

/** @param engine the `WebAssembly` object */
export function detectFeatures(engine: WasmEngine): WasmFeatures {
  return {
    tailCalls: engine.validate(
      build(plainMemory, (code, self) => {
        code.localGet(0);
        code.returnCall(self);
      }),
    ),
    simd: engine.validate(
      build(plainMemory, (code) => {
        code.v128Const([0, 0, 0, 0]);
        code.op(Op.drop);
      }),
    ),
    threads: engine.validate(
      build({ addressType: 'i32', shared: true, minimumPages: 1, maximumPages: 1 }, (code) => {
        code.i32Const(0);
        code.memory(Op.i32AtomicLoad, 2, 0);
        code.op(Op.drop);
      }),
    ),
    memory64: engine.validate(
      build({ addressType: 'i64', shared: false, minimumPages: 1 }, (code) => {
        code.i64Const(0, 0);
        code.memory(Op.i32Load, 2, 0);
        code.op(Op.drop);
      }),
    ),
  };
}

const plainMemory: MemoryShape = { addressType: 'i32', shared: false, minimumPages: 1 };

function build(memory: MemoryShape, body: (code: CodeWriter, self: number) => void): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.defineMemory(memory, 'memory');
  const type = { parameters: [ValueType.i32], results: [] };
  const self = module.declareFunction(type);
  const code = new CodeWriter(memory);
  code.begin(type);
  body(code, self);
  code.finish();
  module.define(self, code);
  return module.finish();
}
