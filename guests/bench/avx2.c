// 256-bit integers and fused multiply-add over 8 KiB: VPMULLD, VPSHUFB, VPERMD, VPGATHERDD, compares and
// blends.
#include <immintrin.h>

#include "boot.h"
#include "cpu.h"
#include "kernel.h"
#include "memory.h"

#define COUNT 2048 // 32-bit integers, and as many floats

#define XCR0_AVX 4u
#define CPUID_1_ECX_FMA (1u << 12)
#define CPUID_7_EBX_AVX2 (1u << 5)

static uint32_t *integers;
static float *floats;

const char *avx2_unavailable(void) {
  if (!(boot.xcr0 & XCR0_AVX)) return "no AVX";
  if (cpuid(0, 0).eax < 7 || !(cpuid(7, 0).ebx & CPUID_7_EBX_AVX2)) return "no AVX2";
  return cpuid(1, 0).ecx & CPUID_1_ECX_FMA ? NULL : "no FMA";
}

void avx2_prepare(void) {
  integers = memory_take(4 * COUNT, 64);
  floats = memory_take(4 * COUNT, 64);
}

__attribute__((target("avx2,fma"), noinline)) static void pass(uint32_t turn) {
  const __m256i multiplier = _mm256_set1_epi32((int)0x9e3779b1);
  const __m256i turn8 = _mm256_set1_epi32((int)turn);
  const __m256i bytes = _mm256_setr_epi8(1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, //
                                         3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
  const __m256i lanes = _mm256_setr_epi32(5, 0, 3, 6, 1, 7, 2, 4);
  const __m256i index_mask = _mm256_set1_epi32(COUNT - 1);
  const __m256 shrink = _mm256_set1_ps(0.8125f);
  const __m256 unit = _mm256_set1_ps(1.0f / 2147483648.0f);
  for (int k = 0; k < COUNT; k += 8) {
    __m256i v = _mm256_load_si256((const __m256i *)(integers + k));
    v = _mm256_add_epi32(_mm256_mullo_epi32(v, multiplier), turn8);
    v = _mm256_xor_si256(v, _mm256_srli_epi32(v, 15));
    v = _mm256_shuffle_epi8(v, bytes);
    __m256i far = _mm256_i32gather_epi32((const int *)integers, _mm256_and_si256(v, index_mask), 4);
    v = _mm256_sub_epi32(_mm256_permutevar8x32_epi32(v, lanes), far);
    __m256i larger = _mm256_cmpgt_epi32(v, far);
    v = _mm256_blendv_epi8(v, _mm256_max_epu32(v, turn8), larger);
    _mm256_store_si256((__m256i *)(integers + k), v);
    __m256 f = _mm256_load_ps(floats + k);
    f = _mm256_fmadd_ps(f, shrink, _mm256_mul_ps(_mm256_cvtepi32_ps(v), unit));
    f = _mm256_fnmadd_ps(f, _mm256_mul_ps(f, unit), f);
    _mm256_store_ps(floats + k, f);
  }
}

uint64_t avx2_run(uint64_t iterations) {
  fill_random(integers, 4 * COUNT, 2);
  for (int i = 0; i < COUNT; i++) floats[i] = (float)(i % 97) * 0.02f;
  for (uint64_t i = 0; i < iterations; i++) pass((uint32_t)i);
  return mix_words(mix_words(1, integers, 4 * COUNT), floats, 4 * COUNT);
}
