// Ring 3 code makes system calls that do next to nothing: SYSCALL, SWAPGS, a stack of the kernel's, a C
// function, SWAPGS, SYSRET.
#include "cpu.h"
#include "kernel.h"
#include "memory.h"
#include "paging.h"
#include "user.h"

#define USER_CODE (FREE_LINEAR_ADDRESS + 0x2000000000ull)
#define USER_STACK (USER_CODE + 0x100000)

// Ring 3 code, in system_call_user.S; it does not depend on where it lies.
extern const char user_image_start[], user_image_end[];

static uint64_t calls;

static uint64_t handler(uint64_t a, uint64_t b, uint64_t c, uint64_t number) {
  (void)b, (void)c;
  if (number != 1) user_leave(a);
  return a + ++calls;
}

void system_call_prepare(void) {
  uint8_t *code = memory_take(PAGE_BYTES, PAGE_BYTES), *stack = memory_take(PAGE_BYTES, PAGE_BYTES);
  memcpy(code, user_image_start, (size_t)(user_image_end - user_image_start));
  *page_entry(USER_CODE) = (uint64_t)code | PAGE_P | PAGE_U;
  *page_entry(USER_STACK) = (uint64_t)stack | PAGE_P | PAGE_W | PAGE_U;
  invlpg(USER_CODE);
  invlpg(USER_STACK);
}

uint64_t system_call_run(uint64_t iterations) {
  calls = 0;
  uint64_t sum = user_run(USER_CODE, USER_STACK + PAGE_BYTES, iterations, handler);
  return mix(sum, calls);
}
