// void speed_loop(uint64_t instructions): 16 instructions each time round, of the kinds that programs are made of.
    .text
    .balign 64
    .globl speed_loop
speed_loop:
    leaq 15(%rdi), %rcx
    shrq $4, %rcx
    movl $0x12345678, %eax
    xorl %edx, %edx
    leaq table(%rip), %rsi
1:  call step
    addq %r9, %rdx
    subq $1, %rcx
    jnz 1b
    ret

step:
    movq %rax, %rdi             // shifts and XORs: the next of a series of numbers without much pattern
    shlq $13, %rdi
    xorq %rdi, %rax
    movq %rax, %rdi
    shrq $7, %rdi
    xorq %rdi, %rax
    movzbl %al, %r8d            // it chooses a place in the table
    movq (%rsi,%r8,8), %r9
    leaq 1(%rax,%r9), %r9
    movq %r9, (%rsi,%r8,8)
    rolq $5, %rax
    ret

    .bss
    .balign 64
table:
    .skip 256 * 8

    .section .note.GNU-stack, "", @progbits
