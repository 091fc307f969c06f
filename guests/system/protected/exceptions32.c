// Exceptions that only legacy modes have, and error codes of the tables in 32-bit protected mode (SDM vol. 3, 6.15).
#include "machine.h"

static void legacy(void) {
  ATTEMPT_AT("movb $0x7f, %%al\n addb $1, %%al\n 770: into", : : : "memory", "eax", "cc");
  expect_at("INTO", VECTOR_OF, 0, 1);
  ATTEMPT_AT("xorl %%eax, %%eax\n 770: into", : : : "memory", "eax", "cc");
  expect_none("INTO without OF");
  static const int32_t bounds[2] = {-2, 5};
  ATTEMPT("boundl %0, %1", : : "r"(6), "m"(bounds) : "memory");
  expect_fault("BOUND above", VECTOR_BR, 0);
  ATTEMPT("boundl %0, %1", : : "r"(-3), "m"(bounds) : "memory");
  expect_fault("BOUND below", VECTOR_BR, 0);
  ATTEMPT("boundl %0, %1", : : "r"(5), "m"(bounds) : "memory");
  expect_none("BOUND inside");
  ATTEMPT(".byte 0xd4, 0", : : : "memory", "eax", "cc");
  expect_fault("AAM 0", VECTOR_DE, 0);
  ATTEMPT(".byte 0xf1", : : : "memory");
  // qemu: #UD.
  expect_at("INT1", VECTOR_DB, 0, 1);
  ATTEMPT("int3", : : : "memory");
  expect_at("INT3", VECTOR_BP, 0, 1);
  // LES and LDS want memory, ARPL exists.
  ATTEMPT(".byte 0x8d, 0xc0", : : : "memory");
  expect_fault("LEA of a register", VECTOR_UD, 0);
  ATTEMPT(".byte 0x0f, 0x05", : : : "memory");
  expect_fault("SYSCALL without EFER.SCE", VECTOR_UD, 0);
  ATTEMPT_USER("into", : : : "memory");
  expect_none("ring 3: INTO without OF");
  ATTEMPT_USER_AT("movb $0x7f, %%al\n addb $1, %%al\n 770: into", : : : "memory", "eax", "cc");
  expect_fault("ring 3: INTO, gate of DPL 0", VECTOR_GP, VECTOR_OF * 8 + 2);
}

/** A 16-bit or 32-bit gate may have any code segment; what it pushes has its width. */
static void gate_errors(void) {
  gates[VECTOR_UD].type = 0x0e;
  ATTEMPT("ud2", : : : "memory");
  expect_fault("#UD, gate absent", VECTOR_NP, VECTOR_UD * 8 + 3);
  gate_reset(VECTOR_UD);
  gates[0x90].type = 0x0e;
  ATTEMPT("int $0x90", : : : "memory");
  expect_fault("INT, gate absent", VECTOR_NP, 0x90 * 8 + 2);
  gate_reset(0x90);
  ATTEMPT_USER("int $0x90", : : : "memory");
  expect_fault("ring 3: INT, gate of DPL 0", VECTOR_GP, 0x90 * 8 + 2);
  static const uint8_t bad_types[] = {0x80, 0x81, 0x82, 0x83, 0x84, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x92, 0x9a};
  unsigned differing = 0;
  for (unsigned i = 0; i < sizeof bad_types; i++) {
    gates[0x90].type = bad_types[i];
    ATTEMPT("int $0x90", : : : "memory");
    // qemu: does not look at the S bit: takes 92h and 9Ah for task and interrupt gates' types and fails otherwise.
    if (fault.vector != VECTOR_GP || fault.error != 0x90 * 8 + 2) differing |= 1u << i;
  }
  attempt_recovery = 0;
  check("INT, types that are no gates", differing, 0);
  gate_reset(0x90);
  gates[0x90].selector = 0;
  ATTEMPT("int $0x90", : : : "memory");
  expect_fault("INT, null code segment", VECTOR_GP, 0);
  gates[0x90].selector = KERNEL_DS;
  ATTEMPT("int $0x90", : : : "memory");
  expect_fault("INT, data segment", VECTOR_GP, KERNEL_DS);
  gates[0x90].selector = USER_CS32;
  ATTEMPT("int $0x90", : : : "memory");
  expect_fault("INT, outer code segment", VECTOR_GP, USER_CS32);
  gates[0x90].selector = DESCRIPTORS * 8;
  ATTEMPT("int $0x90", : : : "memory");
  expect_fault("INT, code segment beyond the limit", VECTOR_GP, DESCRIPTORS * 8);
  gates[VECTOR_UD].selector = KERNEL_DS;
  ATTEMPT("ud2", : : : "memory");
  expect_fault("#UD, data segment: EXT", VECTOR_GP, KERNEL_DS + 1);
  gate_reset(VECTOR_UD);
  descriptors[FREE_SELECTOR / 8] = descriptor(0, 0xfffff, TYPE_CODE & ~0x80, FLAG_G | FLAG_D);
  gates[0x90].selector = FREE_SELECTOR;
  ATTEMPT("int $0x90", : : : "memory");
  expect_fault("INT, absent code segment", VECTOR_NP, FREE_SELECTOR);
  // The offset lies outside of the code segment.
  descriptors[FREE_SELECTOR / 8] = descriptor(0, 0xfff, TYPE_CODE, FLAG_D);
  ATTEMPT("int $0x90", : : : "memory");
  // qemu: no limits of code segments.
  expect_fault("INT, offset beyond the limit", VECTOR_GP, 0);
  gate_reset(0x90);

  struct {
    uint16_t limit;
    uint32_t base;
  } __attribute__((packed)) full = {sizeof gates - 1, (uint32_t)gates}, cut = {0x90 * 8 + 6, (uint32_t)gates};
  __asm__ volatile("lidt %0" : : "m"(cut));
  ATTEMPT("int $0x90", : : : "memory");
  __asm__ volatile("lidt %0" : : "m"(full));
  expect_fault("INT beyond the IDT's limit", VECTOR_GP, 0x90 * 8 + 2);
  // Double faults (table 6-5).
  gates[VECTOR_GP].type = 0x0e;
  ATTEMPT("movl %0, %%es", : : "r"(DESCRIPTORS * 8) : "memory");
  expect_at("#GP with its gate absent", VECTOR_DF, 0, 0);
  gate_reset(VECTOR_GP);
  gates[VECTOR_DE].selector = KERNEL_DS;
  ATTEMPT("divl %0", : : "r"(0), "a"(1), "d"(0) : "memory", "cc");
  expect_at("#DE, #GP", VECTOR_DF, 0, 0);
  gate_reset(VECTOR_DE);
}

/** Stack switches that fail: #TS with the selector of the stack (SDM vol. 3, 6.15, #TS), #SS for an absent one. */
static void inner_stacks(void) {
  static const struct {
    const char *name;
    uint16_t selector;
    uint64_t value;
    uint16_t vector, error;
  } cases[] = {
      {"SS0 null", 0, 0, VECTOR_TS, 0},
      {"SS0 with RPL 3", KERNEL_DS + 3, 0, VECTOR_TS, KERNEL_DS},
      {"SS0 with DPL 3", USER_DS, 0, VECTOR_TS, USER_DS},
      {"SS0 of code", KERNEL_CS, 0, VECTOR_TS, KERNEL_CS},
      {"SS0 beyond the limit", DESCRIPTORS * 8, 0, VECTOR_TS, DESCRIPTORS * 8},
      {"SS0 read-only", FREE_SELECTOR, 0x00cf91000000ffff, VECTOR_TS, FREE_SELECTOR},
      {"SS0 absent", FREE_SELECTOR, 0x00cf13000000ffff, VECTOR_SS, FREE_SELECTOR},
      {"SS0 too small", FREE_SELECTOR, 0x004093000000000f, VECTOR_SS, FREE_SELECTOR},
  };
  // #TS and #SS themselves must not use SS0: a conforming code segment keeps them in ring 3.
  descriptors[FREE_SELECTOR / 8 + 1] = descriptor(0, 0xfffff, 0x9f, FLAG_G | FLAG_D);
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    descriptors[FREE_SELECTOR / 8] = cases[i].value;
    gates[0x90].type = 0xee;
    gates[VECTOR_TS].selector = gates[VECTOR_SS].selector = FREE_SELECTOR + 8;
    // In ring 3 the handler may not touch much: it keeps vector and error code, and leaves by INT 80h.
    extern const char ring3_ts[], ring3_ss[];
    gates[VECTOR_TS].offset_low = (uint16_t)(uint32_t)ring3_ts;
    gates[VECTOR_TS].offset_high = (uint16_t)((uint32_t)ring3_ts >> 16);
    gates[VECTOR_SS].offset_low = (uint16_t)(uint32_t)ring3_ss;
    gates[VECTOR_SS].offset_high = (uint16_t)((uint32_t)ring3_ss >> 16);
    extern volatile uint32_t ring3_vector, ring3_error;
    ring3_vector = NO_FAULT;
    task.ss0 = cases[i].selector;
    ATTEMPT_USER("int $0x90", : : : "memory");
    task.ss0 = KERNEL_DS;
    attempt_recovery = 0;
    // INT n: EXT is 0.
    check(cases[i].name, ring3_vector << 16 | ring3_error, (uint32_t)cases[i].vector << 16 | cases[i].error);
    gate_reset(VECTOR_TS);
    gate_reset(VECTOR_SS);
  }
  gate_reset(0x90);
}

// Handlers that run in ring 3 through the conforming segment; they mend SS0 and leave.
__asm__(
    ".data\n .globl ring3_vector, ring3_error\n ring3_vector: .long 0\n ring3_error: .long 0\n"
    ".text\n"
    ".globl ring3_ts, ring3_ss\n"
    "ring3_ts: movl $10, ring3_vector\n jmp 1f\n"
    "ring3_ss: movl $12, ring3_vector\n"
    "1: popl ring3_error\n movl $0x10, task+8\n int $0x80\n");

void guest_main(void) {
  legacy();
  gate_errors();
  inner_stacks();
  checks_end();
}
