#include "check.h"

#include "console.h"
#include "cpu.h"
#include "layout.h"

const char *check_group = "";
static uint32_t passed, failed;

static void print_value(const char *name, uint64_t value) {
  print(name);
  print_hex(value, value >> 32 ? 16 : 8);
}

static void print_count(uint32_t value) {
  char text[11];
  char *p = text + 10;
  *p = 0;
  do *--p = (char)('0' + value % 10);
  while (value /= 10);
  print(p);
}

void check(const char *name, uint64_t got, uint64_t want) {
  int passes = got == want;
  if (passes) passed++;
  else failed++;
  print(passes ? "PASS " : "FAIL ");
  print(check_group);
  print(name);
  if (!passes) {
    print_value(" got=", got);
    print_value(" want=", want);
  }
  print("\n");
}

void check_skip(const char *name) {
  print("skip ");
  print(check_group);
  print(name);
  print("\n");
}

int under_tcg(void) {
  // CPUID's first leaf for hypervisors: "TCGTCGTCGTCG".
  return cpuid(1, 0).ecx >> 31 && cpuid(0x40000000, 0).ebx == 0x54474354;
}

_Noreturn void checks_end(void) {
  print_count(passed);
  print(" passed, ");
  print_count(failed);
  print(" failed\n");
  machine_exit(failed ? EXIT_FAILED : EXIT_DONE);
}
