#include "console.h"

#include "cpu.h"
#include "layout.h"

#define LCR_DLAB 0x80
#define LCR_8N1 0x03
#define LSR_THR_EMPTY 0x20

void console_init(void) {
  outb(COM1 + 1, 0); // IER: no interrupts
  outb(COM1 + 3, LCR_DLAB);
  outb(COM1, 1); // divisor 1: 115,200 baud
  outb(COM1 + 1, 0);
  outb(COM1 + 3, LCR_8N1);
  outb(COM1 + 2, 0); // FCR: FIFO off
  outb(COM1 + 4, 3); // MCR: DTR, RTS
}

static void put(char c) {
  while (!(inb(COM1 + 5) & LSR_THR_EMPTY))
    ;
  outb(COM1, (uint8_t)c);
}

void print(const char *text) {
  while (*text) put(*text++);
}

void print_hex(uint64_t value, int digits) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) put("0123456789abcdef"[(value >> shift) & 15]);
}

void print_decimal(uint64_t value) {
  char text[21];
  char *p = text + 20;
  *p = 0;
  do *--p = (char)('0' + value % 10);
  while (value /= 10);
  print(p);
}

_Noreturn void machine_exit(uint8_t code) {
  outb(EXIT_PORT, code);
  for (;;) __asm__ volatile("cli; hlt");
}
