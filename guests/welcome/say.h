// Text made of values: a small printf on the console of ../lib.
#ifndef WELCOME_SAY_H
#define WELCOME_SAY_H

#include <stdint.h>

/**
 * Prints a format: %s, %c, %u, %x, and %lu, %lx for uint64_t. A width fills with blanks on the left, `0WIDTH` with
 * zeros, `-WIDTH` with blanks on the right. The compiler checks the arguments as it does for printf.
 */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/** Begins a group of lines: an empty line and a title. */
void say_title(const char *title);

/** Begins a line of a group: its name, filled to the column where values begin. The caller ends the line. */
void say_name(const char *name);

#endif
