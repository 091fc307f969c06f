#include "attempt.h"

volatile struct fault fault;
unsigned long attempt_start, attempt_recovery, attempt_sp, attempt_user_flags = 2;

/** Vector, distance of RIP from the start (8 bits; 80h: elsewhere), error code: what a line of a failed check shows. */
static uint64_t outcome(unsigned vector, unsigned offset, unsigned error) {
  return (uint64_t)vector << 40 | (uint64_t)offset << 32 | error;
}

static void expect(const char *name, unsigned vector, unsigned error, unsigned offset) {
  unsigned long distance = fault.rip - attempt_start;
  // From here on an exception is a mistake of the guest.
  attempt_recovery = 0;
  if (distance > 0x7f) distance = 0x80;
  if (fault.vector == NO_FAULT) distance = fault.error = 0;
  check(name, outcome((unsigned)fault.vector, (unsigned)distance, (unsigned)fault.error),
        outcome(vector, offset, error));
}

void expect_fault(const char *name, unsigned vector, unsigned error) { expect(name, vector, error, 0); }

void expect_at(const char *name, unsigned vector, unsigned error, unsigned offset) {
  expect(name, vector, error, offset);
}

void expect_none(const char *name) { expect(name, NO_FAULT, 0, 0); }
