// GDT's TSS, IDT, and what happens on an exception.
#ifndef GUEST_EXCEPTIONS_H
#define GUEST_EXCEPTIONS_H

#include <stdint.h>

#define VECTOR_PAGE_FAULT 14

/** What the stubs of exceptions.S leave on the stack. `error_code` is 0 for vectors that push none. */
struct exception_frame {
  uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
  uint64_t vector, error_code;
  uint64_t rip, cs, rflags, rsp, ss;
};

/** Handles one exception; returns 0 if it is not one it knows. The frame may be changed: IRETQ loads it. */
typedef int exception_handler(struct exception_frame *frame);

/** Loads TSS (RSP0; IST 1 for #DF, 2 for NMI, 3 for #MC) and IDT (256 interrupt gates, DPL 0). */
void exceptions_init(void);

/** Installs the handler of one vector; a null pointer brings back the report that ends the machine. */
void exception_handle(int vector, exception_handler *handler);

#endif
