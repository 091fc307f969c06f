// The way to ring 3, and the entry of SYSCALL.
#include "layout.h"

#define KERNEL_RSP %gs:0
#define USER_RSP %gs:8
#define RETURN_RSP %gs:16
#define HANDLER %gs:24

    .text
    .balign 16
    .globl user_enter
user_enter:                             // RDI = user RIP, RSI = user RSP, RDX = argument
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, per_cpu + 16
    pushq $USER_DS + 3
    pushq %rsi
    pushq $2                            // RFLAGS: interrupts off
    pushq $USER_CS + 3
    pushq %rdi
    movq %rdx, %rdi
    xorl %eax, %eax
    xorl %ebx, %ebx
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %ebp, %ebp
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    xorl %r11d, %r11d
    xorl %r12d, %r12d
    xorl %r13d, %r13d
    xorl %r14d, %r14d
    xorl %r15d, %r15d
    iretq

    .balign 16
    .globl system_call_entry
system_call_entry:
    swapgs
    movq %rsp, USER_RSP
    movq KERNEL_RSP, %rsp
    pushq USER_RSP
    pushq %r11                          // user RFLAGS
    pushq %rcx                          // user RIP
    pushq %rdi
    pushq %rsi
    pushq %rdx                          // six quadwords: RSP stays a multiple of 16
    movq %rax, %rcx
    call *HANDLER
    popq %rdx
    popq %rsi
    popq %rdi
    popq %rcx
    popq %r11
    popq %rsp
    swapgs
    sysretq

    .globl user_leave
user_leave:                             // RDI = value
    movq %rdi, %rax
    movq RETURN_RSP, %rsp
    swapgs
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

    .section .note.GNU-stack, "", @progbits
