// Text on COM1, polled: no interrupts, no UART FIFO.
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stdint.h>

void console_init(void);
void print(const char *text);
/** Hexadecimal, lower case, exactly `digits` digits (1-16), without 0x. */
void print_hex(uint64_t value, int digits);
void print_decimal(uint64_t value);

/** Ends the machine through isa-debug-exit with an EXIT_ code (layout.h); halts where there is no such port. */
_Noreturn void machine_exit(uint8_t code);

#endif
