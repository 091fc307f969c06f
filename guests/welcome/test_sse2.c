// SSE2: four integers or two floating-point numbers at a time. This file may use vector registers (../flags.sh).
#include <emmintrin.h>
#include <stdint.h>

#include "selftest.h"

#define COUNT 1024 // a multiple of 4

static int32_t a[COUNT] __attribute__((aligned(16))), b[COUNT] __attribute__((aligned(16)));
static int32_t sums[COUNT] __attribute__((aligned(16)));

static int integers_agree(void) {
  for (int i = 0; i < COUNT; i += 4) {
    __m128i x = _mm_load_si128((const __m128i *)(a + i)), y = _mm_load_si128((const __m128i *)(b + i));
    __m128i greater = _mm_cmpgt_epi32(x, y); // all bits of an element, or none
    __m128i sum = _mm_and_si128(greater, _mm_add_epi32(x, y));
    __m128i difference = _mm_andnot_si128(greater, _mm_sub_epi32(x, y));
    __m128i chosen = _mm_or_si128(sum, difference);
    _mm_store_si128((__m128i *)(sums + i), _mm_xor_si128(chosen, _mm_slli_epi32(x, 3)));
  }
  for (int i = 0; i < COUNT; i++) {
    uint32_t x = (uint32_t)a[i], y = (uint32_t)b[i];
    if ((uint32_t)sums[i] != ((a[i] > b[i] ? x + y : x - y) ^ x << 3)) return 0;
  }
  return 1;
}

/** Pi from arctan(1/5) and arctan(1/239), both series in one register (Machin, 1706). */
static int pi_is_right(void) {
  __m128d square = _mm_set_pd(1.0 / (239 * 239), 1.0 / 25), power = _mm_set_pd(1.0 / 239, 1.0 / 5);
  __m128d sum = _mm_setzero_pd();
  for (int n = 0; n < 24; n++) {
    __m128d term = _mm_div_pd(power, _mm_set1_pd(2 * n + 1));
    sum = n & 1 ? _mm_sub_pd(sum, term) : _mm_add_pd(sum, term);
    power = _mm_mul_pd(power, square);
  }
  double both[2];
  _mm_storeu_pd(both, sum);
  double error = 16 * both[0] - 4 * both[1] - 3.14159265358979323846;
  return error > -1e-14 && error < 1e-14;
}

enum outcome test_sse2(void) {
  uint32_t random = 1;
  for (int i = 0; i < COUNT; i++) {
    a[i] = (int32_t)(random = random * 1664525 + 1013904223);
    b[i] = (int32_t)(random = random * 1664525 + 1013904223);
  }
  test_progress();
  if (!integers_agree()) return FAILED;
  test_progress();
  return pi_is_right() ? OK : FAILED;
}
