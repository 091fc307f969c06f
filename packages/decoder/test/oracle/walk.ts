const stride = 16;
const batch = 1 << 16;

/** Bytes behind ModRM: SIB, displacement, immediates. Not symmetric, so that a wrong offset shows. */
const tail = [0x65, 0x83, 0x14, 0xa7, 0x36, 0xd9, 0x4b, 0x72, 0x1e];

/** Register forms, every rm with and without displacement, SIB with and without index and base. */
const modrmClasses: number[][] = [];
for (let modrm = 0; modrm < 256; modrm++) {
  modrmClasses.push([modrm, ...tail]);
  if ((modrm & 7) === 4 && modrm < 0xc0) modrmClasses.push([modrm, 0x25, ...tail.slice(1)]);
}

/** For the long payload products: all regs in register form with two rm, and the memory forms of two regs. */
const fewModrm = modrmClasses.filter(([modrm]) =>
  modrm >= 0xc0 ? (modrm & 7) === 1 || (modrm & 7) === 6 : (modrm & 0x38) === 0x08 || (modrm & 0x38) === 0x30,
);

/**
 * Every opcode of every map with every class of prefixes, REX, VEX, XOP and EVEX payload and ModRM; some 40 million strings in 64-bit mode, 20
 * million in the others. Strings stand at multiples of `stride`.
 *
 * @param every use only one of so many, evenly spread (1: all)
 */
export function walk(mode: 16 | 32 | 64, use: (buffer: Uint8Array, stride: number) => void, every = 1): void {
  const buffer = new Uint8Array(batch * stride);
  let filled = 0;
  let turn = 0;
  const emit = (head: readonly number[], rest: readonly number[]): void => {
    if (every > 1 && turn++ % every !== 0) return;
    const start = filled * stride;
    let at = start;
    for (const byte of head) buffer[at++] = byte;
    for (const byte of rest) if (at < start + stride) buffer[at++] = byte;
    while (at < start + stride) buffer[at++] = 0x5a;
    if (++filled === batch) {
      use(buffer, stride);
      filled = 0;
    }
  };
  walkLegacy(mode, emit);
  walkVex(mode, emit);
  walkXop(mode, emit);
  walkEvex(mode, emit);
  if (filled > 0) use(buffer.subarray(0, filled * stride), stride);
}

type Emit = (head: readonly number[], rest: readonly number[]) => void;

function walkLegacy(mode: number, emit: Emit): void {
  const prefixClasses = [
    [],
    [0x66],
    [0xf3],
    [0xf2],
    [0x66, 0xf3],
    [0xf2, 0x66],
    [0xf3, 0xf2],
    [0x67],
    [0x67, 0x66],
    [0x67, 0xf3],
    [0x67, 0xf2],
    [0xf0],
    [0xf0, 0x66],
    [0x64],
    [0x2e, 0xf2],
  ];
  const rexClasses = mode === 64 ? [[], [0x40], [0x41], [0x42], [0x44], [0x48], [0x4d]] : [[]];
  const maps = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
  for (const map of maps) {
    for (let opcode = 0; opcode < 256; opcode++) {
      for (const prefixes of prefixClasses) {
        for (const rex of rexClasses) {
          const head = [...prefixes, ...rex, ...map, opcode];
          for (const rest of modrmClasses) emit(head, rest);
        }
      }
    }
  }
  for (let suffix = 0; suffix < 256; suffix++) {
    for (const modrm of [0xc0, 0xfe, 0x00, 0x3f]) {
      for (const rex of rexClasses) emit([...rex, 0x0f, 0x0f, modrm, suffix], tail);
    }
    emit([0x0f, 0x0f, 0x44, 0x51, 0x12, suffix], tail);
    emit([0x0f, 0x0f, 0x84, 0xe1, 0x12, 0x34, 0x56, 0x78, suffix], tail);
  }
}

function walkVex(mode: number, emit: Emit): void {
  const extensions = mode === 64 ? [0xe0, 0x00, 0x60, 0xa0, 0xc0] : [0xe0, 0xc0];
  for (let opcode = 0; opcode < 256; opcode++) {
    for (let low = 0; low < 8; low++) {
      for (const vvvv of [0x78, 0x38, 0x00]) {
        for (const r of mode === 64 ? [0x80, 0] : [0x80]) {
          if (mode !== 64 && vvvv < 0x40) continue;
          for (const rest of fewModrm) emit([0xc5, r | vvvv | low, opcode], rest);
        }
        for (const w of [0, 0x80]) {
          for (const map of [1, 2, 3, 5, 6, 7]) {
            for (const extension of extensions) {
              const rests = extension === 0xe0 && vvvv === 0x78 && map < 4 ? modrmClasses : fewModrm;
              for (const rest of rests) emit([0xc4, extension | map, w | vvvv | low, opcode], rest);
            }
          }
        }
      }
    }
  }
}

function walkXop(mode: number, emit: Emit): void {
  for (let opcode = 0; opcode < 256; opcode++) {
    for (let low = 0; low < 8; low++) {
      for (const vvvv of [0x78, 0x30]) {
        for (const w of [0, 0x80]) {
          for (const map of [8, 9, 10]) {
            for (const extension of mode === 64 ? [0xe0, 0x00] : [0xe0]) {
              for (const rest of fewModrm) emit([0x8f, extension | map, w | vvvv | low, opcode], rest);
            }
          }
        }
      }
    }
  }
}

function walkEvex(mode: number, emit: Emit): void {
  const shortModrm = fewModrm.filter(([modrm]) => modrm < 0xc0 || (modrm & 7) === 1);
  const masks = [0x08, 0x09, 0x89, 0x00, 0x8a];
  const extensions = mode === 64 ? [0xf0, 0x00, 0x90] : [0xf0];
  for (let opcode = 0; opcode < 256; opcode++) {
    for (const map of [1, 2, 3, 5, 6]) {
      for (let pp = 0; pp < 4; pp++) {
        for (const w of [0, 0x80]) {
          for (const vvvv of [0x78, 0x20]) {
            for (let length = 0; length < 4; length++) {
              for (const mask of masks) {
                for (const broadcast of [0, 0x10]) {
                  for (const extension of extensions) {
                    // Extension bits other than all and none only with the plainest payload: they do not select.
                    if (extension === 0x90 && (mask !== 0x08 || vvvv !== 0x78)) continue;
                    if (extension === 0x00 && mask === 0x8a) continue;
                    const head = [
                      0x62,
                      extension | map,
                      w | vvvv | 4 | pp,
                      mask | (length << 5) | broadcast,
                      opcode,
                    ];
                    const rests =
                      extension === 0xf0 && mask === 0x08 && vvvv === 0x78 ? shortModrm : shortestModrm;
                    for (const rest of rests) emit(head, rest);
                  }
                }
              }
            }
          }
        }
      }
    }
  }
}

const shortestModrm = modrmClasses.filter(([modrm]) => modrm === 0xd1 || modrm === 0x4c || modrm === 0x32);
