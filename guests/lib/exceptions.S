// One stub per vector. Each leaves an `exception_frame` (exceptions.h) on the stack and calls
// exception_dispatch.

// Vectors that push an error code: 8, 10-14, 17, 21, 29, 30 (SDM 3A table 6-1, APM 2 table 8-1).
#define PUSHES_ERROR_CODE 0x60227d00

    .text
    .balign 16
    .globl exception_stubs
exception_stubs:
    vector = 0
    .rept 256
    .balign 16
    .if vector >= 32
    pushq $0
    .elseif !((PUSHES_ERROR_CODE >> vector) & 1)
    pushq $0
    .endif
    pushq $vector
    jmp exception_common
    vector = vector + 1
    .endr

exception_common:
    cld
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rdi
    // The processor aligns RSP to 16 before it pushes; 5 + 2 + 15 quadwords keep it so.
    call exception_dispatch
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

    .section .note.GNU-stack, "", @progbits
