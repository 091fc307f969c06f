// REP MOVSQ of 64 bytes to 64 KiB and REP MOVSB of 1 to 4,096 bytes, upward, not overlapping.
#include "kernel.h"
#include "memory.h"

#define BYTES 65536

static uint8_t *source, *destination;

void rep_movs_prepare(void) {
  source = memory_take(BYTES, 4096);
  destination = memory_take(BYTES, 4096);
}

static inline void movsq(uint8_t *to, const uint8_t *from, uint64_t count) {
  __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static inline void movsb(uint8_t *to, const uint8_t *from, uint64_t count) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

uint64_t rep_movs_run(uint64_t iterations) {
  fill_random(source, BYTES, 15);
  fill_random(destination, BYTES, 16);
  uint64_t hash = 1;
  for (uint64_t i = 0; i < iterations; i++) {
    *(uint64_t *)(source + (i & 8191) * 8) = i;
    movsq(destination, source, BYTES / 8);
    for (uint64_t k = 0; k < 4; k++) movsq(destination + 4096 * k, source + 8 * (k + i % 64), 512);
    for (uint64_t k = 0; k < 16; k++) movsq(destination + 1000 * k, source + 24 * k + i % 8, 64);
    for (uint64_t k = 0; k < 32; k++) movsq(destination + 72 * k, source + 200 * k, 8);
    movsb(destination + 20000 + i % 64, source + 3, 4096);
    for (uint64_t k = 0; k < 16; k++) movsb(destination + 777 * k, source + 33 * k + i % 16, 1 + 17 * k);
    hash = mix(hash, *(uint64_t *)(destination + (i & 8191) * 8));
  }
  return mix_words(hash, destination, BYTES);
}
