/*
 * Loads and saves of x87, SSE and AVX state on the host processor. Standard input: struct test_case, little-endian, to the end; each loads its area by
 * one instruction, then saves to its target by another. Standard output: struct host, then a struct result for each case.
 * Built by oracle.ts: gcc -O1 -mgeneral-regs-only, so that nothing else touches the state in between.
 */
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AREA = 4096 };

struct test_case {
  uint32_t load, save, load_mask, save_mask;
  uint8_t area[AREA], target[AREA];
};

struct host {
  uint32_t is_amd, xcr0, mxcsr_mask, drops_selectors;
  /* Bit 55 of a 64-bit instruction pointer survives FXRSTOR64. */
  uint32_t has_57_bits;
  /* CPUID 0Dh: EAX of subleaf 1; EBX and ECX of subleaves 0 to 15. */
  uint32_t features, offsets[16], flags[16];
};

struct result {
  /* 1: the load raised an exception, and nothing was saved. */
  uint32_t fault;
  uint8_t target[AREA];
};

static uint8_t area[AREA] __attribute__((aligned(4096)));
static uint8_t target[AREA] __attribute__((aligned(4096)));
static uint8_t initial[AREA] __attribute__((aligned(4096)));
static sigjmp_buf retry;

static void fault(int signal) {
  (void)signal;
  siglongjmp(retry, 1);
}

#define LOAD(text) __asm__ volatile(text " %0" : : "m"(area), "a"(mask), "d"(0))
#define SAVE(text) __asm__ volatile(text " %0" : "+m"(target) : "a"(mask), "d"(0))

/* The order of `loads` and `saves` in oracle.ts. */
static void load(uint32_t which, uint32_t mask) {
  switch (which) {
    case 0: LOAD("fxrstor"); break;
    case 1: LOAD("fxrstor64"); break;
    case 2: LOAD("xrstor"); break;
    case 3: LOAD("xrstor64"); break;
    case 4: LOAD("frstor"); break;
    case 5: LOAD("data16 frstor"); break;
    case 6: LOAD("fldenv"); break;
    case 7: LOAD("data16 fldenv"); break;
  }
}

static void save(uint32_t which, uint32_t mask) {
  switch (which) {
    case 0: SAVE("fxsave"); break;
    case 1: SAVE("fxsave64"); break;
    case 2: SAVE("xsave"); break;
    case 3: SAVE("xsave64"); break;
    case 4: SAVE("xsaveopt64"); break;
    case 5: SAVE("xsavec64"); break;
    case 6: SAVE("fnsave"); break;
    case 7: SAVE("data16 fnsave"); break;
    case 8: SAVE("fnstenv"); break;
    case 9: SAVE("data16 fnstenv"); break;
    case 10: SAVE("fnstenv %0; fxsave64"); break;
    case 11: SAVE("fnsave %0; fxsave64"); break;
  }
}

static struct host host(void) {
  struct host h = {0};
  uint32_t a, b, c, d, high;
  __cpuid(0, a, b, c, d);
  h.is_amd = b == signature_AMD_ebx;
  __cpuid_count(7, 0, a, b, c, d);
  h.drops_selectors = (b >> 13) & 1;
  __asm__("xgetbv" : "=a"(h.xcr0), "=d"(high) : "c"(0));
  __cpuid_count(13, 1, h.features, b, c, d);
  for (int i = 0; i < 16; i++) __cpuid_count(13, i, a, h.offsets[i], h.flags[i], d);
  __asm__ volatile("fxsave64 %0" : "=m"(target));
  memcpy(&h.mxcsr_mask, target + 28, 4);
  /* Invalid operation, unmasked and pending: AMD saves pointers only then. */
  memcpy(area, target, 512);
  area[0] = 0x7e;
  area[2] = 1;
  area[14] = 0x80;
  __asm__ volatile("fxrstor64 %1; fxsave64 %0; fninit" : "=m"(target) : "m"(area));
  h.has_57_bits = target[14] == 0x80 && target[15] == 0;
  return h;
}

int main(void) {
  static struct test_case t;
  static struct result r;
  for (int i = 0; i < 3; i++) signal((int[]){SIGSEGV, SIGILL, SIGBUS}[i], fault);
  struct host h = host();
  fwrite(&h, sizeof h, 1, stdout);
  uint32_t mxcsr = 0x1f80;
  memcpy(initial + 24, &mxcsr, 4);
  while (fread(&t, sizeof t, 1, stdin) == 1) {
    memcpy(area, t.area, AREA);
    memcpy(target, t.target, AREA);
    r.fault = 0;
    if (sigsetjmp(retry, 1) == 0) {
      __asm__ volatile("fninit; xrstor64 %0" : : "m"(initial), "a"(h.xcr0), "d"(0));
      load(t.load, t.load_mask);
      save(t.save, t.save_mask);
    } else {
      r.fault = 1;
    }
    __asm__ volatile("fninit; xrstor64 %0" : : "m"(initial), "a"(h.xcr0), "d"(0));
    memcpy(r.target, target, AREA);
    fwrite(&r, sizeof r, 1, stdout);
  }
  return 0;
}
