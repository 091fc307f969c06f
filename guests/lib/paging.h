// 4 KiB pages beside the identity map of the first GiB, in the tables that boot.S loaded into CR3.
#ifndef GUEST_PAGING_H
#define GUEST_PAGING_H

#include <stdint.h>

#define PAGE_BYTES 4096ull
#define PAGE_P 0x1ull
#define PAGE_W 0x2ull
#define PAGE_U 0x4ull
#define PAGE_A 0x20ull
#define PAGE_D 0x40ull
#define PAGE_PS 0x80ull
#define PAGE_ADDRESS 0x000ffffffffff000ull

/** A linear address that boot.S leaves unmapped: PML4 entry 1. 512 GiB are free from here. */
#define FREE_LINEAR_ADDRESS 0x8000000000ull

/**
 * The page-table entry (level 1) of a linear address; missing tables are made, with U and W set so that the
 * last level decides. The address must not lie in the identity map, whose pages are large.
 */
uint64_t *page_entry(uint64_t linear);

#endif
