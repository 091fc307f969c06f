// Into the generated code and back: RDI = entry, RSI = table, RDX = rounds + 1. Gives a mix of all data
// registers.
    .text
    .balign 16
    .globl blocks_enter
blocks_enter:
    pushq %rbx
    pushq %rbp
    pushq %r12
    movq %rdi, %r12
    movq %rsi, %rbp
    movq %rdx, %rcx
    movq $0x12345671, %rax
    movq $0x23456712, %rdx
    movq $0x34567123, %rbx
    movq $0x45671234, %rsi
    movq $0x56712345, %rdi
    movq $0x67123456, %r8
    movq $0x71234567, %r9
    movq $0x13572467, %r10
    movq $0x24671357, %r11
    call *%r12
    rolq $1, %rdx
    xorq %rdx, %rax
    rolq $2, %rbx
    xorq %rbx, %rax
    rolq $3, %rsi
    xorq %rsi, %rax
    rolq $4, %rdi
    xorq %rdi, %rax
    rolq $5, %r8
    xorq %r8, %rax
    rolq $6, %r9
    xorq %r9, %rax
    rolq $7, %r10
    xorq %r10, %rax
    rolq $8, %r11
    xorq %r11, %rax
    popq %r12
    popq %rbp
    popq %rbx
    ret

    .section .note.GNU-stack, "", @progbits
