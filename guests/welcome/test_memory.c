// RAM holds what is written: patterns that tell addresses apart, in all sizes of access.
#include <stdint.h>

#include "memory.h"
#include "selftest.h"

#define WORDS (1u << 17) // of 8 bytes

static uint64_t pattern(uint64_t i) { return i * 0x9e3779b97f4a7c15ull; }

enum outcome test_memory(void) {
  volatile uint64_t *words = memory_take(WORDS * sizeof *words, 8);
  for (uint64_t i = 0; i < WORDS; i++) {
    if (i % (WORDS / 4) == 0) test_progress();
    words[i] = pattern(i);
  }
  for (uint64_t i = 0; i < WORDS; i++) {
    if (i % (WORDS / 4) == 0) test_progress();
    if (words[i] != pattern(i)) return FAILED;
  }
  // Parts of a word, and a word that is not aligned, in the order of bytes that this processor has.
  words[0] = 0x8877665544332211, words[1] = 0xffeeddccbbaa9988;
  volatile uint8_t *bytes = (volatile uint8_t *)words;
  if (bytes[1] != 0x22 || *(volatile uint16_t *)(bytes + 6) != 0x8877) return FAILED;
  if (*(volatile uint64_t *)(bytes + 5) != 0xccbbaa9988887766) return FAILED;
  return OK;
}
