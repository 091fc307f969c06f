// Whole numbers: whatever is divided, quotient * divisor + remainder must give it back.
#include <stdint.h>

#include "selftest.h"

#define ROUNDS 20000

__extension__ typedef unsigned __int128 wide;

/** Marsaglia's xorshift. */
static uint64_t next_random(uint64_t *state) {
  uint64_t x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

/** DIV: 128 bits by 64. The quotient must fit 64 bits, so `high` must be below `divisor`. */
static uint64_t divide(uint64_t high, uint64_t low, uint64_t divisor, uint64_t *remainder) {
  uint64_t quotient;
  __asm__("divq %4" : "=a"(quotient), "=d"(*remainder) : "a"(low), "d"(high), "rm"(divisor) : "cc");
  return quotient;
}

/** Multiplication as at school, in base 2. */
static wide multiply_by_shifts(uint64_t a, uint64_t b) {
  wide product = 0, shifted = a;
  for (; b; b >>= 1, shifted <<= 1)
    if (b & 1) product += shifted;
  return product;
}

enum outcome test_integer(void) {
  uint64_t random = 20260101;
  for (int i = 0; i < ROUNDS; i++) {
    if (i % 2000 == 0) test_progress();
    uint64_t divisor = next_random(&random) >> (i & 31) | 1; // of many sizes, never 0
    uint64_t high = next_random(&random) % divisor, low = next_random(&random), remainder;
    uint64_t quotient = divide(high, low, divisor, &remainder);
    wide back = (wide)quotient * divisor + remainder;
    if (remainder >= divisor || (uint64_t)(back >> 64) != high || (uint64_t)back != low) return FAILED;
    if (i % 64 == 0 && multiply_by_shifts(high, low) != (wide)high * low) return FAILED;
  }
  return OK;
}
