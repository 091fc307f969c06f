// The way of another processor from real mode to 64-bit mode, in one step: CR4.PAE, CR3 and EFER.LME may be set
// before protection and paging, which then come together (SDM 3A, 9.8.5 goes through protected mode, but processors
// do not insist). others.c copies this to a page below 1 MiB; CS says which one, IP begins at 0.
#include "layout.h"

#define CR0_PE_MP_ET_NE_WP_PG 0x80010033
#define CR4_PAE_OSFXSR_OSXMMEXCPT 0x620
#define MSR_EFER 0xc0000080
#define EFER_LME_NXE 0x900
#define EFER_LME 0x100
#define GDT_BYTES 64

    .section .rodata
    .balign 16
    .globl trampoline
trampoline:
    .code16
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl gdt_pointer - trampoline
    movl $CR4_PAE_OSFXSR_OSXMMEXCPT, %eax
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0x80000001, %eax
    cpuid
    movl $EFER_LME, %eax
    btl $20, %edx
    jnc 1f
    movl $EFER_LME_NXE, %eax    // as the first processor, with which it shares the page tables
1:  xorl %edx, %edx
    movl $MSR_EFER, %ecx
    wrmsr
    movl $CR0_PE_MP_ET_NE_WP_PG, %eax
    movl %eax, %cr0
    ljmpl $KERNEL_CS, $other64  // the copy's work is done: on in the image

    .balign 4
gdt_pointer:
    .word GDT_BYTES - 1
    .long gdt
    .globl trampoline_end
trampoline_end:

    .text
    .code64
other64:
    movl $KERNEL_DS, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movq trampoline_stack, %rsp
    call other_main

    .section .note.GNU-stack, "", @progbits
