#include "say.h"

#include <stdarg.h>

#include "console.h"

#define DIGITS 20 // of 2^64 - 1

static void fill(char with, int count) {
  char text[2] = {with, 0};
  while (count-- > 0) print(text);
}

/** Digits are made from the last to the first, so they are written from the buffer's end. Gives the first. */
static char *digits(char *end, uint64_t value, unsigned base) {
  *end = 0;
  do *--end = "0123456789abcdef"[value % base];
  while (value /= base);
  return end;
}

static int length(const char *text) {
  int n = 0;
  while (text[n]) n++;
  return n;
}

void say(const char *format, ...) {
  char buffer[DIGITS + 1];
  va_list arguments;
  va_start(arguments, format);
  for (; *format; format++) {
    if (*format != '%') {
      fill(*format, 1);
      continue;
    }
    int left = 0, zeros = 0, width = 0, is_long = 0;
    for (format++; *format == '-' || *format == '0'; format++) {
      if (*format == '-') left = 1;
      else zeros = 1;
    }
    for (; *format >= '0' && *format <= '9'; format++) width = 10 * width + (*format - '0');
    for (; *format == 'l'; format++) is_long = 1;

    const char *text = buffer;
    switch (*format) {
      case 's': text = va_arg(arguments, const char *); break;
      case 'c':
        buffer[0] = (char)va_arg(arguments, int);
        buffer[1] = 0;
        break;
      case 'u':
      case 'x': {
        uint64_t value = is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, uint32_t);
        text = digits(buffer + DIGITS, value, *format == 'x' ? 16 : 10);
        break;
      }
      default: // %%
        buffer[0] = *format;
        buffer[1] = 0;
    }
    int missing = width - length(text);
    if (!left) fill(zeros ? '0' : ' ', missing);
    print(text);
    if (left) fill(' ', missing);
  }
  va_end(arguments);
}

void say_title(const char *title) { say("\n%s\n", title); }

void say_name(const char *name) { say("  %-15s", name); }
