// Page faults: touch each of 512 pages that are not present, the handler maps it; then unmap all with INVLPG.
#include "cpu.h"
#include "exceptions.h"
#include "kernel.h"
#include "memory.h"
#include "paging.h"

#define PAGES 512u
// Not where tlb_miss.c maps.
#define BASE (FREE_LINEAR_ADDRESS + 0x1000000000ull)
#define ERROR_CODE_P 1u

static uint8_t *frames;
static uint64_t faults;

static inline uint64_t *word_of(uint8_t *base, uint64_t page) {
  return (uint64_t *)(base + page * PAGE_BYTES + (page & 511) * 8);
}

static int handle(struct exception_frame *frame) {
  uint64_t offset = read_cr2() - BASE;
  if (frame->error_code & ERROR_CODE_P || offset >= PAGES * PAGE_BYTES) return 0;
  faults++;
  *page_entry(BASE + offset) = ((uint64_t)frames + (offset & PAGE_ADDRESS)) | PAGE_P | PAGE_W;
  return 1;
}

void page_fault_prepare(void) { frames = memory_take(PAGES * PAGE_BYTES, PAGE_BYTES); }

uint64_t page_fault_run(uint64_t iterations) {
  for (uint64_t page = 0; page < PAGES; page++) *word_of(frames, page) = page;
  faults = 0;
  exception_handle(VECTOR_PAGE_FAULT, handle);
  uint64_t hash = 1;
  for (uint64_t i = 0; i < iterations; i++) {
    for (uint64_t page = 0; page < PAGES; page++) {
      volatile uint64_t *word = word_of((uint8_t *)BASE, page);
      hash = mix(hash, *word);
      *word = hash;
    }
    for (uint64_t page = 0; page < PAGES; page++) {
      *page_entry(BASE + page * PAGE_BYTES) = 0;
      invlpg(BASE + page * PAGE_BYTES);
    }
  }
  exception_handle(VECTOR_PAGE_FAULT, NULL);
  return mix(hash, faults);
}
