/*
 * Runs whole programs on the host processor: after the idea of test/harness/harness.c, which runs single instructions. Reads programs from standard
 * input and writes what became of them to standard output: the structs below, little-endian, packed. Built and fed by host.ts:
 * gcc -O1 -no-pie -o host host.c
 *
 * A program counts its blocks itself and ends with a jump to EXIT, or with its first fault.
 */
#include "../../test/harness/user-state.h"

/* As in address-space.ts and generate.ts. */
#define SCRATCH 0x10002000ul
#define CONSTANT 0x10004000ul
#define STACK 0x10008000ul
#define DATA 0x1000c000ul
#define CODE 0x20000000ul
#define PAGE 4096ul
#define CODE_SIZE 0x4000ul
#define EXIT (CODE + CODE_SIZE - 16)

struct __attribute__((packed)) memory {
  uint8_t scratch[2 * PAGE];
  uint8_t data[PAGE];
  uint8_t stack[2 * PAGE];
};

struct __attribute__((packed)) program {
  struct state in;
  struct memory memory;
  uint8_t code[CODE_SIZE];
};

struct __attribute__((packed)) result {
  /* Exception vector or -1, its error code, CR2. */
  int32_t vector;
  uint32_t error;
  uint64_t address;
  struct state out;
  struct memory memory;
};

/* Address of `leave`. */
#define THE_EXIT (*(uint64_t *)OWN_CELLS)

HARNESS("jmp *0x10000000+136", "");

int main(void) {
  prepare(20);
  map(SCRATCH, 2 * PAGE, PROT_READ | PROT_WRITE);
  map(CONSTANT, PAGE, PROT_READ);
  map(STACK, 2 * PAGE, PROT_READ | PROT_WRITE);
  map(DATA, PAGE, PROT_READ | PROT_WRITE);
  map(CODE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
  /* Read once, it is present: a write then faults as one to a page that is. */
  (void)*(volatile uint8_t *)CONSTANT;
  THE_EXIT = (uint64_t)leave;

  static struct program program;
  static struct result result;
  while (fread(&program, sizeof program, 1, stdin) == 1) {
    /* jmp [THE_EXIT]: nothing changes. */
    static const uint8_t way_back[] = {0xff, 0x24, 0x25, 0x20, 0x08, 0, 0x10};
    memcpy((void *)CODE, program.code, CODE_SIZE);
    memcpy((void *)EXIT, way_back, sizeof way_back);
    memcpy((void *)SCRATCH, program.memory.scratch, 2 * PAGE);
    memcpy((void *)DATA, program.memory.data, PAGE);
    memcpy((void *)STACK, program.memory.stack, 2 * PAGE);
    memcpy(&THE_CELLS->in, &program.in, sizeof program.in);
    fault_vector = -1;
    enter();
    result.vector = fault_vector;
    result.error = fault_error;
    result.address = fault_address;
    memcpy(&result.out, &THE_CELLS->out, sizeof result.out);
    if (fault_vector == -1) result.out.rip = EXIT;
    memcpy(result.memory.scratch, (void *)SCRATCH, 2 * PAGE);
    memcpy(result.memory.data, (void *)DATA, PAGE);
    memcpy(result.memory.stack, (void *)STACK, 2 * PAGE);
    fwrite(&result, sizeof result, 1, stdout);
    fflush(stdout);
  }
  return 0;
}
