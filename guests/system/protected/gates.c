// Gates of 16 and 32 bits: call, interrupt and trap gates, their stacks, and returns to outer rings
// (SDM vol. 3, 5.8 and 6.12; vol. 2, CALL, RET, INT n, IRET).
#include "machine.h"

#define CALL32 FREE_SELECTOR
#define CALL16 (FREE_SELECTOR + 8)
#define CONFORMING (FREE_SELECTOR + 16)
#define CODE16 (FREE_SELECTOR + 24)

static void call_gate(unsigned selector, uint16_t code, uint32_t offset, uint8_t type, uint8_t count) {
  descriptors[selector / 8] = (offset & 0xffff) | (uint64_t)code << 16 | (uint64_t)count << 32 | (uint64_t)type << 40 |
                              (uint64_t)(offset >> 16) << 48;
}

/** What the targets saw. */
extern volatile uint32_t seen[8];
volatile uint32_t seen[8];

// Targets of the gates. Each keeps the top of its stack and CS, and returns.
__asm__(
    ".text\n"
    ".globl target32, target32_pops\n"
    "target32: pushl %eax\n movl 4(%esp), %eax\n movl %eax, seen\n movl 8(%esp), %eax\n movl %eax, seen+4\n movl 12(%esp), %eax\n movl %eax, seen+8\n"
    " movl 16(%esp), %eax\n movl %eax, seen+12\n movl 20(%esp), %eax\n movl %eax, seen+16\n movl 24(%esp), %eax\n movl %eax, seen+20\n movw %cs, seen+24\n"
    " movl %esp, seen+28\n popl %eax\n lretl\n"
    "target32_pops: pushl %eax\n movl 12(%esp), %eax\n movl %eax, seen+8\n movl 16(%esp), %eax\n movl %eax, seen+12\n movl 20(%esp), %eax\n movl %eax, seen+16\n"
    " movl 24(%esp), %eax\n movl %eax, seen+20\n movw %cs, seen+24\n movl %esp, seen+28\n popl %eax\n lretl $8\n");
// Keeps two doublewords of a 16-bit frame, and ends the attempt.
__asm__(
    ".text\n .globl target16\n"
    "target16: movl (%esp), %eax\n movl %eax, seen\n movl 4(%esp), %eax\n movl %eax, seen+4\n movl %esp, seen+12\n ljmp $8, $1f\n"
    "1: int $0x80\n");
extern const char target32[], target32_pops[], target16[];

static void call_gates(void) {
  // Not on the stack, which the attempts move.
  static uint32_t sp_before, sp_after;
  call_gate(CALL32, KERNEL_CS, (uint32_t)target32, 0x8c, 0);
  ATTEMPT("movl %%esp, %0\n lcall %2, $0x12345678\n 773: movl %%esp, %1", : "=m"(sp_before), "=m"(sp_after) : "i"(CALL32) : "memory", "eax");
  expect_none("call gate, same ring");
  check("call gate, same ring: CS on the stack", seen[1], KERNEL_CS);
  check("call gate, same ring: ESP is back", sp_after, sp_before);
  call_gate(CALL32, KERNEL_CS, (uint32_t)target32_pops, 0xec, 2);
  // DS is DPL 3's, so it stays.
  ATTEMPT_USER("pushl $0x1111\n pushl $0x2222\n movl %%esp, %0\n lcall %2, $0\n movl %%esp, %1", : "=m"(sp_before), "=m"(sp_after) : "i"(CALL32) : "memory", "eax");
  expect_none("ring 3: call gate with two parameters");
  check("ring 3: call gate: CS", seen[6], KERNEL_CS);
  check("ring 3: call gate: parameters", seen[2] << 16 | seen[3], 0x22221111);
  check("ring 3: call gate: old ESP", seen[4], sp_before);
  check("ring 3: call gate: old SS", seen[5], USER_DS + 3);
  check("ring 3: call gate: new ESP", seen[7], (uint32_t)ring0_stack + STACK_BYTES - 7 * 4);
  check("ring 3: RET n drops the outer parameters", sp_after, sp_before + 8);
  ATTEMPT_USER("ljmp %0, $0", : : "i"(CALL32) : "memory");
  expect_fault("ring 3: JMP through a gate to an inner ring", VECTOR_GP, KERNEL_CS);
  call_gate(CALL32, KERNEL_CS, (uint32_t)target32, 0x8c, 0);
  ATTEMPT_USER("lcall %0, $0", : : "i"(CALL32) : "memory");
  expect_fault("ring 3: gate of DPL 0", VECTOR_GP, CALL32);
  call_gate(CALL32, KERNEL_CS, (uint32_t)target32, 0xec & ~0x80, 0);
  ATTEMPT_USER("lcall %0, $0", : : "i"(CALL32) : "memory");
  expect_fault("ring 3: absent gate", VECTOR_NP, CALL32);
  call_gate(CALL32, 0, (uint32_t)target32, 0xec, 0);
  ATTEMPT_USER("lcall %0, $0", : : "i"(CALL32) : "memory");
  expect_fault("gate with a null selector", VECTOR_GP, 0);
  call_gate(CALL32, KERNEL_DS, (uint32_t)target32, 0xec, 0);
  ATTEMPT_USER("lcall %0, $0", : : "i"(CALL32) : "memory");
  expect_fault("gate to data", VECTOR_GP, KERNEL_DS);
  call_gate(CALL32, USER_CS32, (uint32_t)target32, 0xec, 0);
  ATTEMPT("lcall %0, $0", : : "i"(CALL32) : "memory");
  expect_fault("gate to an outer ring", VECTOR_GP, USER_CS32);
  descriptors[CONFORMING / 8] = descriptor(0, 0xfffff, 0x9f, FLAG_G | FLAG_D);
  call_gate(CALL32, CONFORMING, (uint32_t)target32, 0xec, 0);
  ATTEMPT_USER("lcall %0, $0", : : "i"(CALL32) : "memory", "eax");
  expect_none("ring 3: gate to conforming code");
  check("ring 3: gate to conforming code: CS", seen[6], CONFORMING + 3);
  // A gate of 16 bits pushes words.
  descriptors[CODE16 / 8] = descriptor((uint32_t)target16, 0xfff, TYPE_CODE, FLAG_D);
  call_gate(CALL16, CODE16, 0, 0x84, 0);
  ATTEMPT("movl %%esp, %0\n lcall %1, $0\n 774:", : "=m"(sp_before) : "i"(CALL16) : "memory", "eax");
  expect_none("16-bit call gate");
  check("16-bit call gate: SP", seen[3], sp_before - 4);
  check("16-bit call gate: CS in a word", seen[0] >> 16, KERNEL_CS);
  check("16-bit call gate: IP in a word", (uint16_t)seen[0] - (uint16_t)attempt_start < 16, 1);
}

static int keep_frame(struct exception_frame *frame) {
  if (frame->vector != 0x90) return 0;
  seen[0] = frame->eip;
  seen[1] = frame->cs;
  seen[2] = frame->eflags;
  seen[3] = frame->esp;
  seen[4] = frame->ss;
  __asm__ volatile("pushfl\n popl %0" : "=m"(seen[5]));
  seen[6] = (uint32_t)&frame->v86_es;
  return 1;
}

static void interrupt_gates(void) {
  static uint32_t sp, fs = 1, flags;
  machine_hook = keep_frame;
  gates[0x90].type = 0xee;
  ATTEMPT_AT("sti\n 770: int $0x90\n cli", : : : "memory", "cc");
  expect_none("interrupt gate");
  check("interrupt gate: EIP", seen[0], attempt_start + 2);
  check("interrupt gate: IF in the image", seen[2] & FLAG_IF, FLAG_IF);
  check("interrupt gate: IF in the handler", seen[5] & FLAG_IF, 0);
  gates[0x90].type = 0xef;
  ATTEMPT_AT("sti\n 770: int $0x90\n cli", : : : "memory", "cc");
  expect_none("trap gate");
  check("trap gate: IF in the handler", seen[5] & FLAG_IF, FLAG_IF);
  ATTEMPT_AT("pushl $0x4002\n popfl\n 770: int $0x90\n pushl $2\n popfl", : : : "memory", "cc");
  expect_none("NT");
  check("NT in the image", seen[2] & FLAG_NT, FLAG_NT);
  check("NT in the handler", seen[5] & FLAG_NT, 0);
  gates[0x90].type = 0xee;
  ATTEMPT_USER("movl %%esp, %0\n int $0x90", : "=m"(sp) : : "memory");
  expect_none("ring 3: interrupt gate");
  check("ring 3: interrupt gate: CS", seen[1], USER_CS32 + 3);
  check("ring 3: interrupt gate: SS", seen[4], USER_DS + 3);
  check("ring 3: interrupt gate: ESP", seen[3], sp);
  check("ring 3: interrupt gate: new stack", seen[6], (uint32_t)ring0_stack + STACK_BYTES);
  // Returning to ring 3, data segments that it may not have become null.
  ATTEMPT("movl %2, %%fs\n pushl $0x23\n pushl attempt_sp\n pushl $2\n pushl $0x1b\n pushl $1f\n iretl\n 1: movl %%fs, %%eax\n movl %%eax, %0\n movl %%gs, %%eax\n int $0x80", : "=m"(fs) : "m"(fs), "r"(KERNEL_DS) : "memory", "eax");
  attempt_recovery = 0;
  check("IRET to ring 3: FS of DPL 0 is null", fs, 0);
  // Flags that ring 3 may not change.
  ATTEMPT_USER("pushl $0x3202\n popfl\n pushfl\n popl %0", : "=m"(flags) : : "memory", "cc");
  expect_none("ring 3: POPF");
  check("ring 3: POPF leaves IOPL and IF", flags, 2);
  attempt_user_flags = 2 | FLAG_IOPL;
  ATTEMPT_USER("pushl $0x202\n popfl\n pushfl\n popl %0", : "=m"(flags) : : "memory", "cc");
  expect_none("ring 3, IOPL 3: POPF");
  check("ring 3, IOPL 3: POPF changes IF, not IOPL", flags, 0x3202);
  attempt_user_flags = 2;
  // IRET's faults.
  ATTEMPT_AT("pushl $2\n pushl $0\n pushl $0\n 770: iretl", : : : "memory");
  expect_fault("IRET: CS null", VECTOR_GP, 0);
  ATTEMPT_AT("pushl $2\n pushl $0x10\n pushl $0\n 770: iretl", : : : "memory");
  expect_fault("IRET: CS of data", VECTOR_GP, 0x10);
  ATTEMPT_AT("pushl $0\n pushl $0\n pushl $2\n pushl $0x1b\n pushl $0\n 770: iretl", : : : "memory");
  expect_fault("IRET to ring 3: SS null", VECTOR_GP, 0);
  ATTEMPT_AT("pushl $0x10\n pushl $0\n pushl $2\n pushl $0x1b\n pushl $0\n 770: iretl", : : : "memory");
  expect_fault("IRET to ring 3: SS with RPL 0", VECTOR_GP, 0x10);
  ATTEMPT_USER_AT("pushl $2\n pushl $8\n pushl $0\n 770: iretl", : : : "memory");
  expect_fault("ring 3: IRET to ring 0", VECTOR_GP, 8);
  // 16-bit gates: three words.
  descriptors[CODE16 / 8] = descriptor((uint32_t)target16, 0xfff, TYPE_CODE, FLAG_D);
  gate_put(0x90, 0, CODE16, 0x86);
  machine_hook = 0;
  ATTEMPT("movl %%esp, %0\n int $0x90", : "=m"(sp) : : "memory", "eax");
  expect_none("16-bit interrupt gate");
  check("16-bit interrupt gate: SP", seen[3], sp - 6);
  check("16-bit interrupt gate: CS", seen[0] >> 16, KERNEL_CS);
  check("16-bit interrupt gate: IP", (uint16_t)seen[0] - (uint16_t)attempt_start < 16, 1);
  check("16-bit interrupt gate: flags", seen[1] & 0xff02, 2);
  gate_reset(0x90);
}

void guest_main(void) {
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
  call_gates();
  interrupt_gates();
  checks_end();
}
