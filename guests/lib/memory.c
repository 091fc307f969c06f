#include "memory.h"

#include "boot.h"
#include "console.h"
#include "layout.h"

#define FIRST 0x1000000ull
// The identity map ends here.
#define LIMIT 0x40000000ull

static uint64_t next = FIRST;

void *memory_take(size_t bytes, size_t alignment) {
  uint64_t at = (next + alignment - 1) & -(uint64_t)alignment;
  uint64_t end = boot.memory_end < LIMIT ? boot.memory_end : LIMIT;
  if (at > end || bytes > end - at) {
    print("\nerror not enough memory: RAM ends at 0x");
    print_hex(end, 8);
    print("\n");
    machine_exit(EXIT_USAGE);
  }
  next = at + bytes;
  return (void *)at;
}

void memory_reset(void) { next = FIRST; }

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
  unsigned char *d = to;
  const unsigned char *s = from;
  while (bytes--) *d++ = *s++;
  return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
  unsigned char *d = to;
  const unsigned char *s = from;
  if (d <= s || d >= s + bytes) return memcpy(to, from, bytes);
  while (bytes--) d[bytes] = s[bytes];
  return to;
}

void *memset(void *to, int value, size_t bytes) {
  unsigned char *d = to;
  while (bytes--) *d++ = (unsigned char)value;
  return to;
}

int memcmp(const void *a, const void *b, size_t bytes) {
  const unsigned char *p = a, *q = b;
  for (; bytes; bytes--, p++, q++)
    if (*p != *q) return *p - *q;
  return 0;
}
