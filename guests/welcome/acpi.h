// The firmware's tables (ACPI 6.5, chapter 5): where chips are, which processors there are, how to switch off.
#ifndef WELCOME_ACPI_H
#define WELCOME_ACPI_H

#include <stdint.h>

#define MOST_PROCESSORS 64

struct acpi {
  /** Revision of the root pointer; -1 if there are no tables: then all below is 0. */
  int revision;
  uint32_t local_apic, io_apic;
  uint64_t hpet;
  /** I/O port of the power management timer, and of PM1a_CNT, which switches off. */
  uint16_t timer_port, control_port;
  /** SLP_TYP of state S5, from the package \_S5 of the DSDT. */
  int sleep_type;
  /** Number of the CMOS RAM's byte with the century. */
  uint8_t century;
  /** Local APIC IDs of the processors that can be used, the one that runs this among them. */
  int processors;
  uint8_t apic_ids[MOST_PROCESSORS];
};

extern struct acpi acpi;

/** Finds the tables and fills `acpi`. */
void acpi_read(void);

void acpi_report(void);

/** State S5, "soft off". Comes back only where there is no such control. */
void acpi_power_off(void);

#endif
