#include "others.h"

#include <stdint.h>

#include "acpi.h"
#include "clocks.h"
#include "local_apic.h"
#include "memory.h"

/** Where the first instructions of the others lie: a page below 1 MiB, since they begin in real mode. */
#define TRAMPOLINE_PAGE 0x7
#define TRAMPOLINE_STACK_BYTES 4096

extern const char trampoline[], trampoline_end[];

/** Read by the trampoline: where its stack ends. Processors start one after the other, so one variable does. */
volatile uint64_t trampoline_stack;

/** Counted by those who have come as far as C. */
static volatile uint32_t answers;

/** Called by the trampoline in 64-bit mode, interrupts off. */
_Noreturn void other_main(void) {
  __atomic_fetch_add(&answers, 1, __ATOMIC_SEQ_CST);
  for (;;) __asm__ volatile("cli; hlt");
}

static int answered_within(uint32_t wanted, int tenths_of_milliseconds) {
  while (answers < wanted) {
    if (tenths_of_milliseconds-- == 0) return 0;
    wait_microseconds(100);
  }
  return 1;
}

/** INIT, then the start-up interrupt, and this a second time if need be (SDM 3A, 8.4.4.1). */
static void start(uint8_t apic_id) {
  uint32_t wanted = answers + 1;
  trampoline_stack = (uint64_t)memory_take(TRAMPOLINE_STACK_BYTES, 16) + TRAMPOLINE_STACK_BYTES;
  local_apic_send_init(apic_id);
  // The manual asks for 10 ms, which processors of the nineties needed.
  wait_microseconds(200);
  local_apic_send_startup(apic_id, TRAMPOLINE_PAGE);
  if (answered_within(wanted, 2)) return;
  local_apic_send_startup(apic_id, TRAMPOLINE_PAGE);
  answered_within(wanted, 1000);
}

int others_start(void) {
  memcpy((void *)(TRAMPOLINE_PAGE * 4096ull), trampoline, (uint64_t)(trampoline_end - trampoline));
  for (int i = 0; i < acpi.processors; i++) {
    if (acpi.apic_ids[i] != local_apic_id()) start(acpi.apic_ids[i]);
  }
  return (int)answers;
}
