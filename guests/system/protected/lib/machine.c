#include "machine.h"

#include "console.h"

uint64_t descriptors[DESCRIPTORS] __attribute__((aligned(16)));
struct gate32 gates[256] __attribute__((aligned(16)));
struct tss32 task;
exception_handler *machine_hook;
uint8_t ring0_stack[STACK_BYTES] __attribute__((aligned(16)));

struct table_pointer {
  uint16_t limit;
  uint32_t base;
} __attribute__((packed));

void gate_put(int vector, uint32_t offset, uint16_t selector, uint8_t type) {
  gates[vector] = (struct gate32){(uint16_t)offset, selector, 0, type, (uint16_t)(offset >> 16)};
}

void gate_reset(int vector) { gate_put(vector, (uint32_t)exception_stubs + 16 * (uint32_t)vector, KERNEL_CS, 0x8e); }

_Noreturn void machine_start(void);
_Noreturn void machine_start(void) {
  descriptors[KERNEL_CS / 8] = descriptor(0, 0xfffff, TYPE_CODE, FLAG_G | FLAG_D);
  descriptors[KERNEL_DS / 8] = descriptor(0, 0xfffff, TYPE_DATA, FLAG_G | FLAG_D);
  descriptors[USER_CS32 / 8] = descriptor(0, 0xfffff, TYPE_CODE | 0x60, FLAG_G | FLAG_D);
  descriptors[USER_DS / 8] = descriptor(0, 0xfffff, TYPE_DATA | 0x60, FLAG_G | FLAG_D);
  descriptors[TSS_SELECTOR / 8] = descriptor((uint32_t)&task, sizeof task - 1, 0x89, 0);
  task.ss0 = KERNEL_DS;
  task.esp0 = (uint32_t)ring0_stack + STACK_BYTES;
  task.io_map_base = sizeof task;
  for (int vector = 0; vector < 256; vector++) gate_reset(vector);
  gates[VECTOR_LEAVE].type = 0xee;
  struct table_pointer gdt = {sizeof descriptors - 1, (uint32_t)descriptors};
  struct table_pointer idt = {sizeof gates - 1, (uint32_t)gates};
  __asm__ volatile(
      "lgdt %0\n lidt %1\n ljmp %2, $1f\n 1: movl %3, %%ss\n movl %4, %%ds\n movl %4, %%es\n"
      "movl %5, %%fs\n movl %5, %%gs\n ltr %w6\n fninit"
      :
      : "m"(gdt), "m"(idt), "i"(KERNEL_CS), "r"(KERNEL_DS), "r"(USER_DS + 3), "r"(0), "r"(TSS_SELECTOR)
      : "memory");
  console_init();
  guest_main();
  checks_end();
}

static void print_field(const char *name, uint32_t value) {
  print(name);
  print_hex(value, 8);
}

void exception_dispatch(struct exception_frame *frame);
void exception_dispatch(struct exception_frame *frame) {
  if (machine_hook && machine_hook(frame)) return;
  if (!attempt_recovery) {
    print_field("\nexception vector=", frame->vector);
    print_field(" error=", frame->error_code);
    print_field(" eip=", frame->eip);
    print_field(" cs=", frame->cs);
    print("\n");
    machine_exit(EXIT_EXCEPTION);
  }
  int is_inner = (frame->cs & 3) != 0 || (frame->eflags & FLAG_VM) != 0;
  fault.vector = frame->vector == VECTOR_LEAVE ? NO_FAULT : frame->vector;
  fault.error = frame->error_code;
  fault.rip = frame->eip;
  fault.cs = frame->cs;
  fault.rflags = frame->eflags;
  fault.rsp = is_inner ? frame->esp : (uint32_t)&frame->esp;
  fault.ss = is_inner ? frame->ss : 0;
  uint32_t cr2;
  __asm__ volatile("movl %%cr2, %0\n movl %1, %%ss" : "=&r"(cr2) : "r"(KERNEL_DS));
  fault.cr2 = cr2;
  // Back to level 0 by an IRET that loads no stack; the end of the attempt loads ESP.
  frame->ds = frame->es = USER_DS + 3;
  frame->eip = attempt_recovery;
  frame->cs = KERNEL_CS;
  frame->eflags = 2;
}
