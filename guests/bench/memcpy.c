// A memcpy such as C libraries have for SSE2: overlapping ends for short copies, 64 bytes a turn for long
// ones.
#include <emmintrin.h>

#include "kernel.h"
#include "memory.h"

#define BYTES 65536

static uint8_t *source, *destination;

void memcpy_prepare(void) {
  source = memory_take(BYTES, 4096);
  destination = memory_take(BYTES, 4096);
}

static inline __m128i load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline void store(uint8_t *p, __m128i v) { _mm_storeu_si128((__m128i *)p, v); }

__attribute__((noinline)) static void copy(uint8_t *to, const uint8_t *from, size_t n) {
  if (n < 16) {
    if (n >= 8) {
      uint64_t first = *(const uint64_t *)from, last = *(const uint64_t *)(from + n - 8);
      *(uint64_t *)to = first;
      *(uint64_t *)(to + n - 8) = last;
    } else if (n >= 4) {
      uint32_t first = *(const uint32_t *)from, last = *(const uint32_t *)(from + n - 4);
      *(uint32_t *)to = first;
      *(uint32_t *)(to + n - 4) = last;
    } else {
      while (n--) *to++ = *from++;
    }
    return;
  }
  __m128i last = load(from + n - 16);
  uint8_t *last_to = to + n - 16;
  while (n >= 64) {
    __m128i a = load(from), b = load(from + 16), c = load(from + 32), d = load(from + 48);
    store(to, a);
    store(to + 16, b);
    store(to + 32, c);
    store(to + 48, d);
    from += 64, to += 64, n -= 64;
  }
  for (; n >= 16; n -= 16, from += 16, to += 16) store(to, load(from));
  store(last_to, last);
}

static const struct {
  uint16_t bytes, times;
} copies[] = {{3, 32},   {7, 32},   {12, 32},  {16, 32},   {31, 32},   {48, 32},
              {100, 16}, {255, 16}, {600, 16}, {1500, 16}, {4096, 16}, {16384, 2}};

uint64_t memcpy_run(uint64_t iterations) {
  fill_random(source, BYTES, 5);
  fill_random(destination, BYTES, 6);
  uint64_t hash = 1;
  for (uint64_t i = 0; i < iterations; i++) {
    uint32_t place = (uint32_t)i;
    *(uint64_t *)(source + (i & 8191) * 8) = i;
    for (unsigned k = 0; k < sizeof copies / sizeof *copies; k++) {
      for (int t = 0; t < copies[k].times; t++) {
        // Offsets 0 to 49,151: all alignments, and room for the longest copy.
        place = place * 1664525 + 1013904223;
        copy(destination + (place >> 16) % 49152, source + (place & 0xffff) % 49152, copies[k].bytes);
      }
    }
    hash = mix(hash, *(uint64_t *)(destination + (i & 8191) * 8));
  }
  return mix_words(hash, destination, BYTES);
}
