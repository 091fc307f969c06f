// What CPUID tells.
#ifndef WELCOME_PROCESSOR_H
#define WELCOME_PROCESSOR_H

#include <stdint.h>

enum cpuid_register { EAX, EBX, ECX, EDX };

/** Whether a bit of CPUID is set; 0 if the processor does not have the leaf. */
int cpuid_bit(uint32_t leaf, enum cpuid_register which, int bit);

static inline int has_local_apic(void) { return cpuid_bit(1, EDX, 9); }

void processor_report(void);

#endif
