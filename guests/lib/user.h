// Ring 3 and system calls by SYSCALL/SYSRET.
#ifndef GUEST_USER_H
#define GUEST_USER_H

#include <stdint.h>

/**
 * Called for each SYSCALL, interrupts off, on a stack of its own. Arguments are the user's RDI, RSI, RDX and
 * RAX; the result goes to the user's RAX. RCX and R11 are lost (as SYSCALL does), and so are the registers
 * that C functions may change, except RDI, RSI and RDX.
 */
typedef uint64_t system_call_handler(uint64_t a, uint64_t b, uint64_t c, uint64_t number);

/**
 * Runs ring 3 code at `rip` with RSP = `rsp`, RDI = `argument` and all other registers 0, until a system call
 * calls user_leave; gives that value. The pages must be mapped with PAGE_U.
 */
uint64_t user_run(uint64_t rip, uint64_t rsp, uint64_t argument, system_call_handler *handler);

/** From within a system_call_handler: ends the user_run that is going on. */
_Noreturn void user_leave(uint64_t value);

#endif
