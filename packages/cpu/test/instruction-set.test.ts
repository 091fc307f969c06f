import { describe, expect, test } from 'vitest';
import { featureBits } from '../src/records/instruction-set.ts';
import type { CpuidSource } from '../src/system/unit.ts';
import { BareProcessor } from './bare-processor.ts';

/** CPUID with every bit set but those of one register's bit. */
function allBut(...absent: readonly (readonly number[])[]): CpuidSource {
  return {
    read: (leaf, subleaf, out) => {
      out.fill(-1);
      if (leaf === 0) out[0] = 31;
      if (leaf === 0x8000_0000 >> 0) out[0] = 0x8000_0021 | 0;
      for (const [at, sub, register, bit] of absent)
        if (leaf === at && subleaf === sub) out[register] &= ~(1 << bit);
    },
  };
}

const code = 0x10_0000;
const page = 0x20_0000;

/** Runs one instruction with all general registers on writable memory; its exception's vector, or -1. */
function run(bytes: readonly number[], cpuid: CpuidSource | undefined) {
  const options = { ramSize: 4 << 20, recordBytes: 65536 } as const;
  const cpu = new BareProcessor({ ...options, ...(cpuid === undefined ? {} : { cpuid }) });
  cpu.context.set({ efer: 0xd01 });
  cpu.processor.stateChanged();
  for (let i = 0; i < 16; i++) cpu.setRegister(i, BigInt(page));
  cpu.ram.set(bytes, code);
  cpu.ram[code + bytes.length] = 0xf4;
  cpu.rip = code;
  cpu.processor.run(1);
  return { cpu, vector: cpu.seen?.vector ?? -1 };
}

const hex = (text: string): number[] => text.split(' ').map((byte) => Number.parseInt(byte, 16));

/** An instruction of each feature; those that the engine does not have are missing. */
const samples: Readonly<Record<string, string>> = {
  FPU: 'd9 ee', // fldz
  FPU287: 'df e0', // fnstsw ax
  FPU387: 'd9 fe', // fsin
  TSC: '0f 31', // rdtsc
  CX8: '0f c7 08', // cmpxchg8b [rax]
  CMOV: '0f 44 c1', // cmove eax, ecx
  CLFSH: '0f ae 38', // clflush [rax]
  MMX: '0f fc c1', // paddb mm0, mm1
  FXSR: '0f ae 00', // fxsave [rax]
  SSE: '0f 58 c1', // addps xmm0, xmm1
  SSE2: '66 0f 58 c1', // addpd xmm0, xmm1
  SSE3: 'f2 0f 7c c1', // haddps xmm0, xmm1
  PCLMULQDQ: '66 0f 3a 44 c1 00', // pclmulqdq xmm0, xmm1, 0
  SSSE3: '66 0f 38 00 c1', // pshufb xmm0, xmm1
  FMA: 'c4 e2 71 98 c2', // vfmadd132ps xmm0, xmm1, xmm2
  CMPXCHG16B: '48 0f c7 08', // cmpxchg16b [rax]
  SSE4_1: '66 0f 38 17 c1', // ptest xmm0, xmm1
  SSE4_2: '66 0f 38 37 c1', // pcmpgtq xmm0, xmm1
  MOVBE: '0f 38 f0 00', // movbe eax, [rax]
  POPCNT: 'f3 0f b8 c1', // popcnt eax, ecx
  AES: '66 0f 38 dc c1', // aesenc xmm0, xmm1
  AVX: 'c5 f0 58 c2', // vaddps xmm0, xmm1, xmm2
  F16C: 'c4 e2 79 13 c1', // vcvtph2ps xmm0, xmm1
  RDRAND: '0f c7 f0', // rdrand eax
  BMI1: 'c4 e2 70 f2 c2', // andn eax, ecx, edx
  AVX2: 'c5 f5 fc c2', // vpaddb ymm0, ymm1, ymm2
  BMI2: 'c4 e2 f3 f6 c2', // mulx rax, rcx, rdx
  RDSEED: '0f c7 f8', // rdseed eax
  ADX: '66 0f 38 f6 c1', // adcx eax, ecx
  SMAP: '0f 01 cb', // stac
  CLFLUSHOPT: '66 0f ae 38', // clflushopt [rax]
  CLWB: '66 0f ae 30', // clwb [rax]
  SHA: '0f 38 c8 c1', // sha1nexte xmm0, xmm1
  GFNI: '66 0f 38 cf c1', // gf2p8mulb xmm0, xmm1
  VAES: 'c4 e2 75 dc c2', // vaesenc ymm0, ymm1, ymm2
  VPCLMULQDQ: 'c4 e3 75 44 c2 00', // vpclmulqdq ymm0, ymm1, ymm2, 0
  RDPID: 'f3 0f c7 f8', // rdpid rax
  MOVDIRI: '0f 38 f9 08', // movdiri [rax], ecx
  SERIALIZE: '0f 01 e8', // serialize
  RDTSCP: '0f 01 f9', // rdtscp
  SSE4A: '66 0f 79 c1', // extrq xmm0, xmm1
};

describe('an instruction whose feature CPUID does not show', () => {
  test.each(Object.entries(samples))('%s: #UD', (feature, text) => {
    expect(featureBits[feature]).toBeDefined();
    const without = allBut(featureBits[feature]);
    expect(run(hex(text), allBut()).vector, 'with the feature').toBe(-1);
    expect(run(hex(text), without).vector, 'without it').toBe(6);
  });

  test('services are asked too', () => {
    // rdmsr: #GP for an unknown register, #UD without MSRs.
    expect(run(hex('0f 32'), allBut()).vector).toBe(13);
    expect(run(hex('0f 32'), allBut([1, 0, 3, 5])).vector).toBe(6);
  });

  test('SYSCALL is there by either of its bits', () => {
    // Bit 11 of 80000001h.EDX, which Intel shows in 64-bit code only, or long mode.
    const leaf = 0x8000_0001 | 0;
    expect(run(hex('0f 05'), allBut([leaf, 0, 3, 11])).vector).toBe(-1);
    expect(run(hex('0f 05'), allBut([leaf, 0, 3, 11], [leaf, 0, 3, 29])).vector).toBe(6);
  });

  test('#UD comes before #NM', () => {
    const { cpu } = run(hex('d9 ee'), allBut(featureBits.FPU));
    expect(cpu.seen?.vector).toBe(6);
  });
});

describe('bytes that mean something else without their feature', () => {
  const result = (text: string, cpuid: CpuidSource) => {
    const { cpu, vector } = run(hex(text), cpuid);
    expect(vector).toBe(-1);
    return Number(cpu.register(0));
  };

  test('TZCNT and LZCNT are BSF and BSR', () => {
    // The operand is 200000h: 21 zeros below, 10 above.
    expect(result('f3 0f bc c1', allBut())).toBe(21);
    expect(result('f3 0f bd c1', allBut())).toBe(10);
    expect(result('f3 0f bd c1', allBut(featureBits.LZCNT))).toBe(21);
    // BSF of 0 keeps the destination, TZCNT gives 32.
    const zero = (cpuid: CpuidSource) => {
      const cpu = new BareProcessor({ recordBytes: 65536, ramSize: 4 << 20, cpuid });
      cpu.setRegister(0, 7n);
      cpu.ram.set(hex('f3 0f bc c1 f4'), code);
      cpu.rip = code;
      cpu.processor.run(1);
      return cpu.register(0);
    };
    expect(zero(allBut())).toBe(32n);
    expect(zero(allBut(featureBits.BMI1))).toBe(7n);
  });

  test.each([
    ['prefetcht0 [rax]', '0f 18 08'],
    ['prefetchw [rax]', '0f 0d 08'],
    ['prefetchit0 [rip]', '0f 18 3d 00 00 00 00'],
    ['prefetchrst2 [rax]', '0f 18 20'],
    ['cldemote [rax]', '0f 1c 00'],
    ['bndmov bnd0, bnd1', '66 0f 1a c1'],
    ['bndcl bnd0, rax', 'f3 0f 1a c0'],
    ['endbr64', 'f3 0f 1e fa'],
    ['rdsspq rcx', 'f3 48 0f 1e c9'],
    ['ibhf', 'f3 48 0f 1e f8'],
    ['pause', 'f3 90'],
    ['nop [rax]', '0f 1f 00'],
  ])('%s is a NOP on whatever processor', (_name, text) => {
    const nothing: CpuidSource = { read: (_leaf, _subleaf, out) => out.fill(0) };
    for (const cpuid of [nothing, allBut(), undefined]) {
      const { cpu, vector } = run(hex(text), cpuid);
      expect(vector).toBe(-1);
      expect(cpu.register(0)).toBe(BigInt(page));
      expect(cpu.register(1)).toBe(BigInt(page));
      expect(cpu.rip).toBe(BigInt(code + hex(text).length));
    }
  });

  test('XACQUIRE and XRELEASE are ignored', () => {
    const { cpu, vector } = run(hex('f2 f0 01 08'), allBut());
    expect(vector).toBe(-1);
    expect(new DataView(cpu.ram.buffer, cpu.ram.byteOffset).getInt32(page, true)).toBe(page);
  });
});
