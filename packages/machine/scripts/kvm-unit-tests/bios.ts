import type { Machine } from '../../src/index.ts';

/** Vectors of the two 8259s in real mode. */
const masterVectors = 0x08;
const slaveVectors = 0x70;
const linesEach = 8;

/** In the BIOS's segment F000h: IRET, where it always was; then handlers that tell one 8259, or both, that they are done. */
const segment = 0xf000;
const ignore = { offset: 0xff53, code: [0xcf] } as const;
/** push ax; mov al,20h; out 20h,al; pop ax; iret */
const masterDone = { offset: 0xff60, code: [0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf] } as const;
/** push ax; mov al,20h; out 0A0h,al; out 20h,al; pop ax; iret */
const bothDone = { offset: 0xff70, code: [0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf] } as const;

/**
 * What a BIOS leaves behind and the test `realmode` counts on, which wakes from HLT by the timer's ticks: vectors of real mode, both 8259s initialised with
 * timer, keyboard and cascade open, channel 0 of the 8254 at 18.2 Hz. Our machine has no BIOS. For behind `start`.
 */
export function leaveAsBios({ physical, pc }: Machine): void {
  for (const { offset, code } of [ignore, masterDone, bothDone])
    physical.writeBytes((segment << 4) + offset, Uint8Array.from(code));
  const vectors = new Uint16Array(256 * 2);
  for (let vector = 0; vector < 256; vector++) {
    const isIn = (first: number): boolean => vector >= first && vector < first + linesEach;
    const handler = isIn(masterVectors) ? masterDone : isIn(slaveVectors) ? bothDone : ignore;
    vectors.set([handler.offset, segment], vector * 2);
  }
  physical.writeBytes(0, new Uint8Array(vectors.buffer));
  const out = (port: number, ...values: readonly number[]): void => {
    for (const value of values) pc.ports.write(port, 1, value);
  };
  // ICW1 to ICW4, then the mask.
  out(0x20, 0x11);
  out(0x21, masterVectors, 4, 1, 0xf8);
  out(0xa0, 0x11);
  out(0xa1, slaveVectors, 2, 1, 0xff);
  // Channel 0: both bytes, mode 2, 65,536.
  out(0x43, 0x34);
  out(0x40, 0, 0);
}
