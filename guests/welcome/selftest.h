// The self-test: each file test_*.c has tests of one subject.
#ifndef WELCOME_SELFTEST_H
#define WELCOME_SELFTEST_H

enum outcome { FAILED, OK, SKIPPED };

/** Does something and says whether the result is right. SKIPPED: the machine lacks what it tests. */
typedef enum outcome test(void);

test test_integer;
test test_sha256;
test test_sse2;
test test_avx2;
test test_memory;
test test_page_fault;
test test_timer;

/** Prints a dot: the test goes on. */
void test_progress(void);

/** Begins and ends the line of one test; for tests that are no function of their own. */
void test_begin(const char *name);
void test_end(enum outcome outcome);

/** Runs the tests above, a line for each. */
void selftest(void);

/** Tests that failed so far, and that were not skipped. */
extern unsigned tests_failed, tests_run;

#endif
