// One line per check on the console, and the count at the end. For guests of 32 and of 64 bits.
#ifndef GUEST_CHECK_H
#define GUEST_CHECK_H

#include <stdint.h>

/** Stands before the names of the checks that follow. */
extern const char *check_group;

/** Prints `PASS name`, or `FAIL name got=... want=...`. */
void check(const char *name, uint64_t got, uint64_t want);

/** Prints `skip name`: what this processor does not have. */
void check_skip(const char *name);

/** Runs in QEMU's TCG, where some checks would end the machine. */
int under_tcg(void);

/** Prints `N passed, N failed` and ends the machine: EXIT_DONE, or EXIT_FAILED after a failure. */
_Noreturn void checks_end(void);

#endif
