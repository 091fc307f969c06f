// Extended precision: FADD, FSUB, FMUL, FDIV, FSQRT, FILD and FISTP with changes of the rounding mode. None
// of the transcendental instructions, whose last bits differ between processors.
#include "kernel.h"

static inline long double square_root(long double v) {
  __asm__("fsqrt" : "+t"(v));
  return v;
}

static uint64_t mix_extended(uint64_t hash, const long double *v) {
  const uint8_t *bytes = (const uint8_t *)v;
  return mix(mix(hash, *(const uint64_t *)bytes), *(const uint16_t *)(bytes + 8));
}

uint64_t x87_run(uint64_t iterations) {
  long double x = 0.4L, y = 2, z = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    x = 3.875L * x * (1 - x); // the logistic map stays within 0 to 1
    y = square_root(y + x);
    z = z * 0.96875L + x / (y + 1);
    int64_t whole = (int64_t)(z * 1048576);
    z -= (long double)(whole & 1023) * 0x1p-30L;
  }
  uint64_t hash = mix_extended(1, &x);
  hash = mix_extended(hash, &y);
  return mix_extended(hash, &z);
}
