#include "access.h"

uint8_t access_user_page[4096] __attribute__((aligned(4096))) = {
    [0] = 0x8a, 0x07, 0xcd, VECTOR_LEAVE,         // movb (%rdi), %al; int $80h
    [16] = 0x88, 0x47, 0x20, 0xcd, VECTOR_LEAVE,  // movb %al, 32(%rdi); int $80h
#ifdef __x86_64__
    [32] = 0x48, 0x83, 0xc7, 0x10, 0xff, 0xe7,    // addq $16, %rdi; jmp *%rdi
#else
    [32] = 0x83, 0xc7, 0x10, 0xff, 0xe7,          // addl $16, %edi; jmp *%edi
#endif
};
static unsigned long user_code;

void access_init(unsigned long linear) { user_code = linear; }

void access_prepare_page(uint8_t *page) {
  page[0] = 0xc3;
  page[16] = 0xcd;
  page[17] = VECTOR_LEAVE;
}

#ifdef __x86_64__
#define TO_USER "pushq $0x23\n pushq $0\n pushq %2\n pushq $0x2b\n pushq %1\n iretq\n 770:"
#define SET_FLAGS(operand) "pushq " operand "\n popfq\n"
#else
#define TO_USER "pushl $0x23\n pushl $0\n pushl %2\n pushl $0x1b\n pushl %1\n iretl\n 770:"
#define SET_FLAGS(operand) "pushl " operand "\n popfl\n"
#endif

unsigned access(unsigned long linear, unsigned kind) {
  unsigned long flags = attempt_user_flags;
  if (kind & FROM_USER) {
    ATTEMPT_AT(TO_USER, : : "D"(linear), "a"(user_code + 16 * (kind & 3)), "c"(flags) : "memory");
  } else if (kind == READ) {
    ATTEMPT_AT(SET_FLAGS("%1") "770: movb (%0), %%al\n" SET_FLAGS("$2"), : : "D"(linear), "c"(flags) : "memory", "eax", "cc");
  } else if (kind == WRITE) {
    ATTEMPT_AT(SET_FLAGS("%1") "770: movb %%al, 32(%0)\n" SET_FLAGS("$2"), : : "D"(linear), "c"(flags) : "memory", "cc");
  } else {
    ATTEMPT_AT(SET_FLAGS("%1") "770: call *%0\n" SET_FLAGS("$2"), : : "D"(linear), "c"(flags) : "memory", "cc");
  }
  attempt_recovery = 0;
  if (fault.vector == NO_FAULT) return ALLOWED;
  return fault.vector == VECTOR_PF ? (unsigned)fault.error : 0x100 + (unsigned)fault.vector;
}
