// Runs a few instructions that may fault, and keeps what the exception told. For guests of 32 and of 64 bits.
#ifndef GUEST_ATTEMPT_H
#define GUEST_ATTEMPT_H

#include <stdint.h>

#include "check.h"
#include "layout.h"

#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_BR 5
#define VECTOR_UD 6
#define VECTOR_NM 7
#define VECTOR_DF 8
#define VECTOR_TS 10
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_MF 16
#define VECTOR_AC 17
#define VECTOR_XM 19
/** Its gate has DPL 3; ATTEMPT_USER ends with it. */
#define VECTOR_LEAVE 0x80
#define NO_FAULT 0xffu

#define FLAG_TF 0x100ul
#define FLAG_IF 0x200ul
#define FLAG_IOPL 0x3000ul
#define FLAG_NT 0x4000ul
#define FLAG_RF 0x10000ul
#define FLAG_VM 0x20000ul
#define FLAG_AC 0x40000ul

/** The exception that ended the last attempt. */
struct fault {
  /** NO_FAULT: all instructions have run. */
  unsigned long vector, error, rip, cs, rflags, rsp, ss, cr2;
};
extern volatile struct fault fault;

extern unsigned long attempt_start, attempt_recovery, attempt_sp, attempt_user_flags;

#ifdef __x86_64__
#define ATTEMPT_WORD "q"
#define ATTEMPT_SP "%%rsp"
#else
#define ATTEMPT_WORD "l"
#define ATTEMPT_SP "%%esp"
#endif
#define ATTEMPT_TEXT(x) #x
#define ATTEMPT_NUMBER(x) ATTEMPT_TEXT(x)

// An instruction that sets all this up must not change flags: the code may depend on them.
#define ATTEMPT_BEGIN                                                                     \
  "mov" ATTEMPT_WORD " $771f, attempt_recovery\n mov" ATTEMPT_WORD " " ATTEMPT_SP         \
  ", attempt_sp\n mov" ATTEMPT_WORD " $770f, attempt_start\n mov" ATTEMPT_WORD            \
  " $" ATTEMPT_NUMBER(NO_FAULT_NUMBER) ", fault\n"
#define ATTEMPT_END "771: mov" ATTEMPT_WORD " attempt_sp, " ATTEMPT_SP "\n"
#define NO_FAULT_NUMBER 0xff

/** ATTEMPT("text", : outputs : inputs : clobbers). Saved RIPs count from the start of the text. */
#define ATTEMPT(code, ...) __asm__ volatile(ATTEMPT_BEGIN "770: " code "\n" ATTEMPT_END __VA_ARGS__)
/** Likewise, but RIPs count from the label 770 in the text. */
#define ATTEMPT_AT(code, ...) __asm__ volatile(ATTEMPT_BEGIN code "\n" ATTEMPT_END __VA_ARGS__)
/** In ring 3 with the flags `attempt_user_flags`, on the same stack. The pages must allow it. */
#define ATTEMPT_USER(code, ...)                                                           \
  __asm__ volatile(ATTEMPT_BEGIN ATTEMPT_TO_USER "770: " code "\nint $0x80\n" ATTEMPT_END __VA_ARGS__)
#define ATTEMPT_USER_AT(code, ...)                                                        \
  __asm__ volatile(ATTEMPT_BEGIN ATTEMPT_TO_USER code "\nint $0x80\n" ATTEMPT_END __VA_ARGS__)

#ifdef __x86_64__
#define ATTEMPT_TO_USER                                                                    \
  "pushq $" ATTEMPT_NUMBER(USER_DS) "+3\n pushq attempt_sp\n pushq attempt_user_flags\n"   \
  "pushq $" ATTEMPT_NUMBER(USER_CS) "+3\n pushq $772f\n iretq\n 772:\n"
#else
#define ATTEMPT_TO_USER                                                                    \
  "pushl $" ATTEMPT_NUMBER(USER_DS) "+3\n pushl attempt_sp\n pushl attempt_user_flags\n"   \
  "pushl $" ATTEMPT_NUMBER(USER_CS32) "+3\n pushl $772f\n iretl\n 772:\n"
#endif

/** The last attempt ended with this vector and error code, RIP at the start. */
void expect_fault(const char *name, unsigned vector, unsigned error);
/** Likewise with RIP `offset` behind the start. */
void expect_at(const char *name, unsigned vector, unsigned error, unsigned offset);
/** The last attempt ran to its end. */
void expect_none(const char *name);

#endif
