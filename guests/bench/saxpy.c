// y = a x + y on 4,096 floats, four at a time, aligned.
#include <xmmintrin.h>

#include "kernel.h"
#include "memory.h"

#define COUNT 4096

static float *x, *y;

void saxpy_prepare(void) {
  x = memory_take(4 * COUNT, 64);
  y = memory_take(4 * COUNT, 64);
}

uint64_t saxpy_run(uint64_t iterations) {
  // Signs change so that y stays small.
  static const float factors[4] = {0.75f, -0.3f, 0.0625f, -0.5f};
  for (int i = 0; i < COUNT; i++) {
    x[i] = (float)(i % 251) * 0.01f - 1.25f;
    y[i] = (float)(i % 127) * 0.03f - 1.9f;
  }
  for (uint64_t i = 0; i < iterations; i++) {
    __m128 a = _mm_set1_ps(factors[i & 3]);
    for (int k = 0; k < COUNT; k += 8) {
      __m128 p = _mm_mul_ps(a, _mm_load_ps(x + k)), q = _mm_mul_ps(a, _mm_load_ps(x + k + 4));
      _mm_store_ps(y + k, _mm_add_ps(p, _mm_load_ps(y + k)));
      _mm_store_ps(y + k + 4, _mm_add_ps(q, _mm_load_ps(y + k + 4)));
    }
  }
  return mix_words(1, y, 4 * COUNT);
}
