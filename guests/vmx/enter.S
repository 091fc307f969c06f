// The world switch. Registers of the guest that a VMCS does not hold are in `guest_registers`, in the order of their numbers; RSP is skipped.
.text
.globl vmx_enter
// int vmx_enter(int launched): 0 when the guest has been left, 1 for VMfailInvalid, 2 for VMfailValid.
vmx_enter:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov $0x6c14, %eax // host RSP
  vmwrite %rsp, %rax
  mov $0x6c16, %eax // host RIP
  mov $vmx_left, %ecx
  vmwrite %rcx, %rax
  test %edi, %edi // the flags stay until the entry
  mov guest_registers + 8, %rcx
  mov guest_registers + 16, %rdx
  mov guest_registers + 24, %rbx
  mov guest_registers + 40, %rbp
  mov guest_registers + 48, %rsi
  mov guest_registers + 56, %rdi
  mov guest_registers, %rax
  jne 1f
  vmlaunch
  jmp 2f
1:
  vmresume
2:
  mov $1, %eax
  jc 3f
  mov $2, %eax
  jmp 3f

.globl vmx_left
vmx_left:
  mov %rax, guest_registers
  mov %rcx, guest_registers + 8
  mov %rdx, guest_registers + 16
  mov %rbx, guest_registers + 24
  mov %rbp, guest_registers + 40
  mov %rsi, guest_registers + 48
  mov %rdi, guest_registers + 56
  xor %eax, %eax
3:
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret

// Guests. The first is 16-bit code at 0:7000h of an address space of four pages; the second shares the host's.
.globl real_guest, real_guest_end, long_guest, long_guest_fault
.code16
real_guest:
  xor %eax, %eax
  cpuid
  mov $'R', %al
  out %al, $0xe9
  mov $0x1234, %ax
  mov %ax, 0x2000 // no page there, until the host has looked
  hlt
  vmcall
real_guest_end:
.code64
long_guest:
  mov $1, %eax
  cpuid
  mov $0x1b, %ecx
  rdmsr
  mov $'L', %al
  out %al, $0xe9
  mov %cr3, %rax
  mov %rax, %cr3
  invlpg (%rax)
  movabs $0x700000000000, %rbx
long_guest_fault:
  mov (%rbx), %rax // #PF
  mov $0x80, %ecx
1:
  dec %ecx
  jnz 1b
  hlt
  vmcall
