// Interrupts: the local APIC's timer comes 20 times, at the pace that was asked for.
#include "clocks.h"
#include "cpu.h"
#include "exceptions.h"
#include "local_apic.h"
#include "processor.h"
#include "selftest.h"

#define INTERRUPTS 20u
#define PER_SECOND 10000u

static volatile unsigned count;

static int on_timer(struct exception_frame *frame) {
  (void)frame;
  count++;
  local_apic_done();
  return 1;
}

static int on_spurious(struct exception_frame *frame) {
  (void)frame;
  return 1; // no EOI: the APIC does not count it
}

enum outcome test_timer(void) {
  if (!has_local_apic() || !clocks.apic_timer) return SKIPPED;
  exception_handle(VECTOR_TIMER, on_timer);
  exception_handle(VECTOR_SPURIOUS, on_spurious);
  count = 0;
  uint64_t begin = rdtsc(), longest = clocks.tsc; // a second, where 2 ms are enough
  unsigned shown = 0;
  local_apic_timer_periodic((uint32_t)(clocks.apic_timer / PER_SECOND));
  __asm__ volatile("sti");
  while (count < INTERRUPTS && rdtsc() - begin < longest) {
    __asm__ volatile("pause");
    if (count >= shown + INTERRUPTS / 5) test_progress(), shown += INTERRUPTS / 5;
  }
  __asm__ volatile("cli");
  local_apic_timer_periodic(0);
  // Interrupts may come late, in a machine that is not alone on its host, but never early.
  uint64_t ticks = rdtsc() - begin, least = clocks.tsc / PER_SECOND * (INTERRUPTS - 1) / 10 * 9;
  return count >= INTERRUPTS && ticks >= least ? OK : FAILED;
}
