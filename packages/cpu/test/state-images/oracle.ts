import { spawnSync } from 'node:child_process';
import { nativeProgram } from '../harness/native-program.ts';

export const areaBytes = 4096;

/** Instructions by their number in oracle.c, with their bytes for an operand at [RBX]. */
export const loads: readonly (readonly [name: string, code: string])[] = [
  ['FXRSTOR', '0fae0b'],
  ['FXRSTOR64', '480fae0b'],
  ['XRSTOR', '0fae2b'],
  ['XRSTOR64', '480fae2b'],
  ['FRSTOR', 'dd23'],
  ['FRSTOR, 16 bits', '66dd23'],
  ['FLDENV', 'd923'],
  ['FLDENV, 16 bits', '66d923'],
];
/** The last two save twice. */
export const saves: readonly (readonly [name: string, code: string, then?: string])[] = [
  ['FXSAVE', '0fae03'],
  ['FXSAVE64', '480fae03'],
  ['XSAVE', '0fae23'],
  ['XSAVE64', '480fae23'],
  ['XSAVEOPT64', '480fae33'],
  ['XSAVEC64', '480fc723'],
  ['FNSAVE', 'dd33'],
  ['FNSAVE, 16 bits', '66dd33'],
  ['FNSTENV', 'd933'],
  ['FNSTENV, 16 bits', '66d933'],
  ['FNSTENV, FXSAVE64', 'd933', '480fae03'],
  ['FNSAVE, FXSAVE64', 'dd33', '480fae03'],
];

export interface StateCase {
  /** Numbers in `loads` and `saves`. */
  readonly load: number;
  readonly save: number;
  /** EAX for XRSTOR, XSAVE. */
  readonly loadMask: number;
  readonly saveMask: number;
  readonly area: Uint8Array;
  /** What is in the target before. */
  readonly target: Uint8Array;
}

export interface Host {
  readonly vendor: 'intel' | 'amd';
  readonly xcr0: number;
  readonly mxcsrMask: number;
  readonly dropsSelectors: boolean;
  /** Bits of an address, whether or not CPUID tells. */
  readonly linearBits: number;
  readonly features: number;
  readonly offsets: readonly number[];
  readonly alignedComponents: number;
}

const hostBytes = 4 * (5 + 1 + 32);

/** What the host processor makes of the cases: the target after the save, undefined where the load faulted. */
export function runOnHost(cases: readonly StateCase[]): { host: Host; results: (Uint8Array | undefined)[] } {
  const path = nativeProgram(new URL('oracle.c', import.meta.url), ['-mgeneral-regs-only']);
  const caseBytes = 16 + 2 * areaBytes;
  const input = Buffer.alloc(cases.length * caseBytes);
  for (const [i, { load, save, loadMask, saveMask, area, target }] of cases.entries()) {
    const at = i * caseBytes;
    for (const [j, word] of [load, save, loadMask, saveMask].entries())
      input.writeUInt32LE(word >>> 0, at + 4 * j);
    input.set(area, at + 16);
    input.set(target, at + 16 + areaBytes);
  }
  const { stdout, status, signal } = spawnSync(path, { input, maxBuffer: 2 ** 30 });
  if (status !== 0) throw new Error(`the oracle ended with ${status ?? signal}`);
  const word = (index: number): number => stdout.readUInt32LE(4 * index);
  const numbers = Array.from({ length: 16 }, (_, i) => i);
  const host: Host = {
    vendor: word(0) !== 0 ? 'amd' : 'intel',
    xcr0: word(1),
    mxcsrMask: word(2),
    dropsSelectors: word(3) !== 0,
    linearBits: word(4) !== 0 ? 57 : 48,
    features: word(5),
    offsets: numbers.map((i) => word(6 + i)),
    alignedComponents: numbers.reduce(
      (all, i) => (i > 1 && (word(22 + i) & 2) !== 0 ? all | (1 << i) : all),
      0,
    ),
  };
  const results = cases.map((_, i) => {
    const at = hostBytes + i * (4 + areaBytes);
    return stdout.readUInt32LE(at) !== 0 ? undefined : stdout.subarray(at + 4, at + 4 + areaBytes);
  });
  return { host, results };
}
