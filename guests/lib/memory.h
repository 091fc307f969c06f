// RAM above 16 MiB, handed out in rising order, and the four functions that gcc may call by itself.
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/** Memory at a multiple of `alignment` (a power of two), not cleared. Ends the machine if RAM is used up. */
void *memory_take(size_t bytes, size_t alignment);
/** Everything taken is free again. */
void memory_reset(void);

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

#endif
