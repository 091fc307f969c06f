import { Op, type Value } from '@nest86/wasm';
import { joinFlags, separateFlags } from '../flags.ts';
import type { Operation } from '../operation.ts';

/** What of RFLAGS the state's `systemFlags` holds: TF IF DF IOPL NT RF VM AC VIF VIP ID. */
export const systemFlags = 0x003f_7700;

/** CF PF AF ZF SF OF with their places in RFLAGS. */
const places = [
  ['carry', 0],
  ['parity', 2],
  ['auxiliary', 4],
  ['zero', 6],
  ['sign', 7],
  ['overflow', 11],
] as const;

/** A cell of the state of 32 bits. */
export function cell(op: Operation, offset: number): Value {
  return op.x.load(Op.i32Load, op.state, offset);
}

export function setCell(op: Operation, offset: number, value: Value): void {
  op.x.store(Op.i32Store, op.state, value, offset);
}

/** RFLAGS, i32. @param system the state's `systemFlags` */
export function flagImage(op: Operation, system: Value): Value {
  const { x } = op;
  const flags = separateFlags(x, op.readFlags());
  const status = places.reduce(
    (image, [name, place]) => x.or(image, x.shl(flags[name], x.i32(place))),
    x.i32(2),
  );
  return x.copy(x.or(status, system));
}

/** Loads the status flags from an image of RFLAGS. */
export function loadStatus(op: Operation, image: Value): void {
  const { x } = op;
  const bit = (place: number): Value => x.copy(x.and(x.shrU(image, x.i32(place)), x.i32(1)));
  const [carry, parity, auxiliary, zero, sign, overflow] = places.map(([, place]) => bit(place));
  op.writeFlags(joinFlags(x, { carry, parity, auxiliary, zero, sign, overflow }));
}
