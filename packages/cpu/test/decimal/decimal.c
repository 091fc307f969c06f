/*
 * What the host processor makes of instructions that only 16-bit and 32-bit code has. Reads cases from standard input and writes results to standard
 * output, both arrays of the struct below. The code runs in compatibility mode, through Linux's 32-bit code segment. gcc -O1 -no-pie -o decimal decimal.c
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* Instruction bytes, EAX and EFLAGS before; EAX and EFLAGS after. */
struct __attribute__((packed)) test_case {
  uint8_t length;
  uint8_t code[3];
  uint32_t eax;
  uint32_t flags;
};

#define CODE 0x20000000ul

int main(void) {
  uint8_t *code = mmap((void *)CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  uint8_t *stack = mmap((void *)(CODE + 0x10000), 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (code != (void *)CODE || stack == MAP_FAILED) return 1;
  static struct test_case test;
  while (fread(&test, sizeof test, 1, stdin) == 1) {
    /* popfd; the instruction and NOPs; pushfd; pop edx; jmp far [esp]. Only SS can be used: DS is null in 64-bit programs. */
    memset(code, 0x90, 16);
    code[0] = 0x9d;
    memcpy(code + 1, test.code, test.length);
    static const uint8_t tail[] = {0x9c, 0x5a, 0xff, 0x2c, 0x24};
    memcpy(code + 16, tail, sizeof tail);
    uint32_t *top = (uint32_t *)(stack + 0x400);
    top[0] = test.flags;
    top[2] = 0x33;
    uint32_t eax = test.eax, flags;
    __asm__ volatile(
        "mov %%rsp, %%r15\n"
        "lea 1f(%%rip), %%rdx\n"
        "mov %%edx, 4(%[top])\n"
        "mov %[top], %%rsp\n"
        "pushq $0x23\n"
        "pushq %[code]\n"
        "lretq\n"
        "1:\n"
        "mov %%r15, %%rsp\n"
        "cld\n"
        : "+a"(eax), "=&d"(flags)
        : [top] "r"((uint64_t)top), [code] "i"(CODE)
        : "r15", "memory", "cc");
    test.eax = eax;
    test.flags = flags;
    fwrite(&test, sizeof test, 1, stdout);
  }
  return 0;
}
