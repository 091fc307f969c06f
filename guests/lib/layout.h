// Numbers that assembly and C share. No C declarations here.
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

// Selectors. SYSRET to 64-bit code loads CS = STAR[63:48] + 16 and SS = STAR[63:48] + 8 (APM 2, 6.1.1), which
// fixes the order: user data stands before user 64-bit code.
#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define USER_CS32 0x18
#define USER_DS 0x20
#define USER_CS 0x28
#define TSS_SELECTOR 0x30

#define BOOTED_BY_MULTIBOOT 1
#define BOOTED_BY_PVH 2

#define STACK_BYTES 0x8000

// isa-debug-exit: writing V ends QEMU with status 2V + 1.
#define EXIT_PORT 0xf4
#define EXIT_DONE 0x10      // status 33
#define EXIT_FAILED 0x11    // status 35: a check of the guest's own failed
#define EXIT_EXCEPTION 0x12 // status 37: an exception nobody handles
#define EXIT_USAGE 0x13     // status 39: command line or machine do not fit

#define COM1 0x3f8

#endif
