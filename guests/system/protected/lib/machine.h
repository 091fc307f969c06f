// 32-bit protected mode's side of attempt.h: tables, TSS, handlers. DS and ES are USER_DS + 3 at all times, so
// that rings 0 and 3 share them.
#ifndef GUEST_PROTECTED_MACHINE_H
#define GUEST_PROTECTED_MACHINE_H

#include <stddef.h>

#include "attempt.h"
#include "cpu.h"

struct gate32 {
  uint16_t offset_low, selector;
  uint8_t count, type;
  uint16_t offset_high;
};

struct tss32 {
  uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
  uint32_t es, cs, ss, ds, fs, gs, ldt;
  uint16_t trap, io_map_base;
};

/** What the stubs leave; FS and GS are the program's at all times. ESP and SS are there if the handler runs in an inner ring, the rest after virtual-8086 mode. */
struct exception_frame {
  uint32_t es, ds, edi, esi, ebp, esp_of_pusha, ebx, edx, ecx, eax;
  uint32_t vector, error_code, eip, cs, eflags, esp, ss;
  uint32_t v86_es, v86_ds, v86_fs, v86_gs;
};

typedef int exception_handler(struct exception_frame *frame);

#define FREE_SELECTOR 0x40
#define DESCRIPTORS 64
#define TYPE_DATA 0x93
#define TYPE_CODE 0x9b
#define FLAG_G 0x8
#define FLAG_D 0x4

extern uint64_t descriptors[DESCRIPTORS];
extern struct gate32 gates[256];
extern struct tss32 task;
extern exception_handler *machine_hook;
extern const char exception_stubs[];
extern uint8_t ring0_stack[STACK_BYTES];

/** A descriptor's eight bytes; `limit` of 20 bits, `flags` are G, D, L, AVL. */
static inline uint64_t descriptor(uint32_t base, uint32_t limit, uint8_t type, uint8_t flags) {
  return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)type << 40 |
         (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

void gate_put(int vector, uint32_t offset, uint16_t selector, uint8_t type);
/** The gate as it was at the start: the stub, KERNEL_CS, an interrupt gate of DPL 0. */
void gate_reset(int vector);

/** The guest program. */
void guest_main(void);

#endif
