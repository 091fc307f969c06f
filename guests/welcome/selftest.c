#include "selftest.h"

#include "say.h"

#define DOTS 12

unsigned tests_failed, tests_run;

static int dots;

void test_begin(const char *name) {
  say("  %-34s ", name);
  dots = 0;
}

void test_progress(void) {
  if (dots++ < DOTS) say(".");
}

void test_end(enum outcome outcome) {
  static const char *const words[] = {"FAILED", "ok", "not here"};
  while (dots < DOTS) test_progress();
  say(" %s\n", words[outcome]);
  if (outcome != SKIPPED) tests_run++;
  if (outcome == FAILED) tests_failed++;
}

static void run(const char *name, test *test) {
  test_begin(name);
  test_end(test());
}

void selftest(void) {
  run("multiply and divide, 128 bits", test_integer);
  run("SHA-256 of known messages", test_sha256);
  run("vectors: SSE2 against plain C", test_sse2);
  run("vectors: AVX2 against plain C", test_avx2);
  run("memory: 1 MiB written and read", test_memory);
  run("paging: faults caught and repaired", test_page_fault);
  run("timer: 20 interrupts in 2 ms", test_timer);
}
