/*
 * Runs single instructions on the host processor. Reads cases from standard input, writes results to standard output, both as
 * arrays of the structs below (little-endian, packed). Built by vectors.ts: gcc -O1 -o harness harness.c
 *
 * The instruction runs with all general registers and the status flags from the case and with SCRATCH bytes of memory at SCRATCH_ADDRESS, then
 * everything is read back. A fault is reported by its signal and leaves the result as it was.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define SCRATCH 256
#define SCRATCH_ADDRESS 0x10002000ul
#define DATA_ADDRESS 0x10000000ul
#define CODE_ADDRESS 0x20000000ul

struct __attribute__((packed)) state {
  uint64_t gpr[16];
  uint64_t rflags;
  uint8_t memory[SCRATCH];
};

struct __attribute__((packed)) test_case {
  uint8_t length;
  uint8_t code[15];
  struct state in;
};

struct __attribute__((packed)) result {
  uint64_t signal;
  struct state out;
};

static sigjmp_buf after_fault;
static uint8_t signal_stack[65536];

static void on_signal(int number) { siglongjmp(after_fault, number); }

/* Data page: registers in at 0, out at 128, flags in at 256, out at 264, host rsp at 272. */
static uint8_t *emit_code;

static void emit(const void *bytes, size_t count) {
  memcpy(emit_code, bytes, count);
  emit_code += count;
}

/* mov between a register and an absolute 32-bit address: REX.W, opcode, ModRM with SIB "no base, no index". */
static void move(uint8_t opcode, int reg, uint32_t address) {
  uint8_t head[4] = {0x48 | (reg >> 3 << 2), opcode, 0x04 | ((reg & 7) << 3), 0x25};
  emit(head, 4);
  emit(&address, 4);
}

static void build(const struct test_case *test) {
  emit_code = (uint8_t *)CODE_ADDRESS;
  static const uint8_t push_all[] = {0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57};
  static const uint8_t pop_all[] = {0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3};
  static const uint8_t push_flags_cell[] = {0xff, 0x34, 0x25}, popfq = 0x9d, pushfq = 0x9c, pop_cell[] = {0x8f, 0x04, 0x25};
  uint32_t flags_in = DATA_ADDRESS + 256, flags_out = DATA_ADDRESS + 264;
  emit(push_all, sizeof push_all);
  move(0x89, 4, DATA_ADDRESS + 272);
  emit(push_flags_cell, 3);
  emit(&flags_in, 4);
  emit(&popfq, 1);
  for (int i = 0; i < 16; i++) move(0x8b, i, DATA_ADDRESS + 8 * i);
  emit(test->code, test->length);
  for (int i = 0; i < 16; i++) move(0x89, i, DATA_ADDRESS + 128 + 8 * i);
  move(0x8b, 4, DATA_ADDRESS + 272);
  emit(&pushfq, 1);
  emit(pop_cell, 3);
  emit(&flags_out, 4);
  emit(pop_all, sizeof pop_all);
}

int main(void) {
  uint8_t *data = mmap((void *)DATA_ADDRESS, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  void *code = mmap((void *)CODE_ADDRESS, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (data == MAP_FAILED || code == MAP_FAILED) return 1;
  stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER};
  int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP};
  for (int i = 0; i < 5; i++) sigaction(signals[i], &action, NULL);

  static struct test_case test;
  static struct result result;
  while (fread(&test, sizeof test, 1, stdin) == 1) {
    build(&test);
    memcpy(data, test.in.gpr, 128);
    memcpy(data + 256, &test.in.rflags, 8);
    memcpy((void *)SCRATCH_ADDRESS, test.in.memory, SCRATCH);
    result.out = test.in;
    int number = sigsetjmp(after_fault, 1);
    if (number == 0) {
      ((void (*)(void))CODE_ADDRESS)();
      memcpy(result.out.gpr, data + 128, 128);
      memcpy(&result.out.rflags, data + 264, 8);
      memcpy(result.out.memory, (void *)SCRATCH_ADDRESS, SCRATCH);
    }
    result.signal = number;
    fwrite(&result, sizeof result, 1, stdout);
  }
  return 0;
}
