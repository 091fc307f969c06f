// 32-bit protected mode: multiboot entry, and the stubs of all vectors.
#include "layout.h"

#define MULTIBOOT_HEADER_MAGIC 0x1badb002
// Vectors that push an error code (SDM vol. 3, table 6-1).
#define PUSHES_ERROR_CODE 0x60227d00

    .section .multiboot, "a"
    .balign 4
    .long MULTIBOOT_HEADER_MAGIC
    .long 0
    .long -MULTIBOOT_HEADER_MAGIC

    .section .text.boot, "ax"
    .globl multiboot_entry
multiboot_entry:
    cli
    cld
    movl $stack_top, %esp
    pushl $2
    popfl
    call machine_start

    .text
    .balign 16
    .globl exception_stubs
exception_stubs:
    vector = 0
    .rept 256
    .balign 16
    .if vector >= 32
    pushl $0
    .elseif !((PUSHES_ERROR_CODE >> vector) & 1)
    pushl $0
    .endif
    pushl $vector
    jmp exception_common
    vector = vector + 1
    .endr

exception_common:
    cld
    pushal
    pushl %ds
    pushl %es
    movl $USER_DS + 3, %eax
    movl %eax, %ds
    movl %eax, %es
    pushl %esp
    call exception_dispatch
    addl $4, %esp
    popl %es
    popl %ds
    popal
    addl $8, %esp
    iretl

    .section .bss.pages, "aw", @nobits
    .balign 0x1000
    .skip STACK_BYTES
    .globl stack_top
stack_top:

    .section .note.GNU-stack, "", @progbits
