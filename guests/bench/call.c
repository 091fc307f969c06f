// Calls and returns: recursion to depth 18 with a stack frame each, and calls with six arguments.
#include "kernel.h"

#define FIBONACCI 18

__attribute__((noipa)) static uint64_t fibonacci(uint64_t n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__attribute__((noipa)) static uint64_t six(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                                           uint64_t f) {
  return a + (b ^ c) - (d & e) + 3 * f;
}

__attribute__((noipa)) static uint64_t nested(uint64_t a, uint64_t b) {
  return six(a, b, a + b, a - b, a ^ b, six(b, a, 1, 2, 3, a & b));
}

uint64_t call_run(uint64_t iterations) {
  uint64_t sum = 1;
  for (uint64_t i = 0; i < iterations; i++) {
    sum = mix(sum, fibonacci(FIBONACCI) + i);
    for (int k = 0; k < 1000; k++) sum += nested(sum, i);
  }
  return sum;
}
