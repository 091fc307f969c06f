// Work of a known number of instructions.
#ifndef WELCOME_SPEED_H
#define WELCOME_SPEED_H

#include <stdint.h>

/** Runs so many instructions: the next multiple of 16, and 6 more. */
void speed_loop(uint64_t instructions);

/** Prints how many instructions the processor does in a second; takes so many milliseconds to twice as many. */
void speed_report(uint64_t milliseconds);

#endif
