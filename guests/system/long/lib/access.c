#include "access.h"

#include "memory.h"

/** Ring 3's code lies here. */
#define USER_CODE (FREE_LINEAR_ADDRESS + 0x7000000000)

static uint8_t user_page[4096] __attribute__((aligned(4096)));
static const uint8_t user_code[3][16] = {
    {0x8a, 0x07, 0xcd, VECTOR_LEAVE},  // movb (%rdi), %al; int $80h
    {0x88, 0x47, 0x20, 0xcd, VECTOR_LEAVE}, // movb %al, 32(%rdi); int $80h
    {0x48, 0x83, 0xc7, 0x10, 0xff, 0xe7}, // addq $16, %rdi; jmp *%rdi
};

void access_init(void) {
  memcpy(user_page, user_code, sizeof user_code);
  *page_entry(USER_CODE) = (uint64_t)user_page | PAGE_P | PAGE_U;
  // The tables of paging.c lie below PML4 entry 1; that it has U set is its doing.
}

void access_prepare_page(uint8_t *page) {
  page[0] = 0xc3;
  page[16] = 0xcd;
  page[17] = VECTOR_LEAVE;
}

unsigned access(uint64_t linear, unsigned kind) {
  uint64_t flags = attempt_user_flags;
  if (kind & FROM_USER) {
    ATTEMPT_AT(
        "pushq $0x23\n pushq $0\n pushq %2\n pushq $0x2b\n pushq %1\n iretq\n 770:",
        : : "D"(linear), "a"(USER_CODE + 16 * (kind & 3)), "c"(flags) : "memory");
  } else if (kind == READ) {
    ATTEMPT_AT("pushq %1\n popfq\n 770: movb (%0), %%al\n pushq $2\n popfq", : : "D"(linear), "c"(flags) : "memory", "rax", "cc");
  } else if (kind == WRITE) {
    ATTEMPT_AT("pushq %1\n popfq\n 770: movb %%al, 32(%0)\n pushq $2\n popfq", : : "D"(linear), "c"(flags) : "memory", "cc");
  } else {
    ATTEMPT_AT("pushq %1\n popfq\n 770: call *%0\n pushq $2\n popfq", : : "D"(linear), "c"(flags) : "memory", "cc");
  }
  attempt_recovery = 0;
  if (fault.vector == NO_FAULT) return ALLOWED;
  return fault.vector == VECTOR_PF ? (unsigned)fault.error : 0x100 + (unsigned)fault.vector;
}
