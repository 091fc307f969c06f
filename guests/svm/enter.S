// VMRUN with the general registers of the guest; and the guests' code.
#include "layout.h"

  .text
  .code64

// void svm_run(struct vmcb *vmcb, uint64_t registers[14]): RBX RCX RDX RSI RDI RBP R8 to R15
  .globl svm_run
svm_run:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  push %rsi
  mov %rdi, %rax
  mov 0(%rsi), %rbx
  mov 8(%rsi), %rcx
  mov 16(%rsi), %rdx
  mov 32(%rsi), %rdi
  mov 40(%rsi), %rbp
  mov 48(%rsi), %r8
  mov 56(%rsi), %r9
  mov 64(%rsi), %r10
  mov 72(%rsi), %r11
  mov 80(%rsi), %r12
  mov 88(%rsi), %r13
  mov 96(%rsi), %r14
  mov 104(%rsi), %r15
  mov 24(%rsi), %rsi
  clgi
  vmrun
  push %rsi
  mov 8(%rsp), %rsi
  mov %rbx, 0(%rsi)
  mov %rcx, 8(%rsi)
  mov %rdx, 16(%rsi)
  mov %rdi, 32(%rsi)
  mov %rbp, 40(%rsi)
  mov %r8, 48(%rsi)
  mov %r9, 56(%rsi)
  mov %r10, 64(%rsi)
  mov %r11, 72(%rsi)
  mov %r12, 80(%rsi)
  mov %r13, 88(%rsi)
  mov %r14, 96(%rsi)
  mov %r15, 104(%rsi)
  pop %rax
  mov %rax, 24(%rsi)
  stgi
  pop %rsi
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret

  .section .rodata
// 64-bit mode. RDI: a page that the guest's own tables lack, RSI: one that the nested tables lack.
  .globl long_code, long_code_end
long_code:
  mov $0x1234, %eax
  cpuid
  mov $0x42, %al
  outb %al, $0x80
  in $0x60, %al
  mov $0xc0000080, %ecx
  rdmsr
  mov %rax, (%rdi)
  addq $1, (%rdi)
  mov %rax, (%rsi)
  mov (%rsi), %rbx
  int $0x30
  vmmcall
  mov $1000, %ebp
1:
  xor %eax, %eax
  cpuid
  add %rbx, %r8
  dec %ebp
  jnz 1b
  mov $7, %eax
  hlt
long_code_end:

  .code16
// Real mode, at 0:7C00h as a boot sector.
  .globl real_code, real_code_end
real_code:
  mov $0x1111, %ax
  mov %ax, %ds
  mov $0x55, %al
  outb %al, $0x80
  cpuid
  // Linear 1_2110h + 1000h * 16: a page that the nested tables lack.
  movb $7, 0x3000
  movb 0x3000, %bl
  hlt
real_code_end:
