import { type DecoderFeature, EncodingSpace, type Instruction } from '@nest86/decoder';
import { cpuidFeatures } from '@nest86/decoder/info';
import { type CpuidBit, CpuidReader } from '../system/cpuid-bits.ts';
import type { CpuidSource } from '../system/unit.ts';

const [EAX, EBX, ECX, EDX] = [0, 1, 2, 3];
const extended = 0x8000_0001 | 0;
const addressSizes = 0x8000_0008 | 0;

/** Bits of CPUID by the decoder's names of features (SDM vol. 2A, CPUID; APM vol. 3, appendix E). What is not here needs no bit. */
export const featureBits: Readonly<Record<string, CpuidBit>> = {
  FPU: [1, 0, EDX, 0],
  FPU287: [1, 0, EDX, 0],
  FPU387: [1, 0, EDX, 0],
  TSC: [1, 0, EDX, 4],
  MSR: [1, 0, EDX, 5],
  CX8: [1, 0, EDX, 8],
  SEP: [1, 0, EDX, 11],
  CMOV: [1, 0, EDX, 15],
  CLFSH: [1, 0, EDX, 19],
  MMX: [1, 0, EDX, 23],
  FXSR: [1, 0, EDX, 24],
  SSE: [1, 0, EDX, 25],
  SSE2: [1, 0, EDX, 26],
  SSE3: [1, 0, ECX, 0],
  PCLMULQDQ: [1, 0, ECX, 1],
  MONITOR: [1, 0, ECX, 3],
  VMX: [1, 0, ECX, 5],
  SMX: [1, 0, ECX, 6],
  SSSE3: [1, 0, ECX, 9],
  FMA: [1, 0, ECX, 12],
  CMPXCHG16B: [1, 0, ECX, 13],
  SSE4_1: [1, 0, ECX, 19],
  SSE4_2: [1, 0, ECX, 20],
  MOVBE: [1, 0, ECX, 22],
  POPCNT: [1, 0, ECX, 23],
  AES: [1, 0, ECX, 25],
  XSAVE: [1, 0, ECX, 26],
  AVX: [1, 0, ECX, 28],
  F16C: [1, 0, ECX, 29],
  RDRAND: [1, 0, ECX, 30],
  FSGSBASE: [7, 0, EBX, 0],
  BMI1: [7, 0, EBX, 3],
  AVX2: [7, 0, EBX, 5],
  BMI2: [7, 0, EBX, 8],
  INVPCID: [7, 0, EBX, 10],
  RDSEED: [7, 0, EBX, 18],
  ADX: [7, 0, EBX, 19],
  SMAP: [7, 0, EBX, 20],
  CLFLUSHOPT: [7, 0, EBX, 23],
  CLWB: [7, 0, EBX, 24],
  SHA: [7, 0, EBX, 29],
  PKU: [7, 0, ECX, 3],
  WAITPKG: [7, 0, ECX, 5],
  GFNI: [7, 0, ECX, 8],
  VAES: [7, 0, ECX, 9],
  VPCLMULQDQ: [7, 0, ECX, 10],
  RDPID: [7, 0, ECX, 22],
  MOVDIRI: [7, 0, ECX, 27],
  MOVDIR64B: [7, 0, ECX, 28],
  SERIALIZE: [7, 0, EDX, 14],
  MSR_IMM: [7, 1, ECX, 5],
  CMPCCXADD: [7, 1, EAX, 7],
  WRMSRNS: [7, 1, EAX, 19],
  XSAVEOPT: [13, 1, EAX, 0],
  XSAVEC: [13, 1, EAX, 1],
  XSAVES: [13, 1, EAX, 3],
  RDTSCP: [extended, 0, EDX, 27],
  '3DNOW': [extended, 0, EDX, 31],
  SVM: [extended, 0, ECX, 2],
  LZCNT: [extended, 0, ECX, 5],
  SSE4A: [extended, 0, ECX, 6],
  XOP: [extended, 0, ECX, 11],
  FMA4: [extended, 0, ECX, 16],
  TBM: [extended, 0, ECX, 21],
  MONITORX: [extended, 0, ECX, 29],
  CLZERO: [addressSizes, 0, EBX, 0],
  WBNOINVD: [addressSizes, 0, EBX, 9],
};
/** Either shows SYSCALL: Intel sets the first in 64-bit code only (S3-08), but a processor with long mode has it. */
const syscallBits: readonly CpuidBit[] = [
  [extended, 0, EDX, 11],
  [extended, 0, EDX, 29],
];

/** Instructions whose bytes mean something else without their feature: TZCNT is BSF, LZCNT BSR, WBNOINVD WBINVD. */
const redefinitions: readonly (readonly [feature: DecoderFeature, needs: string])[] = [
  ['tzcnt', 'BMI1'],
  ['lzcnt', 'LZCNT'],
  ['wbnoinvd', 'WBNOINVD'],
];
/** Not there at all: their bytes are what they were before, mostly NOP. */
const neverThere: readonly DecoderFeature[] = ['apx', 'mpx', 'cet'];

/** The instructions that a processor has, by what CPUID says. Asked once for each instruction that is translated. */
export class InstructionSet {
  /** What the decoder is to read as what it was before. */
  readonly disabled: readonly DecoderFeature[];
  /** By encoding: 0 not asked yet, 1 there, 2 not there. */
  private readonly known = new Uint8Array(1 << 14);
  private readonly present: (feature: string) => boolean;

  /** @param cpuid left out: all that the engine knows */
  constructor(cpuid: CpuidSource | undefined) {
    if (cpuid === undefined) this.present = () => true;
    else {
      const reader = new CpuidReader(cpuid);
      this.present = (feature) =>
        feature === 'SYSCALL'
          ? syscallBits.some((bit) => reader.has(bit))
          : !Object.hasOwn(featureBits, feature) || reader.has(featureBits[feature]);
    }
    this.disabled = [
      ...neverThere,
      ...redefinitions.filter(([, needs]) => !this.present(needs)).map(([feature]) => feature),
    ];
  }

  /** Whether an instruction is there; if not, it raises #UD whatever the mode. */
  has(instruction: Instruction): boolean {
    const { known } = this;
    const { encoding } = instruction;
    if (known[encoding] === 0)
      known[encoding] = isHint(instruction) || cpuidFeatures(encoding).every(this.present) ? 1 : 2;
    return known[encoding] === 1;
  }
}

/** 0F 0D and 0F 18 to 0F 1F: what has no meaning there, or not yet, is a NOP (SDM vol. 2, NOP; PREFETCHh). */
function isHint({ space, opcodeMap, opcode }: Instruction): boolean {
  if (space !== EncodingSpace.legacy || opcodeMap !== 1) return false;
  return opcode === 0x0d || (opcode >= 0x18 && opcode <= 0x1f);
}
