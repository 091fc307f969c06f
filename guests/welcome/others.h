// The other processors, which sleep until the first one wakes them.
#ifndef WELCOME_OTHERS_H
#define WELCOME_OTHERS_H

/** Starts all that ACPI lists. Gives how many of them answered. */
int others_start(void);

#endif
