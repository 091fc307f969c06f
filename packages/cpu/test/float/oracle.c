/*
 * Floating point on the host processor. `oracle NAME` runs one instruction for each case on standard input (struct test_case, little-endian)
 * and writes struct result. Operands a, b, c stand in the low lanes of XMM0 to XMM2, or a in RAX. Built by oracle.ts: gcc -O1.
 *
 * Exceptions may be unmasked: then the flags are those at the time of the signal, and there is no result.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

struct test_case {
  uint64_t a, b, c;
  uint32_t mxcsr, unused;
};

struct result {
  uint64_t value;
  uint32_t flags, fault;
};

static sigjmp_buf after_fault;
static volatile uint32_t fault_mxcsr;
static const uint32_t default_mxcsr = 0x1f80;

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  fault_mxcsr = ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr;
  siglongjmp(after_fault, 1);
}

typedef uint64_t operation(const struct test_case *, uint32_t *);

#define LOAD "movq %[a], %%xmm0\n\tmovq %[b], %%xmm1\n\tmovq %[c], %%xmm2\n\tmov %[a], %%rax\n\tldmxcsr %[mxcsr]\n\t"
#define DEFINE(name, text, answer)                                                                       \
  static uint64_t name(const struct test_case *t, uint32_t *after) {                                     \
    uint64_t value;                                                                                      \
    __asm__ volatile(LOAD text "\n\t" answer "\n\tstmxcsr %[after]\n\tldmxcsr %[normal]"                 \
                     : "=r"(value), [after] "=m"(*after)                                                 \
                     : [a] "m"(t->a), [b] "m"(t->b), [c] "m"(t->c), [mxcsr] "m"(t->mxcsr), [normal] "m"(default_mxcsr)  \
                     : "xmm0", "xmm1", "xmm2", "rax", "cc", "memory");                                   \
    return value;                                                                                        \
  }

#define OPERATIONS                                                                                       \
  BOTH(add) BOTH(sub) BOTH(mul) BOTH(div) BOTH(min) BOTH(max)                                            \
  OP(sqrtss, "sqrtss %%xmm0, %%xmm0", F32) OP(sqrtsd, "sqrtsd %%xmm0, %%xmm0", F64)                      \
  FMA(madd) FMA(msub) FMA(nmadd) FMA(nmsub)                                                              \
  OP(comiss, "comiss %%xmm1, %%xmm0", STATUS) OP(comisd, "comisd %%xmm1, %%xmm0", STATUS)                \
  OP(ucomiss, "ucomiss %%xmm1, %%xmm0", STATUS) OP(ucomisd, "ucomisd %%xmm1, %%xmm0", STATUS)            \
  OP(cvtss2sd, "cvtss2sd %%xmm0, %%xmm0", F64) OP(cvtsd2ss, "cvtsd2ss %%xmm0, %%xmm0", F32)              \
  OP(cvtsi2ss, "cvtsi2ss %%eax, %%xmm0", F32) OP(cvtsi2ssq, "cvtsi2ss %%rax, %%xmm0", F32)               \
  OP(cvtsi2sd, "cvtsi2sd %%eax, %%xmm0", F64) OP(cvtsi2sdq, "cvtsi2sd %%rax, %%xmm0", F64)               \
  OP(cvtss2si, "cvtss2si %%xmm0, %%eax", RAX) OP(cvtss2siq, "cvtss2si %%xmm0, %%rax", RAX)               \
  OP(cvtsd2si, "cvtsd2si %%xmm0, %%eax", RAX) OP(cvtsd2siq, "cvtsd2si %%xmm0, %%rax", RAX)               \
  OP(cvttss2si, "cvttss2si %%xmm0, %%eax", RAX) OP(cvttss2siq, "cvttss2si %%xmm0, %%rax", RAX)           \
  OP(cvttsd2si, "cvttsd2si %%xmm0, %%eax", RAX) OP(cvttsd2siq, "cvttsd2si %%xmm0, %%rax", RAX)           \
  ROUND(0) ROUND(1) ROUND(2) ROUND(3) ROUND(4) ROUND(8) ROUND(9) ROUND(10) ROUND(11) ROUND(12)           \
  OP(vcvtph2ps, "vcvtph2ps %%xmm0, %%xmm0", F32)                                                         \
  HALF(0) HALF(1) HALF(2) HALF(3) HALF(4)                                                                \
  OP(rcpss, "rcpss %%xmm0, %%xmm0", F32) OP(rsqrtss, "rsqrtss %%xmm0, %%xmm0", F32)

#define F32 "movd %%xmm0, %k0"
#define F64 "movq %%xmm0, %0"
#define RAX "mov %%rax, %0"
/* ZF, PF and CF. */
#define STATUS "pushfq\n\tpop %0\n\tand $0x45, %k0"
#define BOTH(name) OP(name##ss, #name "ss %%xmm1, %%xmm0", F32) OP(name##sd, #name "sd %%xmm1, %%xmm0", F64)
/* a * b + c: the digits of the mnemonic name operands; the first of them is a, the second b, the third c. */
#define FMA(name)                                                                                        \
  OP(vf##name##ss, "vf" #name "213ss %%xmm2, %%xmm0, %%xmm1\n\tmovaps %%xmm1, %%xmm0", F32)                                       \
  OP(vf##name##sd, "vf" #name "213sd %%xmm2, %%xmm0, %%xmm1\n\tmovaps %%xmm1, %%xmm0", F64)                                       \
  OP(vf##name##132ss, "vf" #name "132ss %%xmm1, %%xmm2, %%xmm0", F32)                                    \
  OP(vf##name##231ss, "vf" #name "231ss %%xmm1, %%xmm0, %%xmm2\n\tmovaps %%xmm2, %%xmm0", F32)
#define ROUND(mode)                                                                                      \
  OP(roundss##mode, "roundss $" #mode ", %%xmm0, %%xmm0", F32)                                           \
  OP(roundsd##mode, "roundsd $" #mode ", %%xmm0, %%xmm0", F64)
#define HALF(mode) OP(vcvtps2ph##mode, "vcvtps2ph $" #mode ", %%xmm0, %%xmm0", F64)

#define OP(name, text, answer) DEFINE(name, text, answer)
OPERATIONS
#undef OP
#define OP(name, text, answer) {#name, name},
static const struct {
  const char *name;
  operation *run;
} operations[] = {OPERATIONS};

int main(int count, char **arguments) {
  operation *run = NULL;
  for (size_t i = 0; i < sizeof operations / sizeof *operations && count == 2; i++)
    if (strcmp(operations[i].name, arguments[1]) == 0) run = operations[i].run;
  if (run == NULL) return 2;
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGFPE, &action, NULL);
  static struct test_case test;
  static struct result result;
  while (fread(&test, sizeof test, 1, stdin) == 1) {
    uint32_t after = 0;
    result = (struct result){0};
    if (sigsetjmp(after_fault, 0) == 0) {
      result.value = run(&test, &after);
    } else {
      after = fault_mxcsr;
      result.fault = 1;
    }
    result.flags = after & 0x3f;
    fwrite(&result, sizeof result, 1, stdout);
  }
  return 0;
}
