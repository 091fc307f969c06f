// Instructions that a bit of CR4 turns on or keeps from ring 3, and registers that refuse values: FSGSBASE, UMIP, RDTSCP, RDPID, RDPMC, SMAP's
// flag, SWAPGS, MSRs of addresses (SDM vol. 2 under the instructions' names; vol. 3, 2.5).
#include "machine.h"
#include "paging.h"

#define MSR_CSTAR 0xc0000083u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_TSC_AUX 0xc0000103u
#define CR4_TSD 4ul
#define CR4_PCE 0x100ul
#define CR4_UMIP 0x800ul
#define CR4_FSGSBASE 0x10000ul
#define NOT_CANONICAL 0x8000000000000000ul
#define WRITE_MSR(number, value) \
  ATTEMPT("wrmsr", : : "c"(number), "a"((uint32_t)(value)), "d"((uint32_t)((uint64_t)(value) >> 32)) : "memory")

static uint8_t buffer[128] __attribute__((aligned(64)));

static void segment_bases(void) {
  uint64_t value = 0;
  if (!(cpuid(7, 0).ebx & 1)) {
    check_skip("FSGSBASE");
    return;
  }
  uint64_t cr4 = read_cr4() & ~CR4_FSGSBASE;
  write_cr4(cr4);
  ATTEMPT("rdfsbase %%rax", : : : "memory", "rax");
  expect_fault("RDFSBASE without CR4.FSGSBASE", VECTOR_UD, 0);
  ATTEMPT("wrgsbase %%rax", : : "a"(NOT_CANONICAL) : "memory");
  expect_fault("WRGSBASE without CR4.FSGSBASE: #UD first", VECTOR_UD, 0);
  write_cr4(cr4 | CR4_FSGSBASE);
  ATTEMPT("wrfsbase %%rax", : : "a"(NOT_CANONICAL) : "memory");
  expect_fault("WRFSBASE, not canonical", VECTOR_GP, 0);
  ATTEMPT_USER("wrgsbase %%rax", : : "a"(0xffff900000000000) : "memory");
  expect_none("ring 3: WRGSBASE");
  check("ring 3: WRGSBASE: the MSR", rdmsr(MSR_GS_BASE), 0xffff900000000000);
  ATTEMPT("rdgsbase %%rax\n wrgsbase %%ecx\n rdgsbase %%rcx", : "=a"(value) : "c"(0xffffffffffffffff) : "memory");
  check("RDGSBASE", value, 0xffff900000000000);
  check("WRGSBASE of 32 bits: zero-extended", rdmsr(MSR_GS_BASE), 0xffffffff);
  ATTEMPT("rdgsbase %%eax", : "=a"(value) : "a"(-1l) : "memory");
  check("RDGSBASE of 32 bits", value, 0xffffffff);
  write_cr4(cr4);
  // SWAPGS.
  wrmsr(MSR_KERNEL_GS_BASE, 0x1234);
  ATTEMPT("swapgs", : : : "memory");
  expect_none("SWAPGS");
  check("SWAPGS: GS.base", rdmsr(MSR_GS_BASE), 0x1234);
  check("SWAPGS: KERNEL_GS_BASE", rdmsr(MSR_KERNEL_GS_BASE), 0xffffffff);
  // A return to ring 3 makes GS null if its DPL is lower, and leaves the base.
  __asm__ volatile("movl %0, %%gs" : : "r"(KERNEL_DS));
  wrmsr(MSR_GS_BASE, 0x5678);
  ATTEMPT_USER("movl %%gs, %%eax", : "=a"(value) : : "memory");
  check("IRET to ring 3: GS", value & 0xffff, 0);
  check("IRET to ring 3: GS.base", rdmsr(MSR_GS_BASE), 0x5678);
  attempt_recovery = 0;
  // Loading a selector loads a base of 32 bits.
  __asm__ volatile("movl %0, %%gs" : : "r"(KERNEL_DS));
  check("MOV GS: base", rdmsr(MSR_GS_BASE), 0);
}

static void counters(void) {
  uint32_t low, high, aux;
  uint64_t cr4 = read_cr4();
  if (cpuid(0x80000001, 0).edx >> 27 & 1) {
    wrmsr(MSR_TSC_AUX, 0x87654321);
    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
    check("RDTSCP: ECX", aux, 0x87654321);
    write_cr4(cr4 | CR4_TSD);
    ATTEMPT_USER("rdtscp", : : : "memory", "rax", "rcx", "rdx");
    expect_fault("ring 3: RDTSCP with CR4.TSD", VECTOR_GP, 0);
    write_cr4(cr4);
    ATTEMPT_USER("rdtscp", : : : "memory", "rax", "rcx", "rdx");
    expect_none("ring 3: RDTSCP");
  } else check_skip("RDTSCP");
  if (cpuid(7, 0).ecx >> 22 & 1) {
    uint64_t value = -1l;
    write_cr4(cr4 | CR4_TSD);
    ATTEMPT_USER(".byte 0xf3, 0x0f, 0xc7, 0xf8", : "+a"(value) : : "memory");
    expect_none("ring 3: RDPID, whatever CR4.TSD");
    check("RDPID", value, 0x87654321);
    write_cr4(cr4);
  } else check_skip("RDPID");
  // Which counters there are is the model's; ring 3 may not ask without PCE.
  write_cr4(cr4 & ~CR4_PCE);
  ATTEMPT_USER("rdpmc", : : "c"(0) : "memory", "rax", "rdx");
  expect_fault("ring 3: RDPMC without CR4.PCE", VECTOR_GP, 0);
  write_cr4(cr4);
}

static void prevented(void) {
  if (cpuid(7, 0).ecx >> 2 & 1) {
    uint64_t cr4 = read_cr4();
    write_cr4(cr4 | CR4_UMIP);
#define KEPT(text)                                              \
  ATTEMPT_USER(text, : : "a"(buffer) : "memory", "rcx");        \
  expect_fault("ring 3, UMIP: " text, VECTOR_GP, 0);            \
  ATTEMPT(text, : : "a"(buffer) : "memory", "rcx");             \
  expect_none("ring 0, UMIP: " text)
    KEPT("sidt (%%rax)");
    KEPT("sgdt (%%rax)");
    KEPT("sldt %%ecx");
    KEPT("sldt (%%rax)");
    KEPT("smsw (%%rax)");
    KEPT("str (%%rax)");
    // The fault goes before that of the operand.
    ATTEMPT_USER("sidt (%%rax)", : : "a"(NOT_CANONICAL) : "memory");
    expect_fault("ring 3, UMIP: SIDT, not canonical", VECTOR_GP, 0);
    ATTEMPT_USER("sidt (%%rax)", : : "a"(FREE_LINEAR_ADDRESS + 0x123000) : "memory");
    expect_fault("ring 3, UMIP: SIDT to an absent page", VECTOR_GP, 0);
    write_cr4(cr4);
    ATTEMPT_USER("sidt (%%rax)\n sgdt (%%rax)\n sldt %%ecx\n str %%ecx\n smsw %%ecx", : : "a"(buffer) : "memory", "rcx");
    expect_none("ring 3 without UMIP");
  } else check_skip("UMIP");
  if (cpuid(7, 0).ebx >> 20 & 1) {
    ATTEMPT_USER("stac", : : : "memory", "cc");
    expect_fault("ring 3: STAC", VECTOR_UD, 0);
    ATTEMPT_USER("clac", : : : "memory", "cc");
    expect_fault("ring 3: CLAC", VECTOR_UD, 0);
  } else check_skip("SMAP");
  if (cpuid(7, 0).ebx >> 10 & 1) {
    ATTEMPT_USER("invpcid (%%rax), %%rcx", : : "a"(buffer), "c"(2l) : "memory");
    expect_fault("ring 3: INVPCID", VECTOR_GP, 0);
  } else check_skip("INVPCID");
  // SYSCALL and SYSRET without EFER.SCE.
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_SCE);
  ATTEMPT("syscall", : : : "memory", "rcx", "r11");
  expect_fault("SYSCALL without EFER.SCE", VECTOR_UD, 0);
  ATTEMPT_USER("sysretq", : : : "memory");
  expect_fault("ring 3: SYSRET without EFER.SCE: #UD first", VECTOR_UD, 0);
}

static void registers(void) {
  // qemu: takes what is not canonical.
  WRITE_MSR(MSR_GS_BASE, NOT_CANONICAL);
  expect_fault("GS.base, not canonical", VECTOR_GP, 0);
  WRITE_MSR(MSR_KERNEL_GS_BASE, NOT_CANONICAL);
  expect_fault("KERNEL_GS_BASE, not canonical", VECTOR_GP, 0);
  WRITE_MSR(MSR_CSTAR, NOT_CANONICAL);
  expect_fault("CSTAR, not canonical", VECTOR_GP, 0);
  WRITE_MSR(MSR_LSTAR, 0xffff800000000000);
  expect_none("LSTAR, first address of the upper half");
  WRITE_MSR(MSR_STAR, NOT_CANONICAL);
  expect_none("STAR takes anything");
  // LMA is the processor's (vol. 3, 2.2.1); Intel ignores what is written to it.
  if (cpuid(0, 0).ecx == 0x6c65746e) {
    WRITE_MSR(MSR_EFER, rdmsr(MSR_EFER) & ~0x400ul);
    expect_none("EFER.LMA written as 0");
    WRITE_MSR(MSR_SFMASK, 1ul << 32);
    expect_fault("FMASK, upper half", VECTOR_GP, 0);
    WRITE_MSR(MSR_TSC_AUX, 1ul << 32);
    expect_fault("TSC_AUX, upper half", VECTOR_GP, 0);
  }
  check("EFER.LMA stays", rdmsr(MSR_EFER) & 0x400, 0x400);
  // CR8 is the task priority.
  uint64_t value = 0;
  ATTEMPT("movq %%cr8, %0\n movq %0, %%cr8", : "=r"(value) : : "memory");
  expect_none("CR8");
  ATTEMPT("movq %0, %%cr8", : : "r"(1ul << 32) : "memory");
  // qemu: takes it.
  expect_fault("CR8, upper half", VECTOR_GP, 0);
  if (!under_tcg() && !(cpuid(7, 0).ecx >> 16 & 1)) {
    ATTEMPT("movq %0, %%cr4", : : "r"(read_cr4() | 0x1000) : "memory");
    expect_fault("CR4.LA57 without the feature", VECTOR_GP, 0);
  }
  // Operand-size prefixes and REX.W mean nothing to MOV CR.
  ATTEMPT(".byte 0x66, 0x0f, 0x20, 0xd8\n .byte 0x48, 0x0f, 0x20, 0xd9", : "=a"(value) : : "memory", "rcx");
  expect_none("MOV CR with prefixes");
  check("MOV CR with 66h", value, read_cr3());
  // MOV CR has no memory form: the mod field is ignored.
  ATTEMPT(".byte 0x0f, 0x20, 0x18", : "=a"(value) : : "memory");
  expect_none("MOV CR, mod 0");
  check("MOV CR, mod 0: RAX", value, read_cr3());
}

void guest_main(void) {
  machine_init();
  identity_for_users();
  segment_bases();
  counters();
  prevented();
  registers();
  checks_end();
}
