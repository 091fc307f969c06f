#include "user.h"

#include "cpu.h"
#include "layout.h"

// TF, IF, DF, NT and AC are cleared by SYSCALL.
#define SFMASK (1ull << 8 | 1ull << 9 | 1ull << 10 | 1ull << 14 | 1ull << 18)

extern const char system_call_entry[];
uint64_t user_enter(uint64_t rip, uint64_t rsp, uint64_t argument);

static uint8_t system_call_stack[STACK_BYTES] __attribute__((aligned(16)));

// GS points here between the two SWAPGS of a system call. user.S knows the offsets.
struct per_cpu {
  uint64_t kernel_rsp;           // 0: the system call stack
  uint64_t user_rsp;             // 8
  uint64_t return_rsp;           // 16: the stack of user_enter's caller
  system_call_handler *handler;  // 24
} per_cpu;

uint64_t user_run(uint64_t rip, uint64_t rsp, uint64_t argument, system_call_handler *handler) {
  per_cpu.kernel_rsp = (uint64_t)(system_call_stack + STACK_BYTES);
  per_cpu.handler = handler;
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
  wrmsr(MSR_STAR, (uint64_t)(USER_CS32 | 3) << 48 | (uint64_t)KERNEL_CS << 32);
  wrmsr(MSR_LSTAR, (uint64_t)system_call_entry);
  wrmsr(MSR_SFMASK, SFMASK);
  wrmsr(MSR_KERNEL_GS_BASE, (uint64_t)&per_cpu);
  return user_enter(rip, rsp, argument);
}
