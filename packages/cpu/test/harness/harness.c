/*
 * Runs single instructions on the host processor. Reads a page of memory and cases from standard input and writes results to standard output:
 * the structs below, little-endian, packed. Built and fed by host.ts: gcc -O1 -no-pie -o harness harness.c
 *
 * Each instruction runs with the whole user state of its case, at an address of its own in the code area, with one page of memory at SCRATCH
 * whose neighbours are not mapped. Behind the instruction and at LANDING bytes from the start of its slot are ways back, so that branches can
 * be run too. A fault is reported with the state that the kernel found. Cases of 32-bit code run in compatibility mode.
 */
#include "user-state.h"

#define SCRATCH 0x10002000ul
#define PAGE 4096
#define CODE 0x20000000ul
#define CODE_SIZE 0x40000
#define LANDING 32

struct __attribute__((packed)) test_case {
  uint8_t length;
  uint8_t code[15];
  /* Bytes that differ from the page: where, how many. */
  uint16_t patch_offset;
  uint16_t patch_length;
  /* 64, or 32: compatibility mode. */
  uint32_t mode;
  uint8_t patch[64];
  struct state in;
};

/* Followed by the bytes of the page from `first` on, `count` of them, if the instruction changed any. */
struct __attribute__((packed)) result {
  /* Exception vector or -1, its error code, CR2. */
  int32_t vector;
  uint32_t error;
  uint64_t address;
  uint32_t first;
  uint32_t count;
  struct state out;
};

/* Jumps to the instruction, and back. */
struct own_cells {
  uint64_t leave;
  uint64_t leave_landing;
  uint64_t landed;
  struct far_pointer {
    uint32_t offset;
    uint32_t selector;
  } start, far_next, far_landing;
};
#define THE_OWN_CELLS ((struct own_cells *)OWN_CELLS)
/* Linux's segments for user code, beside CODE64. */
#define CODE32 0x23
#define FLAT_DATA 0x2b

void leave_landing(void);
HARNESS("ljmp *0x10000838", "leave_landing:\n movq $1, 0x10000830\n");

int main(void) {
  prepare(300);
  uint8_t *scratch = map(SCRATCH, PAGE, PROT_READ | PROT_WRITE);
  map(CODE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
  struct own_cells *own = THE_OWN_CELLS;
  own->leave = (uint64_t)leave;
  own->leave_landing = (uint64_t)leave_landing;
  own->far_next = (struct far_pointer){(uint32_t)own->leave, CODE64};
  own->far_landing = (struct far_pointer){(uint32_t)own->leave_landing, CODE64};
  /* 64-bit programs start with null selectors. */
  __asm__ volatile("mov %0, %%ds\n mov %0, %%es" ::"r"(FLAT_DATA));

  static uint8_t page[PAGE], expected[PAGE];
  static struct test_case test;
  static struct result result;
  if (fread(page, PAGE, 1, stdin) != 1) return 1;
  memcpy(scratch, page, PAGE);
  memcpy(expected, page, PAGE);
  while (fread(&test, sizeof test, 1, stdin) == 1) {
    /* jmp [absolute], or in 32-bit code jmp far ss:[absolute]: nothing changes. */
    static const uint8_t ways_back[2][2][7] = {
        {{0xff, 0x24, 0x25, 0x20, 0x08, 0, 0x10}, {0xff, 0x24, 0x25, 0x28, 0x08, 0, 0x10}},
        {{0x36, 0xff, 0x2d, 0x40, 0x08, 0, 0x10}, {0x36, 0xff, 0x2d, 0x48, 0x08, 0, 0x10}}};
    const uint8_t (*back)[7] = ways_back[test.mode == 32];
    own->start = (struct far_pointer){(uint32_t)test.in.rip, test.mode == 32 ? CODE32 : CODE64};
    uint8_t *slot = (uint8_t *)test.in.rip;
    memcpy(slot, test.code, test.length);
    memcpy(slot + test.length, back[0], sizeof back[0]);
    memcpy(slot + LANDING, back[1], sizeof back[1]);
    memcpy(scratch + test.patch_offset, test.patch, test.patch_length);
    memcpy(expected + test.patch_offset, test.patch, test.patch_length);
    memcpy(&THE_CELLS->in, &test.in, sizeof test.in);
    own->landed = 0;
    fault_vector = -1;
    enter();
    result.vector = fault_vector;
    result.error = fault_error;
    result.address = fault_address;
    memcpy(&result.out, &THE_CELLS->out, sizeof result.out);
    if (fault_vector == -1) result.out.rip = own->landed ? test.in.rip + LANDING : test.in.rip + test.length;
    result.first = 0;
    result.count = 0;
    if (memcmp(scratch, expected, PAGE) != 0) {
      uint32_t first = 0, end = PAGE;
      while (scratch[first] == expected[first]) first++;
      while (scratch[end - 1] == expected[end - 1]) end--;
      result.first = first;
      result.count = end - first;
    }
    fwrite(&result, sizeof result, 1, stdout);
    fwrite(scratch + result.first, result.count, 1, stdout);
    memcpy(scratch + result.first, page + result.first, result.count);
    memcpy(scratch + test.patch_offset, page + test.patch_offset, test.patch_length);
    memcpy(expected + test.patch_offset, page + test.patch_offset, test.patch_length);
  }
  return 0;
}
