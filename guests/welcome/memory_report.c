#include "memory_report.h"

#include "boot.h"
#include "say.h"

#define USABLE 1
#define MIB 0x100000

static const char *const kinds[] = {"", "usable", "reserved", "ACPI tables", "ACPI, to be kept", "defective"};
#define KINDS (sizeof kinds / sizeof *kinds)

void memory_report(void) {
  say_title("Memory");
  uint64_t usable = 0;
  for (int i = 0; i < boot.memory_ranges; i++) {
    const struct memory_range *range = &boot.memory_map[i];
    if (!range->size) continue;
    if (range->type == USABLE) usable += range->size;
    say_name("");
    say("%010lx - %010lx  %s\n", range->address, range->address + range->size - 1,
        range->type < KINDS ? kinds[range->type] : "of a kind of its own");
  }
  say_name("usable");
  say("%lu MiB\n", (usable + MIB / 2) / MIB);
}
