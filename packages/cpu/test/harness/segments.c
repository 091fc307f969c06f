/*
 * What the host processor makes of segments and far transfers at level 3, in code of 64, 32 and 16 bits: every kind of data and code segment that Linux lets
 * a program put into its LDT, and the kernel's own descriptors. Its output is test/fixtures/segments-on-host.txt.gz, made on an AMD EPYC:
 *
 *   gcc -O0 -w -no-pie -fno-stack-protector -fcf-protection=none -mno-red-zone -o segments segments.c && ./segments | gzip -9n
 *
 * Lines, all numbers hexadecimal:
 *   ldt INDEX DESCRIPTOR
 *   query SELECTOR ZF RAX ZF RAX ZF ZF FAULT FAULT         LAR, LSL, VERR, VERW, MOV to ES, MOV to SS
 *   transfer KIND RIP CS RFLAGS RSP SS FAULT               the frame or far pointer, and what became of it
 *   transfer KIND RIP CS RFLAGS RSP SS RIP CS RSP SS RFLAGS
 *   legacy CS SS RSP CODE WIDTH ITEM ITEM ITEM FAULT       an instruction of 16- or 32-bit code, and what it found on its stack
 *   legacy CS SS RSP CODE WIDTH ITEM ITEM ITEM RIP CS RSP SS RFLAGS DS ES REGISTERS MEMORY
 * FAULT is vector(error code), or - for none. KIND is an index of the instructions in `transfer`. REGISTERS are EAX ECX EDX EBX EBP ESI EDI;
 * MEMORY is the FNV-1a hash of what `windows` covers.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* Base of the LDT's segments; UD2 from there on, a frame at 8000h. */
#define BASE 0x10000ul
#define FRAME 0x8000

static sigjmp_buf back;
static volatile greg_t context[NGREG];
static volatile unsigned short ds, es;

static void handle(int signal, siginfo_t *info, void *user) {
  /* A program's NT, AC and DF would trouble what follows. */
  asm volatile("push $0x202; popfq" ::: "cc", "memory");
  asm volatile("mov %%ds, %0; mov %%es, %1" : "=m"(ds), "=m"(es));
  memcpy((void *)context, ((ucontext_t *)user)->uc_mcontext.gregs, sizeof context);
  siglongjmp(back, 1);
}

static void load(int segment, unsigned selector) {
  unsigned short old;
  context[REG_TRAPNO] = -1;
  if (!sigsetjmp(back, 1)) {
    if (segment == 0) asm volatile("mov %0, %%es" ::"r"(selector));
    else asm volatile("mov %%ss, %0; mov %1, %%ss; mov %0, %%ss" : "=&r"(old) : "r"(selector));
  }
  asm volatile("mov %0, %%es" ::"r"(0x2b));
  if (context[REG_TRAPNO] < 0) printf(" -");
  else printf(" %llx(%llx)", context[REG_TRAPNO], context[REG_ERR]);
}

static void query(unsigned selector) {
  unsigned long rights = -1, limit = -1;
  unsigned char isRight, isLimit, isRead, isWrite;
  asm("lar %2, %k0; setz %1" : "+r"(rights), "=qm"(isRight) : "r"(selector) : "cc");
  asm("lsl %2, %k0; setz %1" : "+r"(limit), "=qm"(isLimit) : "r"(selector) : "cc");
  asm("verr %w1; setz %0" : "=qm"(isRead) : "r"(selector) : "cc");
  asm("verw %w1; setz %0" : "=qm"(isWrite) : "r"(selector) : "cc");
  printf("query %x %d %lx %d %lx %d %d", selector, isRight, rights, isLimit, limit, isRead, isWrite);
  load(0, selector);
  load(1, selector);
  printf("\n");
}

static void go(int kind, uint8_t *frame) {
  if (sigsetjmp(back, 1)) return;
  switch (kind) {
    case 0: asm volatile("mov %0, %%rsp; .byte 0x48, 0xcb" ::"r"(frame)); /* RETFQ */
    case 1: asm volatile("mov %0, %%rsp; .byte 0xcb" ::"r"(frame)); /* RETF */
    case 2: asm volatile("mov %0, %%rsp; .byte 0x48, 0xcf" ::"r"(frame)); /* IRETQ */
    case 3: asm volatile("mov %0, %%rsp; .byte 0xcf" ::"r"(frame)); /* IRETD */
    case 4: asm volatile("mov %0, %%rsp; .byte 0x66, 0xcf" ::"r"(frame)); /* IRET */
    case 5: asm volatile("mov %0, %%rsp; .byte 0xff, 0x2b" ::"r"(frame), "b"(frame)); /* JMP far [RBX] */
    case 6: asm volatile("mov %0, %%rsp; .byte 0xff, 0x1b" ::"r"(frame), "b"(frame)); /* CALL far [RBX] */
  }
}

static const int widths[] = {8, 4, 8, 4, 2, 4, 4};

static void transfer(int kind, uint64_t rip, unsigned cs, uint64_t flags, uint64_t rsp, unsigned ss) {
  uint8_t *frame = (uint8_t *)BASE + FRAME;
  uint64_t items[] = {rip, cs, flags, rsp, ss};
  memset(frame - 64, 0, 128);
  for (int i = 0; i < 5; i++) memcpy(frame + i * widths[kind], &items[i], widths[kind]);
  go(kind, frame);
  printf("transfer %d %lx %x %lx %lx %x", kind, rip, cs, flags, rsp, ss);
  int vector = context[REG_TRAPNO];
  /* #UD and what else the target raises mean that it was reached: #DB by TF, #PF by a fetch, #AC. */
  if (vector == 6 || vector == 1 || vector == 14)
    printf(" %llx %llx %llx %llx %llx\n", context[REG_RIP], context[REG_CSGSFS] & 0xffff, context[REG_RSP],
           (context[REG_CSGSFS] >> 48) & 0xffff, context[REG_EFL]);
  else printf(" %x(%llx)\n", vector, context[REG_ERR]);
}

static const struct { int from, to; } windows[] = {{0, 0x20}, {0x8fa0, 0x9040}, {0xffe0, 0x10000}};

static void fill(uint8_t *low) {
  for (int i = 0; i < 0x4000; i += 2) low[i] = 0x0f, low[i + 1] = 0x0b;
  for (int i = 0x8f00; i < 0x10000; i++) low[i] = i * 7;
}

/* Runs one instruction of compatibility mode, and UD2 behind it. Its stack starts with three items. */
static void legacy(unsigned cs, unsigned ss, unsigned rsp, const char *code, int length, int width, const unsigned *items) {
  uint8_t *low = (uint8_t *)BASE;
  uint64_t *frame = (uint64_t *)(BASE + 0x7000);
  /* EBP lies near ESP; its upper half is garbage where the stack has 16 bits. */
  unsigned rbp = ss == 0x2b ? BASE + 0x9010 : ss == 0x07 || ss == 0x1cf ? 0x55559010 : 0x9010;
  fill(low);
  memset(low + 0x5000, 0x0b, 32);
  memcpy(low + 0x5000, code, length);
  memcpy(low + 0x5000 + length, "\x0f\x0b", 2);
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < width; j++) low[(rsp - (ss == 0x2b ? BASE : 0) + i * width + j) & 0xffff] = items[i] >> 8 * j;
  frame[0] = cs == 0x23 ? BASE + 0x5000 : 0x5000;
  frame[1] = cs, frame[2] = 0x202, frame[3] = rsp, frame[4] = ss, frame[5] = rbp;
  if (!sigsetjmp(back, 1))
    asm volatile(
        "mov %0, %%rsp; mov $0x2b, %%eax; mov %%eax, %%ds; mov %%eax, %%es; mov $0x11111111, %%eax; mov $0x22222222, %%ecx;"
        "mov $0x33333333, %%edx; mov $0x19000, %%ebx; mov 40(%%rsp), %%ebp; mov $0x66666666, %%esi; mov $0x77777777, %%edi; iretq"
        ::"r"(frame));
  unsigned short dsNow = ds, esNow = es;
  asm volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0));
  printf("legacy %x %x %x ", cs, ss, rsp);
  for (int i = 0; i < length; i++) printf("%02x", (uint8_t)code[i]);
  printf(" %d %x %x %x", width, items[0], items[1], items[2]);
  int vector = context[REG_TRAPNO];
  if (vector != 6 && (vector != 14 || context[REG_ERR] != 0x14)) {
    printf(" %x(%llx)\n", vector, context[REG_ERR]);
    return;
  }
  /* The upper half of RSP is the kernel's, if it came in between and returned to a 16-bit stack. */
  printf(" %llx %llx %llx %llx %llx %x %x", context[REG_RIP], context[REG_CSGSFS] & 0xffff, context[REG_RSP] & 0xffffffff,
         (context[REG_CSGSFS] >> 48) & 0xffff, context[REG_EFL], dsNow, esNow);
  static const int registers[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RBP, REG_RSI, REG_RDI};
  for (int i = 0; i < 7; i++) printf(" %llx", context[registers[i]]);
  uint32_t hash = 0x811c9dc5;
  for (int w = 0; w < 3; w++)
    for (int i = windows[w].from; i < windows[w].to; i++) hash = (hash ^ low[i]) * 0x01000193;
  printf(" %x\n", hash);
}

/* Every instruction with every stack, in 32-bit code (flat, and of the LDT) and in 16-bit code. */
static void legacyCases(unsigned code32, unsigned code16, const unsigned *stacks, int stackCount) {
  static const struct { const char *bytes; int length; } plain[] = {
      {"\x60", 1}, {"\x61", 1}, {"\xc8\x10\0\0", 4}, {"\xc8\x10\0\2", 4}, {"\xc8\x20\0\3", 4}, {"\x06", 1}, {"\x0e", 1},
      {"\x16", 1}, {"\x1e", 1}, {"\x0f\xa0", 2}};
  static const struct { const char *bytes; int length; } taking[] = {
      {"\x07", 1}, {"\x17", 1}, {"\x1f", 1}, {"\xcb", 1}, {"\xca\6\0", 3}, {"\xcf", 1}, {"\x67\xc4\x03", 3}, {"\x67\xc5\x03", 3},
      {"\x67\x0f\xb2\x03", 4}, {"\x9a", 1}, {"\xea", 1}};
  const unsigned codes[] = {0x23, code32, code16};
  const unsigned selectors[] = {0, 3, 0x10, 0x23, 0x2b, 0x33, code32, code16, stacks[1], stacks[2], 0x10c7};
  char code[16];
  for (int c = 0; c < 3; c++)
    for (int s = 0; s < stackCount; s++)
      for (int is66 = 0; is66 < 2; is66++) {
        int width = (codes[c] == code16) == is66 ? 4 : 2;
        static const unsigned pointers[] = {0x9000, 0, 3, 6, 0xffff};
        for (int p = 0; p < 5; p++) {
          /* The flat stack has only its middle; the upper half of ESP matters to no 16-bit stack. */
          if (stacks[s] == 0x2b && p > 0) continue;
          unsigned rsp = stacks[s] == 0x2b ? BASE + pointers[p] : pointers[p] | (s == 2 ? 0x12340000 : 0);
          for (int k = 0; k < 21; k++) {
            const char *bytes = k < 10 ? plain[k].bytes : taking[k - 10].bytes;
            int length = k < 10 ? plain[k].length : taking[k - 10].length;
            /* EBX is the base in 16-bit code only with a prefix. */
            if (bytes[0] == 0x67 && codes[c] != code16) bytes++, length--;
            code[0] = 0x66;
            memcpy(code + is66, bytes, length);
            length += is66;
            for (int i = 0; i < (k < 10 || p > 0 ? 1 : 11); i++) {
              unsigned selector = p > 0 ? 0x23 : selectors[i];
              unsigned target = selector == 0x23 || selector == 0x33 ? BASE + 0x20 : 0x20;
              unsigned items[] = {target, selector, 0x246};
              if (k >= 10 && k <= 12) items[0] = selector;
              int whole = length;
              if (k >= 19) {
                memcpy(code + length, &target, width);
                memcpy(code + length + width, &selector, 2);
                whole += width + 2;
              }
              legacy(codes[c], stacks[s], rsp, code, whole, width, items);
            }
          }
        }
      }
}

int main(void) {
  static const int signals[] = {SIGILL, SIGSEGV, SIGBUS, SIGTRAP, SIGFPE};
  static const unsigned known[] = {0,    1,    2,    3,    0x10, 0x13, 0x18, 0x1b, 0x20,   0x23,
                                   0x28, 0x2b, 0x30, 0x33, 0x40, 0x43, 0x80, 0x83, 0xfff8, 0xffff};
  stack_t alternate = {.ss_sp = mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANON, -1, 0), .ss_size = 65536};
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  sigaltstack(&alternate, 0);
  for (int i = 0; i < 5; i++) sigaction(signals[i], &action, 0);
  uint8_t *low = mmap((void *)BASE, 0x10000, 7, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0);
  for (int i = 0; i < 0x4000; i += 2) low[i] = 0x0f, low[i + 1] = 0x0b;

  int count = 0;
  for (int kind = 0; kind < 67; kind++) {
    struct user_desc d = {.entry_number = count, .useable = 1, .contents = kind >> 4, .read_exec_only = kind >> 3,
                          .seg_not_present = kind >> 2, .seg_32bit = kind >> 1, .limit_in_pages = kind};
    d.limit = d.limit_in_pages ? 0xfffff : 0xffff;
    /* Code that ends before its target. */
    if (kind == 64) d.contents = 2, d.seg_32bit = 1, d.limit = 0x123;
    /* Stacks that expand down. */
    if (kind > 64) d.contents = 1, d.seg_32bit = kind == 66, d.limit = kind == 65 ? 0x7fff : 0x8fef, d.limit_in_pages = 0;
    d.base_addr = BASE;
    if (syscall(SYS_modify_ldt, 0x11, &d, sizeof d) == 0) count++;
  }
  uint64_t ldt[64] = {0};
  syscall(SYS_modify_ldt, 0, ldt, sizeof ldt);
  for (int i = 0; i < count; i++) printf("ldt %x %016lx\n", i, ldt[i]);

  for (unsigned i = 0; i < 4 * count; i++) query((i >> 2) * 8 + 4 + (i & 3));
  for (int kind = 0; kind < 7; kind++) {
    for (uint64_t rip = 0x20; rip <= 0x200; rip += 0x1e0) {
      for (unsigned i = 0; i < 4 * count; i++)
        transfer(kind, rip, (i >> 2) * 8 + 4 + (i & 3), 0x246, BASE + 0x9000, 0x2b);
      for (int i = 0; i < 20; i++) transfer(kind, BASE + rip, known[i], 0x246, BASE + 0x9000, 0x2b);
    }
    if (kind == 0) {
      transfer(0, 1ul << 47, 0x33, 0, 0, 0);
      transfer(0, (1ul << 32) + BASE, 0x23, 0, 0, 0);
    }
    if (kind < 2 || kind > 4) continue;
    for (unsigned i = 0; i < 4 * count; i++) {
      transfer(kind, BASE + 0x20, 0x33, 0x246, 0x123456789000, (i >> 2) * 8 + 4 + (i & 3));
      transfer(kind, BASE + 0x20, 0x23, 0x246, 0x123456789000, (i >> 2) * 8 + 4 + (i & 3));
    }
    for (int i = 0; i < 20; i++) {
      transfer(kind, BASE + 0x20, 0x33, 0x246, BASE + 0x9000, known[i]);
      transfer(kind, BASE + 0x20, 0x23, 0x246, 0x12345678, known[i]);
    }
    for (int bit = 0; bit < 64; bit++) transfer(kind, BASE + 0x20, 0x33, (1ul << bit) ^ 0x202, BASE + 0x9000, 0x2b);
    if (kind != 2) continue;
    transfer(2, 1ul << 47, 0x33, 0x202, BASE, 0x2b);
    transfer(2, (1ul << 32) + BASE, 0x23, 0x202, BASE, 0x2b);
    transfer(2, BASE + 0x20, 0x33, 0x202, 0x8000000000001234, 0x2b);
  }
  const unsigned stacks[] = {0x2b, 0x1f, 0x07, 0x1cf, 0x1d7};
  legacyCases(0x11f, 0x107, stacks, 5);
}
