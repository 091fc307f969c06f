import { type Expressions, Op, type Value } from '@nest86/wasm';
import { stateOffset } from '../../state/layout.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { checkPending, rememberInstruction, Status } from './stack.ts';

/** FNINIT. */
const initialControl = 0x37f;
/** Bits of the control word that are kept, and the one that is always 1. */
const controlBits = 0x1f3f;
const controlOne = 0x40;

function readStatus(op: Operation): Value {
  return op.x.load(Op.i32Load, op.state, stateOffset.x87Status);
}

function writeStatus(op: Operation, status: Value): void {
  op.x.store(Op.i32Store, op.state, status, stateOffset.x87Status);
}

/** A status word with ES and B as exceptions and masks want them. */
function summarize(x: Expressions, status: Value, control: Value): Value {
  const pending = x.and(x.and(status, x.xor(control, x.i32(-1))), x.i32(Status.exceptions));
  const rest = x.and(status, x.i32(~Status.summaryAndBusy));
  return x.or(rest, x.select(pending, x.i32(Status.summaryAndBusy), x.i32(0)));
}

/** FINCSTP, FDECSTP: C1 is 0, tags stay. */
function rotate(by: 1 | 7): Definition {
  return (op) => {
    const { x } = op;
    checkPending(op);
    rememberInstruction(op);
    const status = readStatus(op);
    const moved = x.and(x.add(status, x.i32(by << 11)), x.i32(Status.top));
    writeStatus(op, x.or(x.and(status, x.i32(~(Status.top | Status.c1))), moved));
  };
}

/** FFREE; FFREEP, which no manual has, then pops. */
function free(pops: boolean): Definition {
  return (op) => {
    const { x, state } = op;
    checkPending(op);
    rememberInstruction(op);
    const status = readStatus(op);
    const top = x.and(x.shrU(status, x.i32(11)), x.i32(7));
    const physical = x.and(x.add(top, op.registerNumber(0)), x.i32(7));
    const tags = x.load(Op.i32Load, state, stateOffset.x87Tags);
    const one = x.i32(1);
    const freed = x.shl(one, physical);
    const emptied = pops ? x.or(freed, x.shl(one, top)) : freed;
    x.store(Op.i32Store, state, x.and(tags, x.xor(emptied, x.i32(-1))), stateOffset.x87Tags);
    if (!pops) {
      writeStatus(op, x.and(status, x.i32(~Status.c1)));
      return;
    }
    const moved = x.and(x.add(status, x.i32(1 << 11)), x.i32(Status.top));
    writeStatus(op, x.or(x.and(status, x.i32(~(Status.top | Status.c1))), moved));
  };
}

/** Of the 8087 and 80287; nothing since. */
const nothing: Definition = () => {};

/** All registers are empty. TOP is 0, as after any MMX instruction: AMD's processors do that, Intel's manual leaves it open. */
const emptyMmx: Definition = (op) => {
  checkPending(op);
  op.x.store(Op.i32Store, op.state, op.x.i32(0), stateOffset.x87Tags);
  writeStatus(op, op.x.and(readStatus(op), op.x.i32(~Status.top)));
};

/** Control, status and tag word (SDM vol. 1, 8.1.3 to 8.1.7). */
export const control: Family = {
  definitions: {
    FNINIT: (op) => {
      const { x, state } = op;
      x.store(Op.i32Store, state, x.i32(initialControl), stateOffset.x87Control);
      x.store(Op.i32Store, state, x.i32(0), stateOffset.x87Status);
      x.store(Op.i32Store, state, x.i32(0), stateOffset.x87Tags);
      x.store(Op.i32Store, state, x.i32(0), stateOffset.x87Opcode);
      x.store(Op.i64Store, state, x.i64(0), stateOffset.x87InstructionPointer);
      x.store(Op.i64Store, state, x.i64(0), stateOffset.x87DataPointer);
      x.store(Op.i32Store, state, x.i32(0), stateOffset.x87InstructionSelector);
      x.store(Op.i32Store, state, x.i32(0), stateOffset.x87DataSelector);
    },
    FNCLEX: (op) => {
      const cleared = Status.exceptions | Status.stackFault | Status.summaryAndBusy;
      writeStatus(op, op.x.and(readStatus(op), op.x.i32(~cleared)));
    },
    FLDCW: (op) => {
      const { x, state } = op;
      checkPending(op);
      const value = x.or(x.and(op.read(0), x.i32(controlBits)), x.i32(controlOne));
      x.store(Op.i32Store, state, value, stateOffset.x87Control);
      writeStatus(op, summarize(x, readStatus(op), value));
    },
    FNSTCW: (op) => op.write(0, op.x.load(Op.i32Load, op.state, stateOffset.x87Control)),
    FNSTSW: (op) => op.write(0, readStatus(op)),
    FNOP: (op) => {
      checkPending(op);
      rememberInstruction(op);
    },
    WAIT: checkPending,
    FINCSTP: rotate(1),
    FDECSTP: rotate(7),
    FFREE: free(false),
    FFREEP: free(true),
    FNENI: nothing,
    FNDISI: nothing,
    FNSETPM: nothing,
    EMMS: emptyMmx,
    FEMMS: emptyMmx,
  },
};
