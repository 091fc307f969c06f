#include "physical.h"

#include "paging.h"

#define IDENTITY_MAP_END 0x40000000ull
#define PAGE_PCD 0x10ull // cache disable

void *physical(uint64_t address, size_t bytes) {
  if (address + bytes <= IDENTITY_MAP_END) return (void *)address;
  for (uint64_t page = address & PAGE_ADDRESS; page < address + bytes; page += PAGE_BYTES) {
    // No INVLPG: the entry was not present before, and such entries are never cached (SDM 3A, 4.10.4.3).
    *page_entry(FREE_LINEAR_ADDRESS + page) = page | PAGE_P | PAGE_W | PAGE_PCD;
  }
  return (void *)(FREE_LINEAR_ADDRESS + address);
}
