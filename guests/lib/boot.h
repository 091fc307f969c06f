// What the loader told, and where a guest program begins.
#ifndef GUEST_BOOT_H
#define GUEST_BOOT_H

#include <stdint.h>

#define COMMAND_LINE_BYTES 1024

#ifdef KEEP_MEMORY_MAP // a program's flags say so: flags.sh
#define MEMORY_RANGES 32
struct memory_range {
  uint64_t address, size;
  /** As E820h numbers them: 1 usable, 2 reserved, 3 ACPI tables, 4 to be kept, 5 defective. */
  uint32_t type;
};
#endif

struct boot {
  /** BOOTED_BY_MULTIBOOT, BOOTED_BY_PVH (layout.h) or 0. */
  int loader;
  /** First byte after the RAM that begins at 1 MiB. 0 if the loader does not say. */
  uint64_t memory_end;
  /** Arguments only: a multiboot loader's first word is left out if it looks like a file name ('/' or '.'). */
  char command_line[COMMAND_LINE_BYTES];
  /** XCR0, or 0 if the processor has no XSAVE. */
  uint64_t xcr0;
#ifdef KEEP_MEMORY_MAP
  /** The loader's map of physical memory; no range if it has none. */
  int memory_ranges;
  struct memory_range memory_map[MEMORY_RANGES];
#endif
};

extern struct boot boot;

/** The guest program. When it returns, the machine ends with EXIT_DONE. */
void guest_main(void);

#endif
