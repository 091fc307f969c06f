// Compatibility mode: 16- and 32-bit code under long mode, transfers to it and back, system calls from it, call gates of
// 64 bits, and long mode itself left and entered again (SDM vol. 3, 5.8.3 to 5.8.8, 9.8.5; APM vol. 2, 4.8 to 6.1).
#include "machine.h"

#define CODE32 FREE_SELECTOR
#define CODE16 (FREE_SELECTOR + 8)
#define DATA (FREE_SELECTOR + 16)
#define USER_CODE16 (FREE_SELECTOR + 24)
/** 16 bytes. */
#define GATE (FREE_SELECTOR + 32)
#define STACK (FREE_SELECTOR + 48)
#define MSR_CSTAR 0xc0000083u
#define MSR_FS_BASE 0xc0000100u
#define MSR_SYSENTER_CS 0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u
#define EFER_LME 0x100ul
#define EFER_LMA 0x400ul
#define NOT_CANONICAL 0x8000000000000000ul
#define ALL "memory", "cc", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11"

extern uint8_t buffer[256];
uint8_t buffer[256] __attribute__((aligned(64)));
extern volatile uint64_t seen[8];
volatile uint64_t seen[8];

/** 32-bit code in ring 0; the image and its stack lie below 4 GiB. INT 80h ends it. */
#define COMPATIBLE(code, ...)                                                                            \
  __asm__ volatile(ATTEMPT_BEGIN "pushq $0x40\n pushq $770f\n lretq\n .code32\n 770: " code              \
                                 "\n int $0x80\n .code64\n" ATTEMPT_END __VA_ARGS__)
/** Likewise in ring 3. */
#define COMPATIBLE_USER(code, ...)                                                                       \
  __asm__ volatile(ATTEMPT_BEGIN "pushq $0x23\n pushq attempt_sp\n pushq attempt_user_flags\n"           \
                                 "pushq $0x1b\n pushq $770f\n iretq\n .code32\n 770: " code              \
                                 "\n int $0x80\n .code64\n" ATTEMPT_END __VA_ARGS__)

// What the transfers lead to.
__asm__(
    ".text\n"
    // Through a gate: the frame, and back by a far return of 64 bits.
    ".globl gate_target\n gate_target: pushq %rax\n movw %cs, seen\n movw %ss, seen+8\n"
    " movq 8(%rsp), %rax\n movq %rax, seen+16\n movq 16(%rsp), %rax\n movq %rax, seen+24\n"
    " movq 24(%rsp), %rax\n movq %rax, seen+32\n movq 32(%rsp), %rax\n movq %rax, seen+40\n leaq 8(%rsp), %rax\n movq %rax, seen+48\n"
    " popq %rax\n lretq\n"
    // 64-bit code that a system call reaches.
    ".globl call_target\n call_target: movw %cs, seen\n movw %ss, seen+8\n movq %rcx, seen+16\n movq %r11, seen+24\n movq %rsp, seen+32\n"
    " pushfq\n popq seen+40\n int $0x80\n"
    // 16-bit code at offset 0 of its segment.
    ".code16\n .globl code_16\n code_16: movl %esp, %ebp\n pushw $1\n movl %esp, %ebx\n subl %ebx, %ebp\n popw %ax\n movw $0x1234, %ax\n lretl\n"
    ".globl code_16_user\n code_16_user: movw $0x4321, %ax\n int $0x80\n"
    ".code64\n");
extern const char gate_target[], call_target[], code_16[], code_16_user[];

static uint64_t segment(uint64_t base, uint64_t limit, uint64_t type, uint64_t flags) {
  return (limit & 0xffff) | (base & 0xffffff) << 16 | type << 40 | (limit >> 16 & 15) << 48 | flags << 52 | (base >> 24 & 0xff) << 56;
}

static void code(void) {
  uint32_t value;
  COMPATIBLE("movl $5, %%eax\n .byte 0x40\n movl %%eax, seen", : : : ALL);
  expect_none("32-bit code");
  check("40h is INC EAX", seen[0] & 0xffffffff, 6);
  COMPATIBLE("movl %%esp, %%ebx\n pushl $1\n subl %%esp, %%ebx\n movl %%ebx, seen\n popl %%eax\n pushal\n popal\n pushl %%ds\n popl %%ds\n .byte 0x27\n .byte 0xd4, 10", : : : ALL);
  expect_none("PUSHA, DAA, AAM, PUSH DS");
  check("PUSH takes four bytes", seen[0] & 0xffffffff, 4);
  COMPATIBLE("boundl %%eax, (%%edi)", : : "a"(1), "D"(buffer) : "memory");
  check("BOUND", fault.vector, VECTOR_BR);
  check("#BR: CS", fault.cs, CODE32);
  // The frame has RSP and SS whatever the mode, on a multiple of 16.
  COMPATIBLE("movl %%esp, seen\n int $0x90", : : : "memory");
  attempt_recovery = 0;
  check("interrupt: RSP in the frame", fault.rsp, seen[0] & 0xffffffff);
  check("interrupt: SS in the frame", fault.ss, KERNEL_DS);
#define INVALID(text, name)                         \
  COMPATIBLE(text, : : : ALL);                      \
  expect_fault(name, VECTOR_UD, 0)
  INVALID(".byte 0x0f, 0x01, 0xf8", "#UD: SWAPGS");
  INVALID(".byte 0xf3, 0x0f, 0xae, 0xc0", "#UD: RDFSBASE");
  INVALID("ud2", "#UD: UD2");
  // CMPXCHG8B with what would be REX.W.
  COMPATIBLE(".byte 0x48, 0x0f, 0xc7, 0x0f", : : "D"(buffer), "a"(1), "d"(0), "c"(0), "b"(0) : "memory", "cc");
  expect_none("48h is DEC EAX");
  // Addresses have 32 bits.
  *(uint32_t *)buffer = 0x11223344;
  COMPATIBLE("movl $0xffffffff, %%eax\n movl $buffer, %%edi\n movl 1(%%edi, %%eax), %%ebx\n movl %%ebx, seen", : : : ALL);
  expect_none("address beyond 4 GiB");
  check("an address wraps at 4 GiB", seen[0] & 0xffffffff, 0x11223344);
  // Segments count again: limit, base, type.
  descriptors[DATA / 8] = segment((uint64_t)buffer, 3, 0x93, 4);
  COMPATIBLE("movl $0x50, %%eax\n movl %%eax, %%es\n movl %%es:0, %%ebx\n movl %%ebx, seen", : : : ALL);
  expect_none("ES with a base");
  check("ES: base", seen[0] & 0xffffffff, 0x11223344);
  COMPATIBLE("movl $0x50, %%eax\n movl %%eax, %%es\n nop\n nop\n nop\n movl %%es:1, %%ebx", : : : ALL);
  // qemu: no limits.
  expect_at("ES: limit", VECTOR_GP, 0, 10);
  descriptors[DATA / 8] = segment((uint64_t)buffer, 0xfff, 0x91, 4);
  COMPATIBLE("movl $0x50, %%eax\n movl %%eax, %%es\n movl %%ebx, %%es:0", : : : ALL);
  expect_at("ES: read-only", VECTOR_GP, 0, 7);
  COMPATIBLE("xorl %%eax, %%eax\n movl %%eax, %%es\n movl %%es:0, %%ebx", : : : ALL);
  expect_at("ES: null", VECTOR_GP, 0, 4);
  COMPATIBLE("xorl %%eax, %%eax\n movl %%eax, %%ss", : : : ALL);
  // Only 64-bit mode has a null SS.
  expect_at("SS: null", VECTOR_GP, 0, 2);
  // FS's base is an MSR; of its sum 32 bits are left.
  __asm__ volatile("movl %0, %%fs" : : "r"(KERNEL_DS));
  wrmsr(MSR_FS_BASE, 0x500000000ul + (uint64_t)buffer);
  COMPATIBLE("movl %%fs:0, %%ebx\n movl %%ebx, seen", : : : ALL);
  // qemu: all 64 bits count.
  expect_none("FS: base above 4 GiB");
  check("FS: base above 4 GiB, what was loaded", seen[0] & 0xffffffff, 0x11223344);
  wrmsr(MSR_FS_BASE, 0);
  // 64-bit mode looks at none of that.
  __asm__ volatile("movl %1, %%es\n movq $buffer_end, %%rax\n movl %%es:-4(%%rax), %0\n movl %2, %%es" : "=&r"(value) : "r"(DATA), "r"(KERNEL_DS) : "rax");
  check("64-bit mode: no base, no limit", value, 0x55667788);
  // Control registers and tables with 32-bit operands.
  COMPATIBLE("movl $buffer, %%edi\n movl %%cr3, %%eax\n movl %%eax, %%cr3\n movl %%cr0, %%eax\n movl %%eax, %%cr0\n sgdtl 8(%%edi)\n sidtl 24(%%edi)", : : : ALL);
  expect_none("MOV CR, SGDT");
  buffer[14] = 0xa5;
  COMPATIBLE("sgdtl buffer+8\n lgdtl buffer+8\n pushfl\n popfl", : : : ALL);
  expect_none("SGDT and LGDT");
  check("SGDT stores six bytes", buffer[14], 0xa5);
  check("SGDT: base", *(uint32_t *)(buffer + 10), (uint32_t)(uint64_t)descriptors);
  COMPATIBLE_USER("hlt", : : : "memory");
  expect_fault("ring 3: HLT", VECTOR_GP, 0);
  check("ring 3: CS", fault.cs, USER_CS32 + 3);
}
__asm__(".data\n .long 0x55667788\n buffer_end:\n .text\n");

static void far_transfers(void) {
  descriptors[CODE16 / 8] = segment((uint64_t)code_16, 0xff, 0x9b, 0);
  COMPATIBLE("lcall $0x48, $0\n movl %%ebp, seen\n movl %%eax, seen+8\n movw %%cs, seen+16", : : : ALL);
  expect_none("CALL FAR to 16-bit code and back");
  check("16-bit code: PUSH takes two bytes", seen[0] & 0xffff, 2);
  check("16-bit code: MOV", seen[1] & 0xffff, 0x1234);
  check("back in 32-bit code", seen[2] & 0xffff, CODE32);
  descriptors[CODE16 / 8] = segment((uint64_t)code_16, 3, 0x9b, 0);
  COMPATIBLE("lcall $0x48, $0x10", : : : ALL);
  expect_fault("CALL FAR beyond the limit", VECTOR_GP, 0);
  COMPATIBLE("lcall $0x48, $0", : : : ALL);
  attempt_recovery = 0;
  // qemu: no limits.
  check("16-bit code that runs over the limit", fault.vector << 16 | fault.cs, VECTOR_GP << 16 | CODE16);
  COMPATIBLE("ljmp $0x30, $0", : : : ALL);
  expect_fault("JMP FAR to a TSS", VECTOR_GP, TSS_SELECTOR);
  COMPATIBLE("ljmp $8, $1f\n .code64\n 1: movabsq $0x123456789abcdef0, %%rax\n movq %%rax, seen\n int $0x80\n .code32", : : : ALL);
  expect_none("JMP FAR to 64-bit code");
  check("64-bit code", seen[0], 0x123456789abcdef0);
  // IRET to 32- and 16-bit code of ring 3.
  descriptors[USER_CODE16 / 8] = segment((uint64_t)code_16_user, 0xff, 0xfb, 0);
  ATTEMPT("pushq $0x23\n pushq $0x8000\n pushq $2\n pushq $0x5b\n pushq $0\n iretq", : : : ALL);
  check("IRET to 16-bit code of ring 3: CS", fault.cs, USER_CODE16 + 3);
  check("IRET to 16-bit code of ring 3: RIP", fault.rip, 5);
  check("IRET to 16-bit code of ring 3: RSP", fault.rsp, 0x8000);
  attempt_recovery = 0;
  // 32 bits of operand: a frame of doublewords.
  ATTEMPT_AT("subq $20, %%rsp\n movl $770f, (%%rsp)\n movl $0x1b, 4(%%rsp)\n movl $2, 8(%%rsp)\n movl $0x7000, 12(%%rsp)\n movl $0x23, 16(%%rsp)\n iretl\n 770: int $0x80", : : : ALL);
  expect_none("IRETD to 32-bit code of ring 3");
  check("IRETD: RSP", fault.rsp, 0x7000);
  COMPATIBLE("pushl $0x23\n pushl $0x6000\n pushl $2\n pushl $0x1b\n pushl $1f\n iretl\n 1:", : : : ALL);
  expect_none("IRET from 32-bit code");
  check("IRET from 32-bit code: CS", fault.cs, USER_CS32 + 3);
  check("IRET from 32-bit code: RSP", fault.rsp, 0x6000);
  // Same ring: compatibility mode's IRET pops no stack pointer, 64-bit mode's always does.
  COMPATIBLE("movl %%esp, %%ebx\n pushl $2\n pushl $0x40\n pushl $1f\n iretl\n 1: subl %%esp, %%ebx\n movl %%ebx, seen", : : : ALL);
  expect_none("IRET, same ring");
  check("IRET, same ring: three doublewords", seen[0] & 0xffffffff, 0);
  COMPATIBLE("pushl $0x4002\n popfl\n iretl", : : : ALL);
  expect_at("IRET with NT", VECTOR_GP, 0, 6);
  // There is no virtual-8086 mode: vol. 2, IRET, does not look at VM then.
  COMPATIBLE("pushl $0x20002\n pushl $0x40\n pushl $1f\n iretl\n 1: nop", : : : ALL);
  expect_none("IRET, VM in the image");
  check("IRET, VM in the image: EFLAGS", fault.rflags & FLAG_VM, 0);
  // The fetch address is cut off, not refused.
  ATTEMPT("pushq $0x40\n movq $1f, %%rax\n btsq $32, %%rax\n pushq %%rax\n lretq\n .code32\n 1: int $0x80\n .code64", : : : ALL);
  attempt_recovery = 0;
  check("RET FAR to 32-bit code, offset beyond the limit", fault.vector == VECTOR_GP || fault.vector == NO_FAULT, 1);
}

static void gate(uint64_t offset, uint16_t selector, uint8_t type, uint64_t upper) {
  descriptors[GATE / 8] = (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)type << 40 | (offset >> 16 & 0xffff) << 48;
  descriptors[GATE / 8 + 1] = offset >> 32 | upper;
}

struct far32 {
  uint32_t offset;
  uint16_t selector;
} __attribute__((packed));
static const struct far32 gate_pointer = {0x12345678, GATE};

/** Vol. 3, 5.8.3.1: a call gate has 16 bytes and leads to 64-bit code. */
static void call_gates(void) {
#define GATE_FAULT(name, vector, error)                                                  \
  ATTEMPT("lcall *%0", : : "m"(gate_pointer) : ALL);                                     \
  expect_fault(name, vector, error)
  static uint64_t sp;
  gate((uint64_t)gate_target, KERNEL_CS, 0x8c, 0);
  ATTEMPT("movq %%rsp, %0\n lcall *%1\n 773:", : "=m"(sp) : "m"(gate_pointer) : ALL);
  expect_none("same ring");
  check("same ring: CS on the stack", seen[3], KERNEL_CS);
  check("same ring: two quadwords", seen[6], sp - 16);
  COMPATIBLE("movl %%esp, seen+60\n lcall $0x60, $0\n 1: movw %%cs, seen+56", : : : ALL);
  expect_none("from 32-bit code");
  check("from 32-bit code: CS in the gate's code", seen[0] & 0xffff, KERNEL_CS);
  check("from 32-bit code: CS on the stack", seen[3], CODE32);
  check("from 32-bit code: two quadwords", seen[6], (seen[7] >> 32) - 16);
  check("from 32-bit code: back", seen[7] & 0xffff, CODE32);
  ATTEMPT("ljmp *%0", : : "m"(gate_pointer) : ALL);
  attempt_recovery = 0;
  // JMP through a gate: the far return then finds what lies on the stack.
  check("JMP FAR through a gate, same ring", fault.vector != NO_FAULT, 1);
  gate((uint64_t)call_target, KERNEL_CS, 0x8c, 0);
  ATTEMPT("ljmp *%0", : : "m"(gate_pointer) : ALL);
  expect_none("JMP FAR through a gate");
  gate((uint64_t)gate_target, KERNEL_CS, 0xec, 0);
  ATTEMPT_USER("movq %%rsp, %0\n lcall *%1", : "=m"(sp) : "m"(gate_pointer) : ALL);
  expect_none("from ring 3");
  check("from ring 3: CS", seen[0] & 0xffff, KERNEL_CS);
  // The new SS is null.
  check("from ring 3: SS", seen[1] & 0xffff, 0);
  check("from ring 3: frame: RSP", seen[4], sp);
  check("from ring 3: frame: SS", seen[5], USER_DS + 3);
  check("from ring 3: frame: CS", seen[3], USER_CS + 3);
  check("from ring 3: RSP0", seen[6], task->rsp[0] - 32);
  check("from ring 3: back", fault.rsp, sp);
  COMPATIBLE_USER("movl $0x23, %%eax\n movl %%eax, %%ds\n movl %%esp, seen+56\n lcall $0x60, $0", : : : ALL);
  expect_none("from 32-bit code of ring 3");
  check("from 32-bit code of ring 3: frame: CS", seen[3], USER_CS32 + 3);
  check("from 32-bit code of ring 3: frame: RSP", seen[4], seen[7] & 0xffffffff);
  ATTEMPT_USER("ljmp *%0", : : "m"(gate_pointer) : ALL);
  expect_fault("from ring 3: JMP to an inner ring", VECTOR_GP, KERNEL_CS);
  gate((uint64_t)gate_target, KERNEL_CS, 0x8c, 0);
  ATTEMPT_USER("lcall *%0", : : "m"(gate_pointer) : ALL);
  expect_fault("from ring 3: gate of DPL 0", VECTOR_GP, GATE);
  gate((uint64_t)gate_target, KERNEL_CS, 0x0c, 0);
  GATE_FAULT("absent gate", VECTOR_NP, GATE);
  // The type field of the upper half must be 0.
  gate((uint64_t)gate_target, KERNEL_CS, 0x8c, 0x100ul << 32);
  // qemu: looks at all five bits of it.
  GATE_FAULT("type in the upper half", VECTOR_GP, GATE);
  gate((uint64_t)gate_target, 0, 0x8c, 0);
  GATE_FAULT("null code segment", VECTOR_GP, 0);
  gate((uint64_t)gate_target, KERNEL_DS, 0x8c, 0);
  GATE_FAULT("data segment", VECTOR_GP, KERNEL_DS);
  gate((uint64_t)gate_target, CODE32, 0x8c, 0);
  GATE_FAULT("32-bit code segment", VECTOR_GP, CODE32);
  gate((uint64_t)gate_target, USER_CS, 0x8c, 0);
  GATE_FAULT("outer code segment", VECTOR_GP, USER_CS);
  gate((uint64_t)gate_target, DESCRIPTORS * 8, 0x8c, 0);
  GATE_FAULT("code segment beyond the limit", VECTOR_GP, DESCRIPTORS * 8);
  gate((uint64_t)gate_target | NOT_CANONICAL, KERNEL_CS, 0x8c, 0);
  // qemu: goes there, and faults then.
  GATE_FAULT("target not canonical", VECTOR_GP, 0);
  // Gates of other kinds: 16-bit, task.
  gate((uint64_t)gate_target, KERNEL_CS, 0x84, 0);
  GATE_FAULT("16-bit call gate", VECTOR_GP, GATE);
  gate((uint64_t)gate_target, TSS_SELECTOR, 0x85, 0);
  GATE_FAULT("task gate", VECTOR_GP, GATE);
  gate((uint64_t)gate_target, KERNEL_CS, 0x8e, 0);
  GATE_FAULT("interrupt gate", VECTOR_GP, GATE);
  // All 16 bytes must lie within the limit.
  struct {
    uint16_t limit;
    uint64_t base;
  } __attribute__((packed)) full, cut;
  gate((uint64_t)gate_target, KERNEL_CS, 0x8c, 0);
  __asm__ volatile("sgdt %0" : "=m"(full));
  cut = full;
  cut.limit = GATE + 14;
  __asm__ volatile("lgdt %0" : : "m"(cut));
  ATTEMPT("lcall *%0", : : "m"(gate_pointer) : ALL);
  __asm__ volatile("lgdt %0" : : "m"(full));
  expect_fault("upper half beyond the GDT's limit", VECTOR_GP, GATE);
  // RSP0 that cannot take the frame.
  gate((uint64_t)gate_target, KERNEL_CS, 0xec, 0);
  uint64_t rsp0 = task->rsp[0];
  gates[VECTOR_SS].ist = gates[VECTOR_GP].ist = 2;
  task->rsp[0] = NOT_CANONICAL;
  ATTEMPT_USER("lcall *%0", : : "m"(gate_pointer) : ALL);
  task->rsp[0] = rsp0;
  gates[VECTOR_SS].ist = gates[VECTOR_GP].ist = 0;
  // bochs: has the old SS in the error code; the new one is null.
  expect_fault("from ring 3: RSP0 not canonical", VECTOR_SS, 0);
}

static void system_calls(void) {
  int is_intel = cpuid(0, 0).ecx == 0x6c65746e;
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
  wrmsr(MSR_STAR, (uint64_t)(USER_CS32 | 3) << 48 | (uint64_t)KERNEL_CS << 32);
  wrmsr(MSR_LSTAR, 0);
  wrmsr(MSR_CSTAR, (uint64_t)call_target);
  wrmsr(MSR_SFMASK, FLAG_IF);
  wrmsr(MSR_SYSENTER_CS, KERNEL_CS);
  wrmsr(MSR_SYSENTER_ESP, (uint64_t)buffer + sizeof buffer);
  wrmsr(MSR_SYSENTER_EIP, (uint64_t)call_target);
  COMPATIBLE_USER("syscall\n nop", : : : ALL);
  if (is_intel) {
    // Intel's is for 64-bit code only; AMD's has no SYSENTER in long mode.
    expect_fault("SYSCALL from 32-bit code: #UD", VECTOR_UD, 0);
    attempt_user_flags = 2 | FLAG_IF;
    COMPATIBLE_USER("sysenter", : : : ALL);
    attempt_user_flags = 2;
    expect_none("SYSENTER from 32-bit code");
    check("SYSENTER: CS", seen[0] & 0xffff, KERNEL_CS);
    check("SYSENTER: SS", seen[1] & 0xffff, KERNEL_DS);
    check("SYSENTER: RSP", seen[4], (uint64_t)buffer + sizeof buffer);
    check("SYSENTER: IF", seen[5] & FLAG_IF, 0);
    wrmsr(MSR_SYSENTER_CS, 3);
    COMPATIBLE_USER("sysenter", : : : ALL);
    expect_fault("SYSENTER, IA32_SYSENTER_CS null", VECTOR_GP, 0);
    ATTEMPT("sysexitl", : : : ALL);
    expect_fault("SYSEXIT, IA32_SYSENTER_CS null", VECTOR_GP, 0);
    wrmsr(MSR_SYSENTER_CS, KERNEL_CS);
    ATTEMPT_USER("sysexitl", : : : ALL);
    expect_fault("ring 3: SYSEXIT", VECTOR_GP, 0);
    ATTEMPT_AT("movl $770f, %%edx\n movl $0x5000, %%ecx\n sysexitl\n .code32\n 770: .byte 0x40\n int $0x80\n .code64", : : : ALL);
    expect_none("SYSEXIT to 32-bit code");
    check("SYSEXIT: CS", fault.cs, USER_CS32 + 3);
    check("SYSEXIT: SS", fault.ss, USER_DS + 3);
    check("SYSEXIT: RSP", fault.rsp, 0x5000);
    ATTEMPT_AT("movl $770f, %%edx\n movl $0x5000, %%ecx\n rex.w sysexit\n 770: movabsq $0x123456789, %%rax\n movq %%rax, seen\n int $0x80", : : : ALL);
    expect_none("SYSEXIT to 64-bit code");
    check("SYSEXIT to 64-bit code: CS", fault.cs, USER_CS + 3);
    check("SYSEXIT to 64-bit code: it ran", seen[0], 0x123456789);
    ATTEMPT("rex.w sysexit", : : "d"(NOT_CANONICAL), "c"(0) : "memory");
    expect_fault("SYSEXIT, RDX not canonical", VECTOR_GP, 0);
    ATTEMPT("rex.w sysexit", : : "c"(NOT_CANONICAL), "d"(0) : "memory");
    expect_fault("SYSEXIT, RCX not canonical", VECTOR_GP, 0);
  } else {
    expect_none("SYSCALL from 32-bit code");
    check("SYSCALL from 32-bit code: CS", seen[0] & 0xffff, KERNEL_CS);
    check("SYSCALL from 32-bit code: RCX", seen[2], attempt_start + 2);
    COMPATIBLE_USER("sysenter", : : : ALL);
    // qemu: takes it in spite of its vendor.
    expect_fault("SYSENTER in long mode: #UD", VECTOR_UD, 0);
  }
  // SYSRET with an operand of 32 bits: to compatibility mode.
  ATTEMPT_AT("movl $770f, %%ecx\n movl $2, %%r11d\n movabsq $0x4000, %%rsp\n sysretl\n .code32\n 770: .byte 0x40\n int $0x80\n .code64", : : : ALL);
  expect_none("SYSRET to 32-bit code");
  check("SYSRET to 32-bit code: CS", fault.cs, USER_CS32 + 3);
  check("SYSRET to 32-bit code: SS", fault.ss, USER_DS + 3);
  COMPATIBLE(".byte 0x0f, 0x07", : : : ALL);
  if (is_intel) expect_fault("SYSRET in 32-bit code: #UD", VECTOR_UD, 0);
  else attempt_recovery = 0;
}

/** Legacy protected mode between two stays in long mode; a table of 32-bit gates catches what faults there. */
struct idt_pointer {
  uint16_t limit;
  uint64_t base;
} __attribute__((packed));
extern struct idt_pointer legacy_idt, long_idt;
struct idt_pointer legacy_idt, long_idt;

static void leave_long_mode(void) {
  static struct {
    uint16_t offset_low, selector;
    uint8_t zero, type;
    uint16_t offset_high;
  } legacy_gates[32] __attribute__((aligned(16)));
  extern const char legacy_fault[];
  for (int i = 0; i < 32; i++) {
    legacy_gates[i].offset_low = (uint16_t)(uint64_t)legacy_fault;
    legacy_gates[i].offset_high = (uint16_t)((uint64_t)legacy_fault >> 16);
    legacy_gates[i].selector = CODE32;
    legacy_gates[i].type = 0x8e;
  }
  legacy_idt = (struct idt_pointer){sizeof legacy_gates - 1, (uint64_t)legacy_gates};
  __asm__ volatile("sidt long_idt" : : : "memory");
  for (int i = 0; i < 8; i++) seen[i] = 0;
  // A fault in legacy mode goes on at EBX, with the error code in EDI.
  COMPATIBLE(
      "lidtl legacy_idt\n movl %%cr0, %%eax\n btrl $31, %%eax\n movl %%eax, %%cr0\n movl $0xc0000080, %%ecx\n rdmsr\n movl %%eax, seen\n"
      // CR4.PAE may go now, and comes back before PG.
      " movl %%cr4, %%eax\n btrl $5, %%eax\n movl %%eax, %%cr4\n"
      " movl $0xdead, %%edi\n movl $1f, %%ebx\n movl %%cr0, %%eax\n btsl $31, %%eax\n movl %%eax, %%cr0\n 1: movl %%edi, seen+8\n movl %%cr0, %%eax\n movl %%eax, seen+16\n"
      " movl %%cr4, %%eax\n btsl $5, %%eax\n movl %%eax, %%cr4\n"
      // LME may change while paging is off.
      " movl $0xc0000080, %%ecx\n rdmsr\n btrl $8, %%eax\n wrmsr\n rdmsr\n movl %%eax, seen+24\n btsl $8, %%eax\n wrmsr\n"
      // Outside long mode L means nothing: D = 0 makes KERNEL_CS 16-bit code. Paging cannot be turned on there.
      " movl $0xdead, %%edi\n movl $3f, %%ebx\n ljmp $8, $2f\n .code16\n 2: movl %%cr0, %%eax\n btsl $31, %%eax\n movl %%eax, %%cr0\n 3: movl %%edi, %%ebp\n ljmpl $0x40, $4f\n .code32\n"
      " 4: movl %%ebp, seen+32\n movl %%cr0, %%eax\n btsl $31, %%eax\n movl %%eax, %%cr0\n movl $0xc0000080, %%ecx\n rdmsr\n movl %%eax, seen+40\n lidtl long_idt",
      : : : ALL);
  // LIDT of 32 bits took the lower half of the base, which is all of it here.
  expect_none("long mode left and entered");
  check("EFER.LMA after PG was cleared", seen[0] & EFER_LMA, 0);
  check("EFER.LME stays", seen[0] & EFER_LME, EFER_LME);
  // qemu: takes it, and faults later.
  check("PG with LME and without PAE: #GP(0)", seen[1], 0);
  check("CR0.PG is still 0", seen[2] >> 31 & 1, 0);
  check("EFER.LME cleared", seen[3] & EFER_LME, 0);
  check("PG with CS.L: #GP(0)", seen[4], 0);
  check("EFER.LMA after PG was set", seen[5] & EFER_LMA, EFER_LMA);
}
__asm__(".text\n .code32\n .globl legacy_fault\n legacy_fault: popl %edi\n movl %ebx, (%esp)\n iretl\n .code64\n");

void guest_main(void) {
  machine_init();
  identity_for_users();
  descriptors[CODE32 / 8] = segment(0, 0xfffff, 0x9b, 0xc);
  check_group = "compatibility mode: ";
  code();
  check_group = "compatibility mode, far: ";
  far_transfers();
  check_group = "call gate: ";
  call_gates();
  check_group = "";
  system_calls();
  leave_long_mode();
  checks_end();
}
