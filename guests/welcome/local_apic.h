// The interrupt controller that each processor has (SDM 3A, chapter 10), by its registers in memory.
#ifndef WELCOME_LOCAL_APIC_H
#define WELCOME_LOCAL_APIC_H

#include <stdint.h>

/** Interrupts the guest takes; 0 to 31 are the processor's exceptions. */
#define VECTOR_TIMER 0x40
#define VECTOR_SPURIOUS 0xff

/** Maps the registers and enables the APIC of this processor; silences the old 8259 controllers. */
void local_apic_start(void);

uint8_t local_apic_id(void);

/** The interrupt is handled: the next one may come. */
void local_apic_done(void);

// Interrupts to another processor.
void local_apic_send_init(uint8_t to);
/** The processor begins in real mode at 4096 * `page`; nothing happens if it runs already. */
void local_apic_send_startup(uint8_t to, uint8_t page);

/** An interrupt VECTOR_TIMER after each `ticks` of the APIC's own clock; 0 stops it. */
void local_apic_timer_periodic(uint32_t ticks);
/** Counts down from FFFFFFFFh without an interrupt, to measure that clock. */
void local_apic_timer_measure(void);
uint32_t local_apic_timer_count(void);

/** Bits 0-7 version, 16-23 number of the last local vector. */
uint32_t local_apic_version(void);

#endif
