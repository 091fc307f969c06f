#include "clocks.h"

#include "acpi.h"
#include "cpu.h"
#include "local_apic.h"
#include "ports.h"
#include "processor.h"
#include "speed.h"

#define PM_TIMER_HZ 3579545
#define PM_TIMER_MASK 0xffffff // it has at least 24 bits
#define MOST_ROUNDS 1000

struct clocks clocks = {.tsc = 1000000000};

/** Leaf 15h: the crystal's frequency in ECX, and how much faster the counter is: EBX / EAX. */
static uint64_t tsc_as_told(void) {
  if (cpuid(0, 0).eax < 0x15) return 0;
  struct cpuid_result r = cpuid(0x15, 0);
  return r.eax && r.ebx && r.ecx ? (uint64_t)r.ecx * r.ebx / r.eax : 0;
}

void clocks_measure(void) {
  if (!acpi.timer_port) {
    uint64_t told = tsc_as_told();
    if (told) clocks.tsc = told, clocks.is_known = 1;
    return;
  }
  uint32_t apic_ticks = 0;
  if (has_local_apic()) local_apic_timer_measure();
  uint32_t begin = inl(acpi.timer_port), ticks;
  uint64_t tsc = rdtsc();
  // Work that takes long enough, rather than reading the port over and over.
  int rounds = 0;
  do {
    speed_loop(500000);
    ticks = (inl(acpi.timer_port) - begin) & PM_TIMER_MASK;
    if (++rounds == MOST_ROUNDS) return; // it stands still
  } while (ticks < PM_TIMER_HZ / 500);
  tsc = rdtsc() - tsc;
  if (has_local_apic()) apic_ticks = 0xffffffff - local_apic_timer_count();
  clocks.tsc = tsc * PM_TIMER_HZ / ticks;
  clocks.apic_timer = (uint64_t)apic_ticks * PM_TIMER_HZ / ticks;
  clocks.is_known = 1;
}

void wait_microseconds(uint64_t count) {
  uint64_t begin = rdtsc(), ticks = clocks.tsc / 1000000 * count;
  while (rdtsc() - begin < ticks) __asm__ volatile("pause");
}
