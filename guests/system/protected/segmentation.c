// Segments in 32-bit protected mode: limits, types, expand-down, null, conforming, bases, and the instructions that
// ask about them (SDM vol. 3, ch. 5). QEMU checks neither limits nor types when memory is accessed.
#include "machine.h"

#define S1 FREE_SELECTOR
#define S2 (FREE_SELECTOR + 8)

static uint8_t buffer[8192] __attribute__((aligned(4096)));

static void define(unsigned selector, uint32_t base, uint32_t limit, uint8_t type, uint8_t flags) {
  descriptors[selector / 8] = descriptor(base, limit, type, flags);
}

static void load_fs(unsigned selector) { __asm__ volatile("movl %0, %%fs" : : "r"(selector) : "memory"); }

static void read1(uint32_t at) { ATTEMPT("movb %%fs:(%0), %%al", : : "c"(at) : "memory", "eax"); }
static void read2(uint32_t at) { ATTEMPT("movw %%fs:(%0), %%ax", : : "c"(at) : "memory", "eax"); }
static void read4(uint32_t at) { ATTEMPT("movl %%fs:(%0), %%eax", : : "c"(at) : "memory", "eax"); }
static void read8(uint32_t at) { ATTEMPT("fildll %%fs:(%0)\n fstp %%st(0)", : : "c"(at) : "memory"); }
static void write1(uint32_t at) { ATTEMPT("movb %%al, %%fs:(%0)", : : "c"(at) : "memory"); }
static void write4(uint32_t at) { ATTEMPT("movl %%eax, %%fs:(%0)", : : "c"(at) : "memory"); }
#define GP(name) expect_fault(name, VECTOR_GP, 0)

static void limits(void) {
  define(S1, (uint32_t)buffer, 0xfff, TYPE_DATA, FLAG_D);
  load_fs(S1);
  read1(0xfff);
  expect_none("limit: the last byte");
  read1(0x1000);
  GP("limit: the byte behind");
  read2(0xffe);
  expect_none("limit: the last word");
  read2(0xfff);
  GP("limit: a word over it");
  read4(0xffc);
  expect_none("limit: the last doubleword");
  read4(0xffd);
  GP("limit: a doubleword over it");
  write4(0xffe);
  GP("limit: a store over it");
  read8(0xff8);
  expect_none("limit: the last quadword");
  read8(0xff9);
  GP("limit: a quadword over it");
  read1(0xffffffff);
  GP("limit: FFFFFFFFh");
  read4(0xfffffffe);
  GP("limit: wrapping");
  buffer[5] = 0x42;
  uint32_t value;
  __asm__ volatile("movzbl %%fs:5, %0" : "=r"(value) : : "memory");
  check("base", value, 0x42);
  // A segment that is a few bytes long.
  define(S1, (uint32_t)buffer, 0, TYPE_DATA, FLAG_D);
  load_fs(S1);
  read1(0);
  expect_none("limit 0: byte 0");
  read1(1);
  GP("limit 0: byte 1");
  // Granularity: the low 12 bits of the limit are ones.
  define(S1, (uint32_t)buffer, 0, TYPE_DATA, FLAG_D | FLAG_G);
  load_fs(S1);
  read1(0xfff);
  expect_none("G, limit 0: byte FFFh");
  read1(0x1000);
  GP("G, limit 0: byte 1000h");
  // The descriptor counts when it is loaded, not when it is used.
  descriptors[S1 / 8] = 0;
  read1(0xfff);
  expect_none("the hidden part stays");
  // Four GiB: addresses wrap at the end without a fault.
  define(S1, 0xfffff000, 0xfffff, TYPE_DATA, FLAG_D | FLAG_G);
  load_fs(S1);
  read1(0x1000 + (uint32_t)buffer);
  expect_none("base and offset wrap at 2^32");
}

static void expand_down(void) {
  define(S1, 0, 0xfff, 0x97, FLAG_D);
  load_fs(S1);
  read1(0x1000);
  expect_none("expand-down: the first byte above the limit");
  read1(0xfff);
  GP("expand-down: the limit");
  read1(0);
  GP("expand-down: 0");
  read4(0xffe);
  GP("expand-down: a doubleword over it");
  read4(0x200000);
  expect_none("expand-down: 200000h");
  // B = 0: up to FFFFh.
  define(S1, 0, 0xfff, 0x97, 0);
  load_fs(S1);
  read1(0xffff);
  expect_none("expand-down, B = 0: FFFFh");
  read1(0x10000);
  GP("expand-down, B = 0: 10000h");
  read2(0xffff);
  GP("expand-down, B = 0: a word at FFFFh");
  define(S1, 0, 0xfffff, 0x97, FLAG_D | FLAG_G);
  load_fs(S1);
  read1(0x5000);
  GP("expand-down of limit FFFFFFFFh: nothing is inside");
  define(S1, 0, 0xfff, 0x95, FLAG_D);
  load_fs(S1);
  write1(0x5000);
  GP("expand-down, read-only: store");
}

static void types(void) {
  define(S1, (uint32_t)buffer, 0xfff, 0x91, FLAG_D);
  load_fs(S1);
  read1(0);
  expect_none("read-only: load");
  write1(0);
  GP("read-only: store");
  ATTEMPT("incb %%fs:(%0)", : : "c"(0) : "memory", "cc");
  GP("read-only: INC");
  ATTEMPT("cmpb $0, %%fs:(%0)", : : "c"(0) : "memory", "cc");
  expect_none("read-only: CMP");
  define(S1, (uint32_t)buffer, 0xfff, TYPE_CODE, FLAG_D);
  load_fs(S1);
  read1(0);
  expect_none("readable code: load");
  write1(0);
  GP("readable code: store");
  load_fs(0);
  read1(0);
  GP("null: load");
  write1(0);
  GP("null: store");
  ATTEMPT("movb %%cs:(%0), %%al", : : "c"(buffer) : "memory", "eax");
  expect_none("CS: load");
  ATTEMPT("movb %%al, %%cs:(%0)", : : "c"(buffer) : "memory");
  GP("CS: store");
  // Loads of selectors.
  define(S1, 0, 0xfff, 0x99, FLAG_D);
  ATTEMPT("movl %0, %%fs", : : "r"(S1) : "memory");
  expect_fault("FS: execute-only code", VECTOR_GP, S1);
  define(S1, 0, 0xfff, 0x13, FLAG_D);
  ATTEMPT("movl %0, %%fs", : : "r"(S1) : "memory");
  expect_fault("FS: absent", VECTOR_NP, S1);
  ATTEMPT("movl %0, %%ss", : : "r"(S1) : "memory");
  expect_fault("SS: absent", VECTOR_SS, S1);
  ATTEMPT("movl %0, %%ss", : : "r"(0) : "memory");
  expect_fault("SS: null", VECTOR_GP, 0);
  ATTEMPT("movl %0, %%ss", : : "r"(USER_DS) : "memory");
  expect_fault("SS: DPL 3 at level 0", VECTOR_GP, USER_DS);
  ATTEMPT("movl %0, %%ss", : : "r"(KERNEL_DS + 1) : "memory");
  expect_fault("SS: RPL 1 at level 0", VECTOR_GP, KERNEL_DS);
  ATTEMPT("movl %0, %%fs", : : "r"(KERNEL_DS + 3) : "memory");
  expect_fault("FS: RPL above DPL", VECTOR_GP, KERNEL_DS);
  define(S1, 0, 0xfff, 0x9f, FLAG_D);
  ATTEMPT("movl %0, %%fs", : : "r"(S1 + 3) : "memory");
  expect_none("FS: conforming readable code, whatever the RPL");
  ATTEMPT("movl %0, %%fs", : : "r"(3) : "memory");
  expect_none("FS: null with RPL 3");
  ATTEMPT("movl %0, %%fs", : : "r"(S1 | 4) : "memory");
  expect_fault("FS: LDT, which is null", VECTOR_GP, S1 | 4);
  ATTEMPT("movl %0, %%fs", : : "r"(TSS_SELECTOR) : "memory");
  expect_fault("FS: a TSS", VECTOR_GP, TSS_SELECTOR);
  // The accessed bit.
  define(S1, 0, 0xfff, 0x92, FLAG_D);
  load_fs(S1);
  check("accessed: set by the load", descriptors[S1 / 8] >> 40 & 0xff, 0x93);
  define(S1, 0, 0xfff, 0x12, FLAG_D);
  ATTEMPT("movl %0, %%fs", : : "r"(S1) : "memory");
  attempt_recovery = 0;
  check("accessed: not set by a fault", descriptors[S1 / 8] >> 40 & 0xff, 0x12);
  load_fs(0);
}

static void stack_segments(void) {
  // Four MiB from 0: the guest's own stack lies inside.
  define(S1, 0, 0x3ff, TYPE_DATA, FLAG_D | FLAG_G);
  ATTEMPT_AT("movl %1, %%ss\n 770: movb %%ss:(%0), %%al", : : "c"(0x3fffff), "r"(S1) : "memory", "eax");
  __asm__ volatile("movl %0, %%ss" : : "r"(KERNEL_DS));
  expect_none("SS limit: the last byte");
  ATTEMPT_AT("movl %1, %%ss\n 770: movb %%ss:(%0), %%al", : : "c"(0x400000), "r"(S1) : "memory", "eax");
  expect_fault("SS limit: the byte behind", VECTOR_SS, 0);
  ATTEMPT_AT("movl %1, %%ss\n pushl %%ebp\n movl %0, %%ebp\n 770: movl (%%ebp), %%eax", : : "c"(0x3ffffd), "r"(S1) : "memory", "eax");
  __asm__ volatile("movl -4(%%esp), %%ebp" : : : "memory");
  expect_fault("SS limit: by EBP", VECTOR_SS, 0);
  ATTEMPT_AT("movl %1, %%ss\n pushl %%ebp\n movl %0, %%ebp\n 770: movl %%ds:(%%ebp), %%eax", : : "c"(0x3ffffd), "r"(S1) : "memory", "eax");
  __asm__ volatile("movl -4(%%esp), %%ebp\n movl %0, %%ss" : : "r"(KERNEL_DS) : "memory");
  expect_none("SS limit: not for DS:EBP");
  // B = 0: PUSH uses SP, and the upper half of ESP stays.
  define(S1, (uint32_t)buffer, 0xffff, TYPE_DATA, 0);
  uint32_t sp;
  __asm__ volatile(
      "movl %%esp, %%ecx\n movl %1, %%ss\n movl $0xabcd1000, %%esp\n pushl $0x12345678\n movl %%esp, %0\n movl %2, %%ss\n movl %%ecx, %%esp"
      : "=&r"(sp) : "r"(S1), "r"(KERNEL_DS) : "memory", "ecx");
  check("16-bit stack: ESP", sp, 0xabcd0ffc);
  check("16-bit stack: what was pushed", *(uint32_t *)(buffer + 0xffc), 0x12345678);
}

static void code_segments(void) {
  // Code of 100h bytes: EIP runs out of it.
  static const uint8_t text[] = {0x90, 0xb8, 1, 0, 0, 0, 0xcb};
  for (unsigned i = 0; i < sizeof text; i++) buffer[i] = buffer[0xfa + i] = text[i];
  define(S1, (uint32_t)buffer, 0xff, TYPE_CODE, FLAG_D);
  ATTEMPT("lcall %0, $0", : : "i"(S1) : "memory", "eax");
  expect_none("CALL FAR into a small segment");
  ATTEMPT("lcall %0, $0x100", : : "i"(S1) : "memory", "eax");
  GP("CALL FAR beyond the limit");
  ATTEMPT("ljmp %0, $0x100", : : "i"(S1) : "memory", "eax");
  GP("JMP FAR beyond the limit");
  // From FAh: NOP, then MOV of FBh .. FFh, then RETF at 100h, outside.
  ATTEMPT("lcall %0, $0xfa", : : "i"(S1) : "memory", "eax");
  attempt_recovery = 0;
  check("EIP behind the limit: vector", fault.vector << 16 | fault.error, VECTOR_GP << 16);
  check("EIP behind the limit: EIP", fault.rip, 0x100);
  check("EIP behind the limit: CS", fault.cs, S1);
  // The MOV itself over the limit.
  define(S1, (uint32_t)buffer, 0xfe, TYPE_CODE, FLAG_D);
  ATTEMPT("lcall %0, $0xfa", : : "i"(S1) : "memory", "eax");
  attempt_recovery = 0;
  check("an instruction over the limit: vector", fault.vector << 16 | fault.error, VECTOR_GP << 16);
  // bochs: runs it, and stops at the next one.
  check("an instruction over the limit: EIP", fault.rip, 0xfb);
  // A near branch that leaves the segment faults at the branch.
  buffer[0] = 0xeb;
  buffer[1] = 0x7f;
  buffer[0x81] = 0xe9;
  *(uint32_t *)(buffer + 0x82) = 0x200;
  ATTEMPT("lcall %0, $0", : : "i"(S1) : "memory", "eax");
  attempt_recovery = 0;
  check("JMP out of the segment: vector", fault.vector << 16 | fault.error, VECTOR_GP << 16);
  check("JMP out of the segment: EIP", fault.rip, 0x81);
  // Conforming code runs at the caller's level.
  define(S1, 0, 0xfffff, 0x9f, FLAG_D | FLAG_G);
  uint32_t level = 9;
  ATTEMPT_USER("lcall %1, $1f\n jmp 2f\n 1: movl %%cs, %%eax\n lret\n 2: movl %%eax, %0", : "=m"(level) : "i"(S1) : "memory", "eax");
  expect_none("ring 3: CALL FAR to conforming code of DPL 0");
  check("ring 3: CS in conforming code", level, S1 + 3);
  define(S1, 0, 0xfffff, 0x9f | 0x60, FLAG_D | FLAG_G);
  ATTEMPT("ljmp %0, $0", : : "i"(S1) : "memory");
  expect_fault("conforming code of DPL 3 from ring 0", VECTOR_GP, S1);
}

static void queries(void) {
  uint32_t value, zero;
#define ASK(text, selector)                                                                        \
  __asm__ volatile("movl $0x55, %0\n xorl %1, %1\n " text " %w2, %0\n setz %b1" : "=&r"(value), "=&q"(zero) : "r"(selector) : "cc")
  define(S1, 0x12345678, 0x9abcd, 0xf2, FLAG_G | FLAG_D);
  ASK("lar", S1);
  // Bits 16 to 19 are not defined.
  check("LAR", (value & 0xf0ff00) | zero << 31, 0x00c0f200 | 1u << 31);
  ASK("lsl", S1);
  check("LSL with G", value, 0x9abcdfff);
  ASK("lar", 0);
  check("LAR null: nothing", value | zero << 31, 0x55);
  ASK("lsl", DESCRIPTORS * 8);
  check("LSL beyond the limit: nothing", value | zero << 31, 0x55);
  ASK("lar", KERNEL_DS + 3);
  check("LAR with RPL above DPL: nothing", value | zero << 31, 0x55);
  ASK("lsl", TSS_SELECTOR);
  check("LSL of a TSS", value | zero << 31, (sizeof task - 1) | 1u << 31);
  define(S2, 0, 0, 0x86, 0);
  ASK("lsl", S2);
  check("LSL of a gate: nothing", value | zero << 31, 0x55);
  define(S2, 0, 0, 0x8c, 0);
  ASK("lar", S2);
  check("LAR of a call gate", zero, 1);
#define VERIFY(text, selector) __asm__ volatile("xorl %0, %0\n " text " %w1\n setz %b0" : "=&q"(zero) : "r"(selector) : "cc")
  VERIFY("verr", KERNEL_DS);
  check("VERR of data", zero, 1);
  VERIFY("verw", KERNEL_DS);
  check("VERW of data", zero, 1);
  VERIFY("verw", KERNEL_CS);
  check("VERW of code", zero, 0);
  VERIFY("verr", KERNEL_CS);
  check("VERR of readable code", zero, 1);
  define(S2, 0, 0xfff, 0x99, FLAG_D);
  VERIFY("verr", S2);
  check("VERR of execute-only code", zero, 0);
  VERIFY("verr", 0);
  check("VERR null", zero, 0);
  VERIFY("verr", KERNEL_DS + 3);
  check("VERR with RPL above DPL", zero, 0);
  VERIFY("verr", TSS_SELECTOR);
  check("VERR of a TSS", zero, 0);
  define(S2, 0, 0xfff, 0x12, FLAG_D);
  VERIFY("verr", S2);
  // Presence is not asked.
  check("VERR of absent data", zero, 1);
  // ARPL.
  __asm__ volatile("xorl %0, %0\n movw $0x10, %%ax\n movw $3, %%cx\n arpl %%cx, %%ax\n setz %b0\n shll $16, %0\n movw %%ax, %w0" : "=&b"(zero) : : "eax", "ecx", "cc");
  check("ARPL raises the RPL", zero, 0x10013);
  __asm__ volatile("xorl %0, %0\n movw $0x13, %%ax\n movw $1, %%cx\n arpl %%cx, %%ax\n setz %b0\n shll $16, %0\n movw %%ax, %w0" : "=&b"(zero) : : "eax", "ecx", "cc");
  check("ARPL leaves a higher one", zero, 0x13);
}

void guest_main(void) {
  limits();
  expand_down();
  types();
  stack_segments();
  // qemu: code runs on behind the limit, into nothing.
  if (under_tcg()) check_skip("code segments");
  else code_segments();
  queries();
  checks_end();
}
