#include "machine.h"

#include "access.h"
#include "paging.h"

extern uint64_t gdt[];
extern uint64_t boot_pml4[512];

uint64_t descriptors[DESCRIPTORS] __attribute__((aligned(16)));
struct gate64 *gates;
struct tss64 *task;
exception_handler *machine_hook;

struct table_pointer {
  uint16_t limit;
  uint64_t base;
} __attribute__((packed));

static int on_exception(struct exception_frame *frame) {
  if (machine_hook && machine_hook(frame)) return 1;
  if (!attempt_recovery) return 0;
  fault.vector = frame->vector == VECTOR_LEAVE ? NO_FAULT : frame->vector;
  fault.error = frame->error_code;
  fault.rip = frame->rip;
  fault.cs = frame->cs;
  fault.rflags = frame->rflags;
  fault.rsp = frame->rsp;
  fault.ss = frame->ss;
  fault.cr2 = read_cr2();
  // Registers keep what they had, as the compiler believes; the data segments were ring 3's, or null.
  __asm__ volatile("movl %0, %%ds\n movl %0, %%es" : : "r"(KERNEL_DS));
  frame->rip = attempt_recovery;
  frame->rsp = attempt_sp;
  frame->cs = KERNEL_CS;
  frame->ss = KERNEL_DS;
  frame->rflags = 2;
  return 1;
}

void machine_init(void) {
  struct table_pointer pointer;
  __asm__ volatile("sidt %0" : "=m"(pointer));
  gates = (struct gate64 *)pointer.base;
  for (int i = 0; i < 8; i++) descriptors[i] = gdt[i];
  pointer = (struct table_pointer){sizeof descriptors - 1, (uint64_t)descriptors};
  __asm__ volatile("lgdt %0" : : "m"(pointer));
  uint64_t low = descriptors[TSS_SELECTOR / 8];
  task = (struct tss64 *)((low >> 16 & 0xffffff) | (low >> 32 & 0xff000000));
  for (int vector = 0; vector < 256; vector++) exception_handle(vector, on_exception);
  gates[VECTOR_LEAVE].type = 0xee;
}

void gate_put(int vector, uint64_t offset, uint16_t selector, uint8_t type, uint8_t ist) {
  gates[vector] = (struct gate64){(uint16_t)offset, selector, ist, type, (uint16_t)(offset >> 16), (uint32_t)(offset >> 32), 0};
}

void map_user_code(void) {
  uint64_t linear = FREE_LINEAR_ADDRESS + 0x7000000000;
  *page_entry(linear) = (uint64_t)access_user_page | PAGE_P | PAGE_U;
  access_init(linear);
}

void identity_for_users(void) {
  uint64_t *pdpt = (uint64_t *)(boot_pml4[0] & PAGE_ADDRESS);
  uint64_t *directory = (uint64_t *)(pdpt[0] & PAGE_ADDRESS);
  boot_pml4[0] |= PAGE_U;
  pdpt[0] |= PAGE_U;
  for (int i = 0; i < 512; i++) directory[i] |= PAGE_U;
  write_cr3(read_cr3());
}
