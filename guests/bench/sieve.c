// Sieve of Eratosthenes with a byte per number. The checksum is made of count and sum of the primes.
#include "kernel.h"
#include "memory.h"

#define LIMIT 262144u

static uint8_t *composite;

void sieve_prepare(void) { composite = memory_take(LIMIT, 64); }

uint64_t sieve_run(uint64_t iterations) {
  uint64_t hash = 1;
  for (uint64_t i = 0; i < iterations; i++) {
    uint64_t *words = (uint64_t *)composite;
    for (uint32_t w = 0; w < LIMIT / 8; w++) words[w] = 0;
    uint64_t count = 0, sum = 0;
    for (uint32_t n = 2; n < LIMIT; n++) {
      if (composite[n]) continue;
      count++;
      sum += n;
      if (n >= 512) continue; // 512 squared is LIMIT
      for (uint32_t m = n * n; m < LIMIT; m += n) composite[m] = 1;
    }
    hash = mix(hash, count << 40 ^ sum);
  }
  return hash;
}
