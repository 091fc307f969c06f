// Code that changes: the processor sees every store to code it runs next, through any linear address
// (SDM vol. 3, 8.1.3 and 11.6; APM vol. 2, 7.6.1 says so for single-processor code without a branch as well).
#include "machine.h"
#include "memory.h"
#include "paging.h"

#define ALIAS_A (FREE_LINEAR_ADDRESS + 0x10000)
#define ALIAS_B (FREE_LINEAR_ADDRESS + 0x50000)
#define HOT 6000

typedef uint64_t code(void);

static uint8_t pages[4][4096] __attribute__((aligned(4096)));

/** mov $value, %eax; ret */
static void put_return(uint8_t *at, uint32_t value) {
  at[0] = 0xb8;
  memcpy(at + 1, &value, 4);
  at[5] = 0xc3;
}

static void map(uint64_t linear, const void *page) {
  *page_entry(linear) = (uint64_t)page | PAGE_P | PAGE_W;
  invlpg(linear);
}

#define CALL(at) ((code *)(uint64_t)(at))()

static void straight_line(void) {
  uint32_t value;
  __asm__ volatile("movb $7, 1f+1(%%rip)\n 1: movb $0, %%al\n movzbl %%al, %0" : "=a"(value) : : "memory");
  check("the next instruction's immediate", value, 7);
  __asm__ volatile("movl $3, %%ecx\n xorl %%eax, %%eax\n 2: incb 1f+2(%%rip)\n 1: addl $0, %%eax\n decl %%ecx\n jnz 2b"
                   : "=a"(value) : : "memory", "ecx", "cc");
  check("an immediate that grows in a loop", value, 1 + 2 + 3);
  // The second NOP becomes INC, then DEC ... by a store just before it.
  __asm__ volatile("xorl %%eax, %%eax\n movw $0xc0ff, 1f(%%rip)\n jmp 1f\n 1: .byte 0x66, 0x90\n movw $0x9066, 1b(%%rip)"
                   : "=a"(value) : : "memory", "cc");
  check("another opcode behind a jump", value, 1);
  // A store that reaches from before the instruction into it.
  __asm__ volatile("movq %1, 1f-4(%%rip)\n nop\n nop\n nop\n nop\n 1: movl $0, %%eax" : "=a"(value)
                   : "r"(0x000005b890909090ul) : "memory");
  check("a store of eight bytes across the instruction's begin", value, 5);
  // REP STOS over what follows, itself not.
  __asm__ volatile("leaq 1f(%%rip), %%rdi\n movl $4, %%ecx\n movb $0x90, %%al\n rep stosb\n movl $9, %%eax\n 1: ud2\n ud2"
                   : "=a"(value) : : "memory", "rcx", "rdi");
  check("REP STOS over the following instructions", value, 9);
  __asm__ volatile("movl $11, %%eax\n movq %%rsp, %%rcx\n leaq 2f(%%rip), %%rsp\n pushq %1\n movq %%rcx, %%rsp\n jmp 1f\n .balign 16\n 1: ud2\n ud2\n ud2\n ud2\n 2:"
                   : "=&a"(value) : "r"(0x9090909090909090) : "memory", "rcx");
  check("PUSH over code", value, 11);
}

static void hot_code(void) {
  uint8_t *at = pages[0];
  uint64_t sum = 0;
  for (uint32_t round = 0; round < 4; round++) {
    put_return(at, round + 1);
    for (int i = 0; i < HOT; i++) sum += CALL(at);
  }
  check("code that changes after it became hot", sum, HOT * (1 + 2 + 3 + 4));
  sum = 0;
  for (uint32_t i = 0; i < 300; i++) {
    put_return(at, i);
    sum += CALL(at);
  }
  check("new code for each call", sum, 300 * 299 / 2);
  // Data beside code: the code stays.
  put_return(at, 3);
  sum = 0;
  for (uint32_t i = 0; i < 3000; i++) {
    *(uint32_t *)(at + 2048) += i;
    sum += CALL(at);
  }
  check("stores to data on a page of code", sum + *(uint32_t *)(at + 2048), 9000 + 3000u * 2999 / 2);
  // A hot loop that changes itself in its last rounds.
  static const uint8_t loop[] = {
      0x31, 0xc0,                         // xor eax, eax
      0xb9, 0x10, 0x27, 0, 0,             // mov ecx, 10000
      0x83, 0xc0, 0x01,                   // 7: add eax, 1
      0x81, 0xf9, 0x64, 0, 0, 0,          // cmp ecx, 100
      0x75, 0x07,                         // jne +7
      0xc6, 0x05, 0xf0, 0xff, 0xff, 0xff, 0x03, // mov byte [rip - 16], 3: the immediate of ADD
      0xff, 0xc9,                         // dec ecx
      0x75, 0xea,                         // jnz 7
      0xc3,
  };
  memcpy(at, loop, sizeof loop);
  check("a hot loop that changes itself", CALL(at), 9901 + 99 * 3);
}

static void aliases(void) {
  map(ALIAS_A, pages[0]);
  map(ALIAS_B, pages[0]);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < 50; i++) {
    put_return((uint8_t *)ALIAS_B + 64, i);
    sum += CALL(ALIAS_A + 64);
  }
  check("stores through another linear address", sum, 50 * 49 / 2);
  // lea (%rip), %rax; ret: the same bytes know where they are.
  static const uint8_t where[] = {0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xc3};
  memcpy(pages[0] + 128, where, sizeof where);
  unsigned wrong = 0;
  for (int i = 0; i < HOT; i++) {
    wrong += CALL(ALIAS_A + 128) != ALIAS_A + 135;
    wrong += CALL(ALIAS_B + 128) != ALIAS_B + 135;
    wrong += CALL(pages[0] + 128) != (uint64_t)pages[0] + 135;
  }
  check("one code at three linear addresses", wrong, 0);
  // Another page comes under the same linear address.
  put_return(pages[1] + 128, 77);
  sum = 0;
  for (int i = 0; i < 40; i++) {
    map(ALIAS_A, pages[i & 1]);
    sum += CALL(ALIAS_A + 128) == (i & 1 ? 77 : ALIAS_A + 135);
  }
  check("another page under the code's address", sum, 40);
}

static void page_crossing(void) {
  map(ALIAS_A, pages[0]);
  map(ALIAS_A + 4096, pages[1]);
  put_return((uint8_t *)ALIAS_A + 4094, 0x11223344);
  check("an instruction on two pages", CALL(ALIAS_A + 4094), 0x11223344);
  pages[1][2] = 0x55;
  check("a store to its second page", CALL(ALIAS_A + 4094), 0x55223344);
  pages[0][4095] = 0x66;
  check("a store to its first page", CALL(ALIAS_A + 4094), 0x55223366);
  memcpy(pages[2], pages[1], 16);
  pages[2][2] = 0x77;
  map(ALIAS_A + 4096, pages[2]);
  check("another second page", CALL(ALIAS_A + 4094), 0x77223366);
  uint64_t sum = 0;
  for (int i = 0; i < HOT; i++) {
    if ((i & 1023) == 0) map(ALIAS_A + 4096, pages[1 + (i >> 10 & 1)]);
    sum += CALL(ALIAS_A + 4094) >> 24;
  }
  check("the second page changes under hot code", sum, 0x55 * (1024 * 3) + 0x77 * (HOT - 1024 * 3));
  // Its second page is not there: #PF there, with the instruction's RIP.
  *page_entry(ALIAS_A + 4096) = 0;
  invlpg(ALIAS_A + 4096);
  ATTEMPT("call *%%rax", : : "a"(ALIAS_A + 4094) : "memory", "rcx", "rdx");
  check("#PF of the second page: CR2", fault.cr2, ALIAS_A + 4096);
  check("#PF of the second page: RIP", fault.rip, ALIAS_A + 4094);
  check("#PF of the second page: error code", fault.vector << 8 | fault.error, VECTOR_PF << 8 | 0x10 * ((rdmsr(MSR_EFER) >> 11) & 1));
  // One store over both pages: nop; mov $04030201h, %eax, and the RET is there already.
  map(ALIAS_A + 4096, pages[1]);
  put_return((uint8_t *)ALIAS_A + 4094, 0);
  CALL(ALIAS_A + 4094);
  __asm__ volatile("movq %0, (%1)" : : "r"(0xc304030201b89090ul), "r"(ALIAS_A + 4092) : "memory");
  check("one store over both pages", CALL(ALIAS_A + 4094), 0x04030201);
}

static void other_ways_to_write(void) {
  uint8_t *at = pages[0];
  unsigned failures = 0;
  // Each way writes 2A000000B8h and following bytes: mov $n, %eax with another n.
#define WAY(n, text, ...)                                   \
  put_return(at, 0);                                        \
  CALL(at);                                                 \
  __asm__ volatile(text : : __VA_ARGS__ : "memory", "cc", "rax", "rcx", "rdi", "rsi"); \
  if (CALL(at) != (n)) failures |= 1u << (n)
  WAY(1, "lock incl 1(%0)", "r"(at));
  WAY(2, "xorl %%eax, %%eax\n movl $2, %%ecx\n lock cmpxchgl %%ecx, 1(%0)", "r"(at));
  WAY(3, "movl $3, %%ecx\n xchgl %%ecx, 1(%0)", "r"(at));
  WAY(4, "movl $4, %%ecx\n lock xaddl %%ecx, 1(%0)", "r"(at));
  WAY(5, "movl $5, %%eax\n leaq 1(%0), %%rdi\n stosl", "r"(at));
  static const uint32_t six = 6;
  WAY(6, "movl %1, %%esi\n leaq 1(%0), %%rdi\n movl $4, %%ecx\n rep movsb", "r"(at), "r"((uint32_t)(uint64_t)&six));
  WAY(7, "movl $7, %%eax\n movd %%eax, %%xmm0\n movd %%xmm0, 1(%0)", "r"(at));
  static const uint16_t eight = 8;
  WAY(8, "filds %1\n fistpl 1(%0)", "r"(at), "m"(eight));
  WAY(9, "btsl $0, 1(%0)\n btsl $3, 1(%0)", "r"(at));
  WAY(10, "movl $10, %%eax\n movnti %%eax, 1(%0)", "r"(at));
  WAY(11, "movq %%rsp, %%rsi\n leaq 9(%0), %%rsp\n pushq $11\n movq %%rsi, %%rsp\n movb $0xc3, 5(%0)", "r"(at));
  WAY(12, "movl $12, %%eax\n movd %%eax, %%xmm0\n movups %%xmm0, 1(%0)\n movb $0xc3, 5(%0)", "r"(at));
  WAY(13, "movb $13, 1(%0)", "r"(at));
  WAY(14, "movw $14, 1(%0)", "r"(at));
  WAY(15, "movl $15, %%eax\n movd %%eax, %%xmm0\n movlps %%xmm0, 1(%0)\n movb $0xc3, 5(%0)", "r"(at));
  check("every kind of store, as bits of n", failures, 0);
  // An exception's frame over code: it has to be seen too.
  for (int i = 0; i < 64; i++) at[i] = 0xc3;
  CALL(at + 7);
  __asm__ volatile("movq %%rsp, %%rsi\n leaq 48(%0), %%rsp\n int $0x91\n movq %%rsi, %%rsp" : : "r"(at) : "memory", "rsi");
  // SS of the frame lies at 40 .. 47.
  check("an interrupt's frame over code", at[40] | at[41] << 8, KERNEL_DS);
}

static int return_hook(struct exception_frame *frame) { return frame->vector == 0x91; }

void guest_main(void) {
  machine_init();
  machine_hook = return_hook;
  straight_line();
  hot_code();
  aliases();
  page_crossing();
  other_ways_to_write();
  checks_end();
}
