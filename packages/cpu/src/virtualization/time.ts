import type { SystemUnit } from '../system/unit.ts';

const left = new Uint16Array(4);
const right = new Uint16Array(4);
const product = new Uint16Array(8);

/** Time stamp counter as the running code sees it: scaled and moved by the guest's owner (SDM vol. 3, 26.6.5; APM vol. 2, 15.30.5). */
export function readTimeStampCounter(unit: SystemUnit, out: Int32Array): void {
  unit.time.tsc(out);
  const controls = unit.interception?.controls;
  if (controls?.isGuest !== true) return;
  const { tscMultiplierLow, tscMultiplierHigh, tscOffsetLow, tscOffsetHigh } = controls;
  if ((tscMultiplierLow | tscMultiplierHigh) !== 0) {
    spread(left, out[0], out[1]);
    spread(right, tscMultiplierLow, tscMultiplierHigh);
    multiply();
    out[0] = product[3] | (product[4] << 16);
    out[1] = product[5] | (product[6] << 16);
  }
  const low = (out[0] >>> 0) + (tscOffsetLow >>> 0);
  out[1] += tscOffsetHigh + (low > 0xffff_ffff ? 1 : 0);
  out[0] = low;
}

function spread(digits: Uint16Array, low: number, high: number): void {
  digits[0] = low;
  digits[1] = low >>> 16;
  digits[2] = high;
  digits[3] = high >>> 16;
}

/** Digits of 16 bits: their products' sums stay far below 2^53. */
function multiply(): void {
  let carry = 0;
  for (let place = 0; place < 8; place++) {
    let sum = carry;
    for (let i = Math.max(0, place - 3); i <= Math.min(3, place); i++) sum += left[i] * right[place - i];
    product[place] = sum;
    carry = Math.floor(sum / 0x1_0000);
  }
}
