// From the loader to C: multiboot 1 header, PVH note, 32-bit entries, long mode.
#include "layout.h"

#define MULTIBOOT_HEADER_MAGIC 0x1badb002
#define MULTIBOOT_LOADER_MAGIC 0x2badb002
#define MULTIBOOT_MEMORY_INFO 0x2
#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define CR0_PE_MP_ET_NE_WP 0x00010033
#define CR0_PG 0x80000000
#define CR4_PAE_OSFXSR_OSXMMEXCPT 0x620
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define EFER_NXE 0x800
#define PAGE_P_W 0x3
#define PAGE_PS 0x80

    .section .multiboot, "a"
    .balign 4
    .long MULTIBOOT_HEADER_MAGIC
    .long MULTIBOOT_MEMORY_INFO
    .long -(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_MEMORY_INFO)

    .section .note.pvh, "a", @note
    .balign 4
    .long 4                             // name size
    .long 4                             // descriptor size
    .long XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_entry

    .section .text.boot, "ax"
    .code32
    .globl multiboot_entry
multiboot_entry:
    cmpl $MULTIBOOT_LOADER_MAGIC, %eax
    movl $BOOTED_BY_MULTIBOOT, %edi
    je start
    // Not a multiboot loader: EBX means nothing.
    xorl %edi, %edi
    jmp start

    .globl pvh_entry
pvh_entry:
    movl $BOOTED_BY_PVH, %edi

start:
    cli
    cld
    movl %ebx, %ebp                     // CPUID overwrites EBX
    movl $stack_top, %esp

    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb no_long_mode
    movl $0x80000001, %eax
    cpuid
    btl $29, %edx
    jnc no_long_mode
    movl %edx, %esi                     // bit 20: NX

    // Identity map of the first GiB: one PML4, one PDPT, one page directory of 512 pages of 2 MiB.
    movl $boot_pdpt + PAGE_P_W, boot_pml4
    movl $boot_pd + PAGE_P_W, boot_pdpt
    movl $boot_pd, %ebx
    movl $PAGE_P_W + PAGE_PS, %eax
1:  movl %eax, (%ebx)
    movl $0, 4(%ebx)
    addl $8, %ebx
    addl $0x200000, %eax
    cmpl $0x40000000, %eax
    jb 1b

    movl $CR4_PAE_OSFXSR_OSXMMEXCPT, %eax
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    btl $20, %esi
    jnc 2f
    orl $EFER_NXE, %eax
2:  wrmsr
    movl $CR0_PE_MP_ET_NE_WP + CR0_PG, %eax
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $KERNEL_CS, $start64

no_long_mode:
    movl $no_long_mode_text, %esi
1:  movw $COM1 + 5, %dx
2:  inb %dx, %al
    testb $0x20, %al
    jz 2b
    lodsb
    testb %al, %al
    jz 3f
    movw $COM1, %dx
    outb %al, %dx
    jmp 1b
3:  movb $EXIT_USAGE, %al
    outb %al, $EXIT_PORT
4:  hlt
    jmp 4b

    .code64
start64:
    movl $KERNEL_DS, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl $stack_top, %esp
    movl %ebp, %esi
    // EDI and ESI already hold the arguments; their upper halves are not defined after the mode switch.
    movl %edi, %edi
    call guest_start

    .section .rodata
no_long_mode_text:
    .asciz "error the processor has no long mode\n"

    .data
    .balign 8
    .globl gdt
gdt:
    .quad 0
    .quad 0x00af9b000000ffff            // KERNEL_CS
    .quad 0x00cf93000000ffff            // KERNEL_DS
    .quad 0x00cffb000000ffff            // USER_CS32
    .quad 0x00cff3000000ffff            // USER_DS
    .quad 0x00affb000000ffff            // USER_CS
    .quad 0, 0                          // TSS_SELECTOR, filled by descriptors_init
gdt_end:
    .balign 4
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

    .section .bss.pages, "aw", @nobits
    .balign 0x1000
    .globl boot_pml4
boot_pml4:
    .skip 0x1000
boot_pdpt:
    .skip 0x1000
boot_pd:
    .skip 0x1000
    .skip STACK_BYTES
stack_top:

    .section .note.GNU-stack, "", @progbits
