// AVX2: eight integers at a time. This file may use vector registers (../flags.sh).
#include <immintrin.h>
#include <stdint.h>

#include "boot.h"
#include "processor.h"
#include "selftest.h"

#define COUNT 1024 // a multiple of 8
#define XCR0_AVX 4u

static uint32_t values[COUNT] __attribute__((aligned(32))), results[COUNT] __attribute__((aligned(32)));

/** Each element times itself, rotated by a number of bits of its own, and the eight in opposite order. */
__attribute__((target("avx2"))) static void with_vectors(void) {
  const __m256i backwards = _mm256_set_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (int i = 0; i < COUNT; i += 8) {
    __m256i x = _mm256_load_si256((const __m256i *)(values + i));
    __m256i product = _mm256_mullo_epi32(x, x);
    __m256i by = _mm256_and_si256(x, _mm256_set1_epi32(31));
    __m256i rotated = _mm256_or_si256(_mm256_sllv_epi32(product, by),
                                      _mm256_srlv_epi32(product, _mm256_sub_epi32(_mm256_set1_epi32(32), by)));
    _mm256_store_si256((__m256i *)(results + i), _mm256_permutevar8x32_epi32(rotated, backwards));
  }
}

static uint32_t in_plain_c(uint32_t x) {
  uint32_t product = x * x, by = x & 31;
  return by ? product << by | product >> (32 - by) : product;
}

enum outcome test_avx2(void) {
  // The processor has it, and start-up has enabled the registers.
  if (!cpuid_bit(7, EBX, 5) || !(boot.xcr0 & XCR0_AVX)) return SKIPPED;
  uint32_t random = 2;
  for (int i = 0; i < COUNT; i++) values[i] = random = random * 1664525 + 1013904223;
  test_progress();
  with_vectors();
  test_progress();
  for (int i = 0; i < COUNT; i++)
    if (results[i] != in_plain_c(values[i ^ 7])) return FAILED;
  return OK;
}
