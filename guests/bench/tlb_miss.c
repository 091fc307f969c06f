// Random pages of 64 MiB mapped by 4 KiB pages in scattered frames, with CR3 loaded every 1,024 accesses.
#include "cpu.h"
#include "kernel.h"
#include "memory.h"
#include "paging.h"

#define PAGES 16384u
#define ACCESSES 1024 // an iteration
// Frames come in another order than pages.
#define SCATTER 0x2a55u

static uint8_t *frames;

// One word per page, not at the same place in each, so that caches are used evenly.
static inline uint64_t offset_of(uint64_t page) { return page * 4096 + (page * 40503 & 511) * 8; }

void tlb_miss_prepare(void) {
  frames = memory_take((size_t)PAGES * PAGE_BYTES, PAGE_BYTES);
  for (uint64_t page = 0; page < PAGES; page++) {
    *page_entry(FREE_LINEAR_ADDRESS + page * PAGE_BYTES) =
        ((uint64_t)frames + (page ^ SCATTER) * PAGE_BYTES) | PAGE_P | PAGE_W | PAGE_A | PAGE_D;
  }
  write_cr3(read_cr3());
}

uint64_t tlb_miss_run(uint64_t iterations) {
  for (uint64_t page = 0; page < PAGES; page++) {
    *(uint64_t *)(FREE_LINEAR_ADDRESS + offset_of(page)) = page;
  }
  uint64_t hash = 1, seed = 4096;
  for (uint64_t i = 0; i < iterations; i++) {
    for (int k = 0; k < ACCESSES; k++) {
      uint64_t *word = (uint64_t *)(FREE_LINEAR_ADDRESS + offset_of(next_random(&seed) >> 20 & (PAGES - 1)));
      hash += *word;
      *word = hash;
    }
    write_cr3(read_cr3());
  }
  return mix(hash, seed);
}
