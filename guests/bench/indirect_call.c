// Indirect calls through a table of 64 functions in an order that a predictor cannot learn at once: it
// repeats after 4,096 calls.
#include "kernel.h"

#define CALLS 4096

typedef uint64_t function(uint64_t x, uint64_t y);

// The constants differ so that no two functions are the same.
#define FUNCTION(n)                                                            \
  __attribute__((noipa)) static uint64_t function_##n(uint64_t x, uint64_t y) { \
    return ((x ^ (n + 1)) + y) * (2 * n + 3);                                  \
  }
#define EIGHT(apply, n) \
  apply(n##0) apply(n##1) apply(n##2) apply(n##3) apply(n##4) apply(n##5) apply(n##6) apply(n##7)
// Octal numbers: 00 to 077.
#define ALL(apply) \
  EIGHT(apply, 0) EIGHT(apply, 01) EIGHT(apply, 02) EIGHT(apply, 03) \
  EIGHT(apply, 04) EIGHT(apply, 05) EIGHT(apply, 06) EIGHT(apply, 07)

ALL(FUNCTION)

#define NAME(n) function_##n,
static function *const table[64] = {ALL(NAME)};

uint64_t indirect_call_run(uint64_t iterations) {
  uint64_t x = 1;
  for (uint64_t i = 0; i < iterations; i++) {
    uint32_t order = 12345;
    for (int k = 0; k < CALLS; k++) {
      order = order * 1664525 + 1013904223;
      x = table[order >> 26](x, i);
    }
    x ^= x >> 29;
  }
  return x;
}
