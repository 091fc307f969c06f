// Ring 3: RDI system calls with number 1, then number 0 with the sum of what they gave.
    .section .user, "ax"
    movq %rdi, %r12
    movl $1, %ebx
1:  movl $1, %eax
    movq %rbx, %rdi
    syscall
    pushq %rax
    xorq %r12, %rax
    rolq $5, %rax
    addq %rax, %rbx
    popq %rax
    decq %r12
    jnz 1b
    xorl %eax, %eax
    movq %rbx, %rdi
    syscall

    .section .note.GNU-stack, "", @progbits
