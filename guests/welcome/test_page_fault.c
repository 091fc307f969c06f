// Paging: pages that are not there until somebody touches them, and pages that may not be written or executed.
#include <stdint.h>

#include "cpu.h"
#include "exceptions.h"
#include "memory.h"
#include "paging.h"
#include "processor.h"
#include "selftest.h"

#define PAGES 64
// Beside what physical() maps: that uses addresses from FREE_LINEAR_ADDRESS on, as far as physical memory reaches.
#define PLACE (FREE_LINEAR_ADDRESS + (1ull << 46))
#define PAGE_NX (1ull << 63)
#define RET 0xc3

// Bits of a page fault's error code.
#define ERROR_PRESENT 1u
#define ERROR_WRITE 2u
#define ERROR_FETCH 16u

static uint64_t frames; // physical memory for the pages
// Changed by the handler, behind the compiler's back.
static volatile uint64_t last_address, last_error;
static volatile unsigned faults;

/** What an operating system does: find out what is missing, repair it, and let the instruction begin again. */
static int repair(struct exception_frame *frame) {
  uint64_t address = read_cr2();
  if (address < PLACE || address >= PLACE + PAGES * PAGE_BYTES) return 0;
  last_address = address;
  last_error = frame->error_code;
  faults++;
  uint64_t *entry = page_entry(address);
  if (frame->error_code & ERROR_FETCH) *entry &= ~PAGE_NX;
  else if (frame->error_code & ERROR_PRESENT) *entry |= PAGE_W;
  else *entry = (frames + (address & PAGE_ADDRESS) - PLACE) | PAGE_P;
  invlpg(address);
  return 1;
}

static int saw(unsigned count, uint64_t address, uint64_t error) {
  return faults == count && last_address == address && last_error == error;
}

static enum outcome run(void) {
  for (unsigned i = 0; i < PAGES; i++) {
    if (i % 8 == 0) test_progress();
    uint64_t at = PLACE + i * PAGE_BYTES + 8 * i;
    volatile uint64_t *word = (volatile uint64_t *)at;
    volatile uint64_t *same = (volatile uint64_t *)(frames + (at - PLACE)); // by the one-to-one mapping
    *same = i;
    faults = 0;
    if (*word != i || !saw(1, at, 0)) return FAILED;
    *word = ~(uint64_t)i;
    if (*same != ~(uint64_t)i || !saw(2, at, ERROR_PRESENT | ERROR_WRITE)) return FAILED;
    // The processor notes in the entry what was done.
    if ((*page_entry(at) & (PAGE_A | PAGE_D)) != (PAGE_A | PAGE_D)) return FAILED;
  }
  if (!cpuid_bit(0x80000001, EDX, 20)) return OK;
  *(volatile uint8_t *)PLACE = RET;
  *page_entry(PLACE) |= PAGE_NX;
  invlpg(PLACE);
  faults = 0;
  ((void (*)(void))PLACE)();
  return saw(1, PLACE, ERROR_PRESENT | ERROR_FETCH) ? OK : FAILED;
}

enum outcome test_page_fault(void) {
  frames = (uint64_t)memory_take(PAGES * PAGE_BYTES, PAGE_BYTES);
  exception_handle(VECTOR_PAGE_FAULT, repair);
  enum outcome outcome = run();
  exception_handle(VECTOR_PAGE_FAULT, 0);
  return outcome;
}
