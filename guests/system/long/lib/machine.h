// 64-bit mode's side of attempt.h, and descriptor tables with room.
#ifndef GUEST_LONG_MACHINE_H
#define GUEST_LONG_MACHINE_H

#include "attempt.h"
#include "cpu.h"
#include "exceptions.h"

struct gate64 {
  uint16_t offset_low, selector;
  uint8_t ist, type;
  uint16_t offset_middle;
  uint32_t offset_high, reserved;
};

struct tss64 {
  uint32_t reserved0;
  uint64_t rsp[3];
  uint64_t reserved1;
  uint64_t ist[7];
  uint64_t reserved2;
  uint16_t reserved3, io_map_base;
} __attribute__((packed));

/** Selectors of free descriptors begin here. */
#define FREE_SELECTOR 0x40
#define DESCRIPTORS 64

/** The GDT in use. */
extern uint64_t descriptors[DESCRIPTORS];
extern struct gate64 *gates;
extern struct tss64 *task;

/** All vectors end an attempt; the GDT is `descriptors`. */
void machine_init(void);

/** Asked first, if not null; 1: go on at the frame's RIP, 0: the attempt ends. */
extern exception_handler *machine_hook;

void gate_put(int vector, uint64_t offset, uint16_t selector, uint8_t type, uint8_t ist);

/** Maps what access() runs in ring 3, far from everything else. */
void map_user_code(void);

/** Ring 3 may use all pages of the identity map. */
void identity_for_users(void);

#endif
