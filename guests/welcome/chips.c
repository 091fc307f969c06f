#include "chips.h"

#include "acpi.h"
#include "cpu.h"
#include "local_apic.h"
#include "physical.h"
#include "processor.h"
#include "say.h"

static void local_apic_report(void) {
  say_name("local APIC");
  if (!has_local_apic()) {
    say("none\n");
    return;
  }
  uint32_t version = local_apic_version();
  say("version %02xh, %u local interrupts\n", version & 255, (version >> 16 & 255) + 1);
}

static void io_apic_report(void) {
  // The chip has two registers in memory: the number of an inner register, and its content (82093AA, 3.0).
  volatile void *io_apic = physical(acpi.io_apic, 0x20);
  write_register(io_apic, 0, 1);
  uint32_t version = read_register(io_apic, 0x10);
  say_name("I/O APIC");
  say("version %02xh, %u inputs, at %xh\n", version & 255, (version >> 16 & 255) + 1, acpi.io_apic);
}

static void hpet_report(void) {
  volatile void *hpet = physical(acpi.hpet, 0x100);
  uint32_t capabilities = read_register(hpet, 0);
  uint32_t femtoseconds = read_register(hpet, 4); // of one tick
  if (!femtoseconds) return;
  say_name("HPET");
  say("%u timers, %lu MHz, at %lxh\n", (capabilities >> 8 & 31) + 1, 1000000000 / (uint64_t)femtoseconds, acpi.hpet);
}

// MC146818: bytes of CMOS RAM behind an index port and a data port.
#define CLOCK_INDEX 0x70
#define CLOCK_DATA 0x71
#define SECONDS 0
#define MINUTES 2
#define HOURS 4
#define DAY 7
#define MONTH 8
#define YEAR 9
#define STATUS_A 10
#define STATUS_B 11
#define UPDATING 0x80 // of A: what is read now may be half old, half new
#define BINARY 0x04   // of B: else two decimal digits in each byte
#define HOURS_24 0x02 // of B
#define AFTERNOON 0x80
#define NO_DEVICE 0xff // what a port reads that nobody answers at

static uint8_t clock_byte(uint8_t index) {
  outb(CLOCK_INDEX, index);
  return inb(CLOCK_DATA);
}

static uint32_t number(uint8_t index) {
  uint8_t value = clock_byte(index), afternoon = 0;
  int is_binary = clock_byte(STATUS_B) & BINARY, is_12 = index == HOURS && !(clock_byte(STATUS_B) & HOURS_24);
  if (is_12) afternoon = value & AFTERNOON, value &= (uint8_t)~AFTERNOON;
  uint32_t n = is_binary ? value : 10u * (value >> 4) + (value & 15);
  return is_12 ? n % 12 + (afternoon ? 12 : 0) : n;
}

static void clock_report(void) {
  say_name("date and time");
  if (clock_byte(STATUS_A) == NO_DEVICE) {
    say("no clock\n");
    return;
  }
  uint32_t second, minute, hour, day, month, year, century;
  int tries = 100000;
  do { // again if a second ended meanwhile
    while (clock_byte(STATUS_A) & UPDATING && --tries > 0) __asm__ volatile("pause");
    second = number(SECONDS), minute = number(MINUTES), hour = number(HOURS);
    day = number(DAY), month = number(MONTH), year = number(YEAR);
    century = acpi.century ? number(acpi.century) : 20;
  } while (second != number(SECONDS) && --tries > 0);
  say("%02u%02u-%02u-%02u %02u:%02u:%02u\n", century, year, month, day, hour, minute, second);
}

void chips_report(void) {
  local_apic_report();
  if (acpi.io_apic) io_apic_report();
  if (acpi.hpet) hpet_report();
  acpi_report();
  clock_report();
}
