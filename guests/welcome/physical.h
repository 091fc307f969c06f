// Physical memory, wherever it is: registers of devices, and tables of the firmware.
#ifndef WELCOME_PHYSICAL_H
#define WELCOME_PHYSICAL_H

#include <stddef.h>
#include <stdint.h>

/**
 * A pointer to `bytes` bytes at a physical address. Below 1 GiB start-up has mapped memory one to one; what is above
 * is mapped now, at FREE_LINEAR_ADDRESS + address, not cached: most of it is registers.
 */
void *physical(uint64_t address, size_t bytes);

/** Registers must be read and written once, as the program says, and in 32 bits. */
static inline uint32_t read_register(const volatile void *base, uint32_t offset) {
  return *(const volatile uint32_t *)((const volatile char *)base + offset);
}

static inline void write_register(volatile void *base, uint32_t offset, uint32_t value) {
  *(volatile uint32_t *)((volatile char *)base + offset) = value;
}

#endif
