// How fast the clocks run, and waiting.
#ifndef WELCOME_CLOCKS_H
#define WELCOME_CLOCKS_H

#include <stdint.h>

struct clocks {
  /** Ticks per second of the time-stamp counter. */
  uint64_t tsc;
  /** The same of the local APIC's timer behind its divider; 0 if unknown. */
  uint64_t apic_timer;
  /** Whether `tsc` was measured or told; else it is a guess. */
  int is_known;
};

extern struct clocks clocks;

/** Measures the clocks against ACPI's power management timer, whose frequency is fixed. Takes some milliseconds. */
void clocks_measure(void);

/** Waits, and gives other programs on the same processor a chance. */
void wait_microseconds(uint64_t count);

#endif
