// The guest that `npm start` boots: looks around in the machine, tests it, and switches it off. A good first thing to
// read is this file from top to bottom; each report and each test is a file of its own.
//
// On the command line: speed=N, the milliseconds that measuring the speed takes at least (1 to 9999, default 400).
#include "acpi.h"
#include "boot.h"
#include "chips.h"
#include "clocks.h"
#include "console.h"
#include "layout.h"
#include "local_apic.h"
#include "memory.h"
#include "memory_report.h"
#include "others.h"
#include "pci.h"
#include "processor.h"
#include "say.h"
#include "selftest.h"
#include "speed.h"

#define SPEED_MILLISECONDS 400

static uint64_t speed_milliseconds(void) {
  const char *text = boot.command_line;
  if (memcmp(text, "speed=", 6)) return SPEED_MILLISECONDS;
  uint64_t value = 0;
  for (text += 6; *text >= '0' && *text <= '9' && value < 1000; text++) value = 10 * value + (uint64_t)(*text - '0');
  return value ? value : SPEED_MILLISECONDS;
}

static void wake_the_others(void) {
  unsigned others = acpi.processors ? (unsigned)acpi.processors - 1 : 0;
  if (!others || !has_local_apic()) return;
  test_begin("processors: the others wake up");
  unsigned answered = (unsigned)others_start();
  test_end(answered == others ? OK : FAILED);
  say_name("");
  say("%u of %u answered\n", answered, others);
}

static void say_how_to_go_on(void) {
  say("\nGo on with\n"
      "  npm run linux                  Debian's kernel with a shell, in this terminal\n"
      "  npm run nest86 -- run --help   your own kernel, and all that can be set\n"
      "  guests/welcome/main.c          what you have just seen\n");
}

void guest_main(void) {
  say("nest86 welcome: a program that has the whole PC to itself, with no operating system, in 64-bit mode.\n"
      "It looks around, tests the machine, and switches it off.\n");
  acpi_read();
  if (has_local_apic()) local_apic_start();
  clocks_measure();

  processor_report();
  memory_report();
  say_title("Devices");
  chips_report();
  pci_report();

  say_title("Self-test");
  wake_the_others();
  selftest();
  speed_report(speed_milliseconds());

  if (tests_failed) {
    say("\n%u of %u tests FAILED.\n", tests_failed, tests_run);
    machine_exit(EXIT_FAILED);
  }
  say("\nAll %u tests passed.\n", tests_run);
  say_how_to_go_on();
  acpi_power_off();
  // Nothing here answers to that: guest_main's caller ends the machine by another port.
}
