#include "exceptions.h"

#include "console.h"
#include "cpu.h"
#include "layout.h"

struct tss {
  uint32_t reserved0;
  uint64_t rsp[3];
  uint64_t reserved1;
  uint64_t ist[7];
  uint64_t reserved2;
  uint16_t reserved3;
  uint16_t io_map_base;
} __attribute__((packed));

struct gate {
  uint16_t offset_low, selector;
  uint8_t ist, type;
  uint16_t offset_middle;
  uint32_t offset_high, reserved;
};

#define GATE_INTERRUPT 0x8e
#define DESCRIPTOR_TSS 0x89ull

#define VECTOR_NMI 2
#define VECTOR_DOUBLE_FAULT 8
#define VECTOR_MACHINE_CHECK 18

#define IST_STACK_BYTES 4096

extern uint64_t gdt[];
extern const char exception_stubs[];

static struct tss tss;
static struct gate idt[256] __attribute__((aligned(16)));
static exception_handler *handlers[256];
static uint8_t rsp0_stack[STACK_BYTES] __attribute__((aligned(16)));
static uint8_t ist_stacks[3][IST_STACK_BYTES] __attribute__((aligned(16)));

void exceptions_init(void) {
  tss.rsp[0] = (uint64_t)(rsp0_stack + STACK_BYTES);
  for (int i = 0; i < 3; i++) tss.ist[i] = (uint64_t)(ist_stacks[i] + IST_STACK_BYTES);
  tss.io_map_base = sizeof tss;
  uint64_t base = (uint64_t)&tss;
  gdt[TSS_SELECTOR / 8] = (sizeof tss - 1) | (base & 0xffffff) << 16 | DESCRIPTOR_TSS << 40 |
                          (base >> 24 & 0xff) << 56;
  gdt[TSS_SELECTOR / 8 + 1] = base >> 32;
  __asm__ volatile("ltr %w0" : : "r"(TSS_SELECTOR) : "memory");

  for (int vector = 0; vector < 256; vector++) {
    uint64_t stub = (uint64_t)exception_stubs + 16 * (uint64_t)vector;
    struct gate *g = &idt[vector];
    g->offset_low = (uint16_t)stub;
    g->offset_middle = (uint16_t)(stub >> 16);
    g->offset_high = (uint32_t)(stub >> 32);
    g->selector = KERNEL_CS;
    g->type = GATE_INTERRUPT;
  }
  idt[VECTOR_DOUBLE_FAULT].ist = 1;
  idt[VECTOR_NMI].ist = 2;
  idt[VECTOR_MACHINE_CHECK].ist = 3;
  struct {
    uint16_t limit;
    uint64_t base;
  } __attribute__((packed)) pointer = {sizeof idt - 1, (uint64_t)idt};
  __asm__ volatile("lidt %0" : : "m"(pointer) : "memory");
}

void exception_handle(int vector, exception_handler *handler) { handlers[vector] = handler; }

static void print_field(const char *name, uint64_t value) {
  print(name);
  print_hex(value, 16);
}

void exception_dispatch(struct exception_frame *frame) {
  exception_handler *handler = handlers[frame->vector];
  if (handler && handler(frame)) return;
  print("\nexception vector=");
  print_decimal(frame->vector);
  print_field(" error=", frame->error_code);
  print_field(" rip=", frame->rip);
  print_field(" cr2=", read_cr2());
  print_field(" cs=", frame->cs);
  print_field(" rsp=", frame->rsp);
  print_field(" rflags=", frame->rflags);
  print("\n");
  machine_exit(EXIT_EXCEPTION);
}
