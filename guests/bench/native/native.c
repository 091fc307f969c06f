// The benchmark as a Linux program, to learn the checksums of a real processor. The kernels that need ring 0
// are replaced by what they compute; all others, and main.c, are the guest's own files.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../kernel.h"
#include "boot.h"
#include "console.h"
#include "cpu.h"
#include "layout.h"
#include "memory.h"

#define MEMORY_BYTES (224ull << 20)
#define CPUID_1_ECX_OSXSAVE (1u << 27)

struct boot boot;

static uint8_t *memory;
static size_t used;

void *memory_take(size_t bytes, size_t alignment) {
  used = (used + alignment - 1) & -alignment;
  void *at = memory + used;
  used += bytes;
  if (used > MEMORY_BYTES) {
    fputs("error more memory than the guest has\n", stderr);
    exit(EXIT_USAGE);
  }
  return at;
}

void memory_reset(void) { used = 0; }

void print(const char *text) { fputs(text, stdout); }
void print_hex(uint64_t value, int digits) { printf("%0*llx", digits, (unsigned long long)value); }
void print_decimal(uint64_t value) { printf("%llu", (unsigned long long)value); }
_Noreturn void machine_exit(uint8_t code) { exit(code); }

// tlb_miss.c without paging: a word per page.
void tlb_miss_prepare(void) {}
uint64_t tlb_miss_run(uint64_t iterations) {
  static uint64_t words[16384];
  for (uint64_t page = 0; page < 16384; page++) words[page] = page;
  uint64_t hash = 1, seed = 4096;
  for (uint64_t i = 0; i < 1024 * iterations; i++) {
    uint64_t *word = &words[next_random(&seed) >> 20 & 16383];
    *word = hash += *word;
  }
  return mix(hash, seed);
}

// page_fault.c without faults: each touch of a page is one.
void page_fault_prepare(void) {}
uint64_t page_fault_run(uint64_t iterations) {
  uint64_t words[512], hash = 1;
  for (uint64_t page = 0; page < 512; page++) words[page] = page;
  for (uint64_t i = 0; i < 512 * iterations; i++) words[i % 512] = hash = mix(hash, words[i % 512]);
  return mix(hash, 512 * iterations);
}

// system_call.c and its ring 3 code as one loop.
void system_call_prepare(void) {}
uint64_t system_call_run(uint64_t iterations) {
  uint64_t sum = 1, calls = 0;
  for (uint64_t left = iterations; left; left--) {
    uint64_t value = (sum + ++calls) ^ left;
    sum += value << 5 | value >> 59;
  }
  return mix(sum, calls);
}

int main(int count, char **words) {
  memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    perror("mmap");
    return EXIT_USAGE;
  }
  if (cpuid(1, 0).ecx & CPUID_1_ECX_OSXSAVE) boot.xcr0 = xgetbv(0);
  for (int i = 1; i < count; i++) {
    strncat(boot.command_line, words[i], COMMAND_LINE_BYTES - 2 - strlen(boot.command_line));
    strcat(boot.command_line, " ");
  }
  guest_main();
}
