// Integer arithmetic in which each operation waits for the one before; no memory, 64 and 32 bits wide.
#include "kernel.h"

uint64_t alu_run(uint64_t iterations) {
  uint64_t x = 0x0123456789abcdefull;
  for (uint64_t i = iterations; i; i--) {
    x ^= x << 13;
    x += i;
    x = x << 29 | x >> 35;
    x -= x >> 11;
    x *= 0xd1342543de82ef95ull;
    uint32_t low = (uint32_t)x;
    low = low << 7 | low >> 25;
    low ^= 0x5bd1e995u;
    low += low << 3;
    x = (x >> 32 ^ low) + (x & 0xffffffff00000000ull);
    x = (int64_t)x < 0 ? x ^ 0x1b : x + 3;
    x = ~x;
  }
  return x;
}
