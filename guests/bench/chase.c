// Pointer chase: one random cycle through the 1,048,576 lines of 64 MiB, in pages of 2 MiB.
#include "kernel.h"
#include "memory.h"

#define LINE 64
#define LINES (1u << 20)
#define STEPS 1024 // an iteration

static uint8_t *lines;

static inline uint64_t *line(uint64_t index) { return (uint64_t *)(lines + LINE * index); }

void chase_prepare(void) {
  lines = memory_take((size_t)LINE * LINES, 1u << 21);
  for (uint32_t i = 0; i < LINES; i++) *line(i) = (uint64_t)line(i);
  // Sattolo's shuffle: a permutation of one cycle.
  uint64_t seed = 64;
  for (uint32_t i = LINES - 1; i; i--) {
    uint32_t j = (uint32_t)(next_random(&seed) >> 11) % i;
    uint64_t t = *line(i);
    *line(i) = *line(j);
    *line(j) = t;
  }
}

uint64_t chase_run(uint64_t iterations) {
  const uint64_t *p = line(0);
  for (uint64_t i = iterations * (STEPS / 8); i; i--) {
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) p = *(const uint64_t *const *)p;
  }
  return mix(1, ((uint64_t)p - (uint64_t)lines) / LINE);
}
