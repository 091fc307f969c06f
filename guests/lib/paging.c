#include "paging.h"

#include "console.h"
#include "layout.h"

#define POOL_TABLES 64

extern uint64_t boot_pml4[512];

static uint64_t pool[POOL_TABLES][512] __attribute__((aligned(4096)));
static int pool_used;

static uint64_t *next_table(uint64_t *entry) {
  if (!(*entry & PAGE_P)) {
    if (pool_used == POOL_TABLES) {
      print("error no page tables left\n");
      machine_exit(EXIT_FAILED);
    }
    *entry = (uint64_t)pool[pool_used++] | PAGE_P | PAGE_W | PAGE_U;
  }
  if (*entry & PAGE_PS) {
    print("error page_entry inside the identity map\n");
    machine_exit(EXIT_FAILED);
  }
  return (uint64_t *)(*entry & PAGE_ADDRESS);
}

uint64_t *page_entry(uint64_t linear) {
  uint64_t *table = boot_pml4;
  for (int shift = 39; shift > 12; shift -= 9) table = next_table(&table[linear >> shift & 511]);
  return &table[linear >> 12 & 511];
}
