// XSAVE and its relatives, XCR0 and IA32_XSS (SDM vol. 1, ch. 13; vol. 2 under the instructions' names).
#include "boot.h"
#include "machine.h"
#include "memory.h"
#include "paging.h"

#define MSR_XSS 0xda0
#define X87 1u
#define SSE 2u
#define AVX 4u
#define PKRU 0x200u
#define COMPACTED 0x8000000000000000ul
/** Bytes of the area that no instruction has written. */
#define UNTOUCHED 0xa5
#define NOT_CANONICAL 0x8000000000000000ul

struct area {
  uint16_t fcw, fsw;
  uint8_t ftw, reserved0;
  uint16_t fop;
  uint64_t fip, fdp;
  uint32_t mxcsr, mxcsr_mask;
  uint64_t st[8][2], xmm[16][2], reserved1[12];
  uint64_t xstate_bv, xcomp_bv, reserved2[6];
  /** From byte 576 on. */
  uint64_t extended[440];
};
static struct area area __attribute__((aligned(64)));
/** CPUID 0Dh.1 EAX: XSAVEOPT 0, XSAVEC 1, XGETBV1 2, XSAVES 3. */
static uint32_t features;
/** Components whose bits XCR0 may have. */
static uint32_t all;
static int has_pkru;

/** EAX is the requested-feature bitmap, EDX 0. */
#define DO(instruction, mask) \
  ATTEMPT(instruction " (%0)", : : "D"(&area), "a"(mask), "d"(0) : "memory")
#define MUST(instruction, mask) \
  __asm__ volatile(instruction " (%0)" : : "D"(&area), "a"(mask), "d"(0) : "memory")

static void fill(uint64_t xstate_bv, uint64_t xcomp_bv) {
  memset(&area, UNTOUCHED, sizeof area);
  area.mxcsr = 0x1f80;
  area.fcw = 0x37f;
  area.fsw = 0;
  area.ftw = 0;
  area.xstate_bv = xstate_bv;
  area.xcomp_bv = xcomp_bv;
  for (int i = 0; i < 6; i++) area.reserved2[i] = 0;
}

/** All components are as after RESET. */
static void initialize(void) {
  memset(&area, 0, sizeof area);
  area.mxcsr = 0x1f80;
  MUST("xrstor", all);
}

static void load_xmm1(uint64_t value) { __asm__ volatile("movq %0, %%xmm1" : : "r"(value)); }
static uint64_t xmm1(void) {
  uint64_t value;
  __asm__ volatile("movq %%xmm1, %0" : "=r"(value));
  return value;
}
/** Upper half of YMM1; VEX instructions would need AVX in XCR0. */
static void load_ymm1(uint64_t value) {
  __asm__ volatile("movq %0, %%xmm1\n vinsertf128 $1, %%xmm1, %%ymm1, %%ymm1" : : "r"(value));
}
static uint64_t upper1(void) {
  uint64_t value;
  __asm__ volatile("vextractf128 $1, %%ymm1, %%xmm2\n movq %%xmm2, %0" : "=r"(value));
  return value;
}
static void load_mxcsr(uint32_t value) { __asm__ volatile("ldmxcsr %0" : : "m"(value)); }
static uint32_t mxcsr(void) {
  uint32_t value;
  __asm__ volatile("stmxcsr %0" : "=m"(value));
  return value;
}
static uint32_t read_pkru(void) {
  uint32_t value;
  __asm__ volatile("rdpkru" : "=a"(value) : "c"(0) : "edx");
  return value;
}
static void write_pkru(uint32_t value) { __asm__ volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory"); }

/** XCR0 (vol. 1, 13.3; vol. 2, XSETBV) and who may use what. */
static void control(void) {
#define XSETBV(name, index, value)                                                                            \
  ATTEMPT("xsetbv", : : "c"(index), "a"((uint32_t)(value)), "d"((uint32_t)((uint64_t)(value) >> 32)) : "memory"); \
  expect_fault(name, VECTOR_GP, 0)
  XSETBV("XCR0: x87 cleared", 0, all & ~X87);
  XSETBV("XCR0: AVX without SSE", 0, X87 | AVX);
  XSETBV("XCR0: bit 63", 0, all | 1ul << 63);
  XSETBV("XCR0: bit 8, which is IA32_XSS's", 0, all | 0x100);
  XSETBV("XCR0: MPX, one half of it", 0, X87 | 8);
  XSETBV("XCR0: AVX-512, one third of it", 0, X87 | SSE | AVX | 0x20);
  XSETBV("XCR1", 1, all);
  XSETBV("XCR 80000000h", 0x80000000, all);
  check("XCR0 is unchanged", xgetbv(0), all);
  ATTEMPT("xgetbv", : : "c"(2) : "memory", "rax", "rdx");
  expect_fault("XGETBV of XCR2", VECTOR_GP, 0);
  ATTEMPT_USER("xsetbv", : : "c"(0), "a"(all), "d"(0) : "memory");
  expect_fault("ring 3: XSETBV", VECTOR_GP, 0);
  ATTEMPT_USER("xgetbv", : : "c"(0) : "memory", "rax", "rdx");
  expect_none("ring 3: XGETBV");
  // CPUID 0Dh.0 EBX: bytes for what XCR0 has now.
  xsetbv(0, X87);
  check("CPUID 0Dh, XCR0 = 1: bytes", cpuid(13, 0).ebx, 576);
  ATTEMPT("vzeroall", : : : "memory");
  expect_fault("AVX without XCR0", VECTOR_UD, 0);
  ATTEMPT("addps %%xmm0, %%xmm0", : : : "memory");
  expect_none("SSE without XCR0");
  xsetbv(0, all);
  if (all & AVX) {
    check("CPUID 0Dh.2: bytes", cpuid(13, 2).eax, 256);
    check("CPUID 0Dh.2: offset", cpuid(13, 2).ebx, 576);
    xsetbv(0, X87 | SSE | AVX);
    check("CPUID 0Dh, XCR0 = 7: bytes", cpuid(13, 0).ebx, 832);
    xsetbv(0, all);
  }

  uint64_t cr4 = read_cr4();
  write_cr4(cr4 & ~CR4_OSXSAVE);
  check("CPUID.OSXSAVE follows CR4", cpuid(1, 0).ecx >> 27 & 1, 0);
  ATTEMPT("xgetbv", : : "c"(0) : "memory", "rax", "rdx");
  expect_fault("no OSXSAVE: XGETBV", VECTOR_UD, 0);
  ATTEMPT_USER("xsetbv", : : "c"(0), "a"(0), "d"(0) : "memory");
  expect_fault("no OSXSAVE: XSETBV in ring 3, #UD first", VECTOR_UD, 0);
  DO("xsave", all);
  expect_fault("no OSXSAVE: XSAVE", VECTOR_UD, 0);
  DO("xrstor", all);
  expect_fault("no OSXSAVE: XRSTOR", VECTOR_UD, 0);
  ATTEMPT("vzeroupper", : : : "memory");
  expect_fault("no OSXSAVE: AVX", VECTOR_UD, 0);
  write_cr4(cr4);

  uint64_t cr0 = read_cr0();
  fill(0, 0);
  write_cr0(cr0 | CR0_TS);
  DO("xsave", all);
  expect_fault("TS: XSAVE", VECTOR_NM, 0);
  DO("xrstor", all);
  expect_fault("TS: XRSTOR", VECTOR_NM, 0);
  ATTEMPT("xsave 8(%0)", : : "D"(&area), "a"(all), "d"(0) : "memory");
  expect_fault("TS: XSAVE, not aligned", VECTOR_NM, 0);
  ATTEMPT("xgetbv", : : "c"(0) : "memory", "rax", "rdx");
  expect_none("TS: XGETBV");
  ATTEMPT("vzeroupper", : : : "memory");
  expect_fault("TS: AVX", VECTOR_NM, 0);
  // EM means nothing to them.
  write_cr0(cr0 | CR0_EM);
  DO("xsave", all);
  expect_none("EM: XSAVE");
  write_cr0(cr0);

  ATTEMPT("xsave 8(%0)", : : "D"(&area), "a"(all), "d"(0) : "memory");
  expect_fault("XSAVE, not aligned", VECTOR_GP, 0);
  ATTEMPT("xsave 32(%0)", : : "D"(&area), "a"(all), "d"(0) : "memory");
  expect_fault("XSAVE, multiple of 32", VECTOR_GP, 0);
  ATTEMPT("xrstor 32(%0)", : : "D"(&area), "a"(all), "d"(0) : "memory");
  expect_fault("XRSTOR, multiple of 32", VECTOR_GP, 0);
  ATTEMPT("xsave (%0)", : : "D"(NOT_CANONICAL), "a"(all), "d"(0) : "memory");
  expect_fault("XSAVE, not canonical", VECTOR_GP, 0);
  ATTEMPT(".byte 0x0f, 0xae, 0xe0", : : : "memory");
  expect_fault("#UD: XSAVE of a register", VECTOR_UD, 0);
  ATTEMPT(".byte 0x66, 0x0f, 0xae, 0x27", : : "D"(&area), "a"(0), "d"(0) : "memory");
  expect_fault("#UD: XSAVE with 66", VECTOR_UD, 0);
  ATTEMPT(".byte 0xf0, 0x0f, 0xae, 0x27", : : "D"(&area), "a"(0), "d"(0) : "memory");
  expect_fault("#UD: LOCK XSAVE", VECTOR_UD, 0);
}

static void xsave(void) {
  initialize();
  load_xmm1(0x1111);
  fill(0, 0);
  area.xstate_bv = 0xf0000000000000f0;
  area.xcomp_bv = 0x1234;
  area.reserved2[0] = 0x5678;
  area.mxcsr = 0;
  DO("xsave", SSE);
  expect_none("XSAVE");
  check("XSAVE: XSTATE_BV, bits that were not asked for stay", area.xstate_bv, 0xf0000000000000f0 | SSE);
  check("XSAVE: the rest of the header stays", area.xcomp_bv << 16 | area.reserved2[0], 0x12345678);
  check("XSAVE: XMM1", area.xmm[1][0], 0x1111);
  check("XSAVE: MXCSR", area.mxcsr, 0x1f80);
  check("XSAVE: x87 was not asked for", area.st[0][0], 0xa5a5a5a5a5a5a5a5);
  fill(0, 0);
  area.mxcsr = 0;
  MUST("xsave", X87);
  check("XSAVE of x87: no MXCSR", area.mxcsr, 0);
  check("XSAVE of x87: no XMM", area.xmm[1][0], 0xa5a5a5a5a5a5a5a5);
  check("XSAVE of x87: FCW", area.fcw, 0x37f);
  fill(SSE, 0);
  MUST("xsave", 0);
  check("XSAVE of nothing: XSTATE_BV", area.xstate_bv, SSE);
  if (!(all & AVX)) {
    check_skip("AVX");
    return;
  }
  fill(0, 0);
  area.mxcsr = 0;
  load_ymm1(0x2222);
  MUST("xsave", AVX);
  check("XSAVE of AVX: MXCSR too", area.mxcsr, 0x1f80);
  check("XSAVE of AVX: YMM1", area.extended[2], 0x2222);
  check("XSAVE of AVX: no XMM", area.xmm[1][0], 0xa5a5a5a5a5a5a5a5);
  check("XSAVE of AVX: XSTATE_BV", area.xstate_bv, AVX);
  // What is beyond the component is nobody's.
  check("XSAVE of AVX: bytes behind", area.extended[32], 0xa5a5a5a5a5a5a5a5);
  // Bits that XCR0 does not have are ignored.
  fill(0, 0);
  ATTEMPT("xsave (%0)", : : "D"(&area), "a"(0xffffffff), "d"(0xffffffff) : "memory");
  expect_none("XSAVE of all ones");
  check("XSAVE of all ones: XSTATE_BV", area.xstate_bv & ~(uint64_t)all, 0);
  ATTEMPT_USER("xsave (%0)", : : "D"(&area), "a"(all), "d"(0) : "memory");
  expect_none("ring 3: XSAVE");
}

static void xrstor(void) {
#define REJECTS(name, instruction, mask) \
  DO(instruction, mask);                 \
  expect_fault(name, VECTOR_GP, 0)
  initialize();
  load_xmm1(0x1111);
  fill(1ul << 8, 0);
  REJECTS("XRSTOR: XSTATE_BV beyond XCR0", "xrstor", all);
  REJECTS("XRSTOR: that of what is not asked for, too", "xrstor", X87);
  fill(1ul << 63, 0);
  REJECTS("XRSTOR: XSTATE_BV bit 63", "xrstor", all);
  fill(SSE, 1);
  REJECTS("XRSTOR: XCOMP_BV without bit 63", "xrstor", all);
  fill(SSE, 0);
  area.reserved2[0] = 1;
  // Vol. 2, XRSTOR: bytes 23:8 of the header.
  REJECTS("XRSTOR: header, byte 16", "xrstor", all);
  fill(SSE, 0);
  area.reserved2[1] = 1;
  DO("xrstor", SSE);
  // bochs: #GP.
  expect_none("XRSTOR: header, byte 24 is ignored");
  fill(0, 0);
  area.mxcsr = 0x10000;
  // Whatever XSTATE_BV says.
  REJECTS("XRSTOR of SSE: reserved bit of MXCSR", "xrstor", SSE);
  REJECTS("XRSTOR of AVX: reserved bit of MXCSR", "xrstor", AVX);
  DO("xrstor", X87);
  expect_none("XRSTOR of x87 does not look at MXCSR");
  load_xmm1(0x1111);
  fill(X87, 0);
  area.mxcsr = 0x1fa0;
  MUST("xrstor", X87);
  check("XRSTOR of x87: XMM stays", xmm1(), 0x1111);
  check("XRSTOR of x87: MXCSR stays", mxcsr(), 0x1f80);
  fill(0, 0);
  area.mxcsr = 0x1fa0;
  MUST("xrstor", SSE);
  check("XRSTOR, XSTATE_BV clear: XMM is initialized", xmm1(), 0);
  check("XRSTOR, XSTATE_BV clear: MXCSR is loaded", mxcsr(), 0x1fa0);
  load_mxcsr(0x1f80);
  fill(SSE, 0);
  area.xmm[1][0] = 0x3333;
  MUST("xrstor", SSE);
  check("XRSTOR: XMM", xmm1(), 0x3333);
  fill(X87, 0);
  area.fcw = 0x340;
  area.fsw = 0x3800;
  area.ftw = 0x80;
  area.st[0][0] = 0x8000000000000000;
  area.st[0][1] = 0x3fff;
  uint16_t fcw;
  uint64_t st;
  MUST("xrstor", X87);
  __asm__ volatile("fnstcw %0\n fstpl %1\n fninit" : "=m"(fcw), "=m"(st));
  check("XRSTOR: FCW", fcw, 0x340);
  check("XRSTOR: ST", st, 0x3ff0000000000000);
  if (!(all & AVX)) return;
  load_ymm1(0x2222);
  fill(0, 0);
  area.mxcsr = 0x1fa0;
  MUST("xrstor", AVX);
  check("XRSTOR of AVX, XSTATE_BV clear: upper half", upper1(), 0);
  check("XRSTOR of AVX: lower half stays", xmm1(), 0x2222);
  check("XRSTOR of AVX: MXCSR too", mxcsr(), 0x1fa0);
  load_mxcsr(0x1f80);
  fill(AVX, 0);
  area.extended[2] = 0x4444;
  MUST("xrstor", AVX);
  check("XRSTOR of AVX: upper half", upper1(), 0x4444);
  // Nothing changes if it faults.
  fill(AVX | SSE, 0);
  area.mxcsr = 0x10000;
  area.xmm[1][0] = 0x5555;
  REJECTS("XRSTOR of all: reserved bit of MXCSR", "xrstor", all);
  check("XRSTOR that faults: XMM", xmm1(), 0x2222);
  ATTEMPT_USER("xrstor (%0)", : : "D"(&area), "a"(X87), "d"(0) : "memory");
  expect_none("ring 3: XRSTOR");
}

/** Compacted form: vol. 1, 13.4.3, 13.8.2, 13.10. */
static void compaction(void) {
  if (!(features & 2) || !(all & AVX)) {
    check_skip("XSAVEC");
    fill(0, COMPACTED);
    REJECTS("XRSTOR, compacted, without XSAVEC", "xrstor", all);
    return;
  }
  initialize();
  load_ymm1(0x2222);
  fill(0, 0);
  area.reserved2[0] = 0x5678;
  area.mxcsr = 0;
  DO("xsavec", SSE | AVX);
  expect_none("XSAVEC");
  check("XSAVEC: XCOMP_BV", area.xcomp_bv, COMPACTED | SSE | AVX);
  check("XSAVEC: XSTATE_BV", area.xstate_bv, SSE | AVX);
  check("XSAVEC: header beyond", area.reserved2[0], 0x5678);
  check("XSAVEC: MXCSR", area.mxcsr, 0x1f80);
  check("XSAVEC: YMM1", area.extended[2], 0x2222);
  fill(0, 0);
  area.mxcsr = 0;
  MUST("xsavec", AVX);
  // MXCSR is part of SSE here.
  check("XSAVEC of AVX: no MXCSR", area.mxcsr, 0);
  if (has_pkru) {
    // PKRU's place depends on what is in XCOMP_BV, saved or not.
    unsigned aligned = cpuid(13, 9).ecx & 2;
    initialize();
    write_pkru(0x54);
    fill(0, 0);
    MUST("xsavec", PKRU);
    check("XSAVEC of PKRU alone: at 576", (uint32_t)area.extended[0], 0x54);
    check("XSAVEC of PKRU alone: XSTATE_BV", area.xstate_bv, PKRU);
    fill(0, 0);
    MUST("xsavec", PKRU | AVX);
    check("XSAVEC of AVX and PKRU: at 832", (uint32_t)area.extended[32], 0x54);
    check("component 9 is not aligned", aligned, 0);
    fill(PKRU, COMPACTED | PKRU);
    area.extended[0] = 0x10;
    MUST("xrstor", PKRU);
    check("XRSTOR of PKRU from 576", read_pkru(), 0x10);
    fill(PKRU, COMPACTED | PKRU | AVX);
    area.extended[32] = 0x20;
    MUST("xrstor", PKRU);
    check("XRSTOR of PKRU from 832", read_pkru(), 0x20);
    fill(0, COMPACTED | PKRU | AVX);
    MUST("xrstor", PKRU);
    check("XRSTOR of PKRU, XSTATE_BV clear", read_pkru(), 0);
    // Standard form: CPUID says where.
    unsigned at = (cpuid(13, 9).ebx - 576) / 8;
    fill(PKRU, 0);
    area.extended[at] = 0x40;
    MUST("xrstor", PKRU);
    check("XRSTOR of PKRU, standard", read_pkru(), 0x40);
    fill(0, 0);
    MUST("xsave", PKRU);
    check("XSAVE of PKRU", (uint32_t)area.extended[at], 0x40);
    write_pkru(0);
  } else check_skip("PKRU");

  fill(0, COMPACTED | 1ul << 8);
  REJECTS("XRSTOR, compacted: XCOMP_BV beyond XCR0", "xrstor", all);
  fill(0, COMPACTED | 1ul << 62);
  REJECTS("XRSTOR, compacted: XCOMP_BV bit 62", "xrstor", all);
  fill(SSE, COMPACTED | AVX);
  REJECTS("XRSTOR, compacted: XSTATE_BV beyond XCOMP_BV", "xrstor", all);
  for (int i = 0; i < 6; i += 5) {
    fill(SSE, COMPACTED | SSE);
    area.reserved2[i] = 1;
    REJECTS(i ? "XRSTOR, compacted: header, byte 56" : "XRSTOR, compacted: header, byte 16", "xrstor", all);
  }
  load_mxcsr(0x1fa0);
  fill(0, COMPACTED | SSE);
  area.mxcsr = 0x10000;
  DO("xrstor", SSE);
  expect_none("XRSTOR, compacted, XSTATE_BV clear: MXCSR is not looked at");
  check("XRSTOR, compacted, XSTATE_BV clear: MXCSR is initialized", mxcsr(), 0x1f80);
  fill(SSE, COMPACTED | SSE);
  area.mxcsr = 0x10000;
  REJECTS("XRSTOR, compacted: reserved bit of MXCSR", "xrstor", SSE);
  fill(AVX, COMPACTED | AVX);
  area.mxcsr = 0x10000;
  area.extended[2] = 0x6666;
  DO("xrstor", AVX);
  expect_none("XRSTOR of AVX, compacted: MXCSR is not looked at");
  check("XRSTOR of AVX, compacted: upper half", upper1(), 0x6666);
  // A component that is asked for and not in XCOMP_BV is initialized.
  fill(SSE, COMPACTED | SSE);
  area.xmm[1][0] = 0x7777;
  MUST("xrstor", SSE | AVX);
  check("XRSTOR, compacted: component beyond XCOMP_BV", upper1(), 0);
  check("XRSTOR, compacted: XMM1", xmm1(), 0x7777);
  ATTEMPT("xsavec 8(%0)", : : "D"(&area), "a"(all), "d"(0) : "memory");
  expect_fault("XSAVEC, not aligned", VECTOR_GP, 0);
}

/** XINUSE: vol. 1, 13.6. A processor may say that more is in use than differs; qemu: all is. */
static void in_use(void) {
  uint64_t more = under_tcg() ? all : X87;
  initialize();
  fill(0, 0);
  MUST("xsave", all);
  check("XSAVE, initial: XSTATE_BV", area.xstate_bv & ~more, 0);
  load_xmm1(1);
  MUST("xsave", all);
  check("XSAVE, XMM1: XSTATE_BV", area.xstate_bv & (SSE | (AVX & ~more)), SSE);
  if (!(features & 4)) check_skip("XGETBV1");
  else {
    initialize();
    check("XGETBV1, initial", xgetbv(1) & ~more, 0);
    load_mxcsr(0x1fa0);
    check("XGETBV1, MXCSR counts as SSE", xgetbv(1) & SSE, SSE);
    load_mxcsr(0x1f80);
    load_ymm1(1);
    check("XGETBV1, YMM1", xgetbv(1) & (SSE | AVX), SSE | AVX);
    xsetbv(0, X87 | SSE);
    check("XGETBV1 shows what XCR0 has", xgetbv(1) & AVX, 0);
    xsetbv(0, all);
  }
  if (!(features & 1)) check_skip("XSAVEOPT");
  else {
    initialize();
    fill(0xffff, 0);
    DO("xsaveopt", all);
    expect_none("XSAVEOPT");
    check("XSAVEOPT, initial: XSTATE_BV", area.xstate_bv & ~more, 0xffff & ~all);
    load_ymm1(0x2222);
    fill(0, 0);
    MUST("xsaveopt", all);
    check("XSAVEOPT: YMM1", area.extended[2], 0x2222);
    check("XSAVEOPT: XMM1", area.xmm[1][0], 0x2222);
    check("XSAVEOPT: MXCSR", area.mxcsr, 0x1f80);
    ATTEMPT("xsaveopt 8(%0)", : : "D"(&area), "a"(all), "d"(0) : "memory");
    expect_fault("XSAVEOPT, not aligned", VECTOR_GP, 0);
  }
}

static void supervisor(void) {
  if (!(features & 8)) {
    check_skip("XSAVES");
    ATTEMPT("rdmsr", : : "c"(MSR_XSS) : "memory", "rax", "rdx");
    expect_fault("IA32_XSS without XSAVES", VECTOR_GP, 0);
    return;
  }
  ATTEMPT("wrmsr", : : "c"(MSR_XSS), "a"(AVX), "d"(0) : "memory");
  expect_fault("IA32_XSS: a user component", VECTOR_GP, 0);
  ATTEMPT("wrmsr", : : "c"(MSR_XSS), "a"(0), "d"(0x80000000) : "memory");
  expect_fault("IA32_XSS: bit 63", VECTOR_GP, 0);
  ATTEMPT_USER("xsaves (%0)", : : "D"(&area), "a"(all), "d"(0) : "memory");
  expect_fault("ring 3: XSAVES", VECTOR_GP, 0);
  ATTEMPT_USER("xrstors (%0)", : : "D"(&area), "a"(all), "d"(0) : "memory");
  expect_fault("ring 3: XRSTORS", VECTOR_GP, 0);
  initialize();
  load_ymm1(0x2222);
  fill(0, 0);
  DO("xsaves", SSE | AVX);
  expect_none("XSAVES");
  check("XSAVES: XCOMP_BV", area.xcomp_bv, COMPACTED | SSE | AVX);
  check("XSAVES: XSTATE_BV", area.xstate_bv, SSE | AVX);
  check("XSAVES: YMM1", area.extended[2], 0x2222);
  area.extended[2] = 0x3333;
  for (int i = 0; i < 6; i++) area.reserved2[i] = 0;
  DO("xrstors", SSE | AVX);
  expect_none("XRSTORS");
  check("XRSTORS: YMM1", upper1(), 0x3333);
  fill(SSE, 0);
  REJECTS("XRSTORS: standard form", "xrstors", SSE);
  fill(0, COMPACTED | 1ul << 8);
  REJECTS("XRSTORS: XCOMP_BV beyond XCR0 and IA32_XSS", "xrstors", SSE);
  fill(SSE, COMPACTED | SSE);
  area.reserved2[5] = 1;
  REJECTS("XRSTORS: header, byte 56", "xrstors", SSE);
  ATTEMPT("xsaves 8(%0)", : : "D"(&area), "a"(all), "d"(0) : "memory");
  expect_fault("XSAVES, not aligned", VECTOR_GP, 0);
}

/** Areas that do not lie in one page. */
static void pages(void) {
  static uint8_t first[4096] __attribute__((aligned(4096)));
  uint64_t linear = FREE_LINEAR_ADDRESS + 0x90000000;
  *page_entry(linear) = (uint64_t)first | PAGE_P | PAGE_W | PAGE_U;
  *page_entry(linear + 4096) = 0;
  invlpg(linear);
  invlpg(linear + 4096);
  initialize();
  load_xmm1(0x1111);
  uint64_t at = linear + 4096 - 512;
  ATTEMPT("xsave (%0)", : : "D"(at), "a"(SSE), "d"(0) : "memory");
  // A save reads XSTATE_BV and writes it: as a load or as a store. qemu: a load.
  check("XSAVE, header absent: #PF", fault.vector == VECTOR_PF && (fault.error & ~2ul) == 0, 1);
  check("its CR2", fault.cr2 & ~63ul, linear + 4096);
  ATTEMPT("xrstor (%0)", : : "D"(at), "a"(SSE), "d"(0) : "memory");
  expect_fault("XRSTOR, header absent", VECTOR_PF, 0);
  check("its CR2", fault.cr2 & ~63ul, linear + 4096);
  if (all & AVX) {
    // The extended region is absent.
    at = linear + 4096 - 576;
    memset(first, 0, 4096);
    ATTEMPT("xrstor (%0)", : : "D"(at), "a"(SSE), "d"(0) : "memory");
    expect_none("XRSTOR of SSE, extended region absent");
    load_ymm1(0x2222);
    *(uint64_t *)(first + 4096 - 64) = AVX;
    ATTEMPT("xrstor (%0)", : : "D"(at), "a"(AVX | SSE), "d"(0) : "memory");
    expect_fault("XRSTOR of AVX, extended region absent", VECTOR_PF, 0);
    check("its CR2", fault.cr2 & ~4095ul, linear + 4096);
  }
}

void guest_main(void) {
  machine_init();
  identity_for_users();
  if (!boot.xcr0) {
    check_skip("XSAVE");
    checks_end();
  }
  features = cpuid(13, 1).eax;
  all = (uint32_t)boot.xcr0;
  has_pkru = cpuid(7, 0).ecx >> 3 & cpuid(13, 0).eax >> 9 & 1;
  if (has_pkru) {
    all |= PKRU;
    write_cr4(read_cr4() | CR4_PKE);
    xsetbv(0, all);
  }
  control();
  xsave();
  xrstor();
  compaction();
  in_use();
  supervisor();
  pages();
  checks_end();
}
