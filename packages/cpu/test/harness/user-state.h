/*
 * What the native harnesses share: the user state of a case, ways to load and to save all of it, and the state that a signal found. For harness.c here and
 * host.c of the lockstep fuzzer. One page at CELLS, which the program maps, begins with struct cells.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define CELLS 0x10000000ul

/* Offsets are known to the assembly below and to host-state.ts. */
struct __attribute__((packed)) state {
  uint64_t gpr[16];
  uint64_t rflags;
  uint64_t rip;
  /* FXSAVE64 image, then bits 255:128 of YMM0 to YMM15. */
  uint8_t fx[512];
  uint8_t upper[16][16];
};

/* IN at CELLS, OUT at CELLS + 0x400, cells from CELLS + 0x800 on; a program's own are at CELLS + 0x820. */
struct cells {
  struct state in __attribute__((aligned(1024)));
  struct state out __attribute__((aligned(1024)));
  uint64_t host_stack __attribute__((aligned(1024)));
  uint64_t has_avx;
  uint32_t default_mxcsr;
};
#define THE_CELLS ((struct cells *)CELLS)
#define OWN_CELLS (CELLS + 0x820)

/* Starts the program's part of the assembly with the state at IN; which registers are lost, only a jump through memory knows. */
void enter(void);
/* Ends: saves the state to OUT; or, as after a signal, not. */
void leave(void);
void leave_fault(void);

#define EACH(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
#define LOAD_UPPER(n) "vinsertf128 $1, 0x10000000+656+16*" #n ", %ymm" #n ", %ymm" #n "\n"
#define SAVE_UPPER(n) "vextractf128 $1, %ymm" #n ", 0x10000400+656+16*" #n "\n"

/* The functions above. JUMP goes to the code under test; FIRST stands before `leave`, and runs into it. */
#define HARNESS(JUMP, FIRST)                                                                              \
  __asm__(                                                                                                \
      ".text\n"                                                                                           \
      "enter:\n"                                                                                          \
      "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"                           \
      "mov %rsp, 0x10000800\n"                                                                            \
      "fxrstor64 0x10000000+144\n"                                                                        \
      "cmpb $0, 0x10000808\n"                                                                             \
      "je 1f\n" EACH(LOAD_UPPER)                                                                          \
      "1:\n"                                                                                              \
      "pushq 0x10000000+128\n"                                                                            \
      "popfq\n"                                                                                           \
      "mov 0x10000000, %rax\n mov 0x10000008, %rcx\n mov 0x10000010, %rdx\n mov 0x10000018, %rbx\n"       \
      "mov 0x10000020, %rsp\n mov 0x10000028, %rbp\n mov 0x10000030, %rsi\n mov 0x10000038, %rdi\n"       \
      "mov 0x10000040, %r8\n mov 0x10000048, %r9\n mov 0x10000050, %r10\n mov 0x10000058, %r11\n"         \
      "mov 0x10000060, %r12\n mov 0x10000068, %r13\n mov 0x10000070, %r14\n mov 0x10000078, %r15\n"       \
      JUMP "\n" FIRST                                                                                     \
      "leave:\n"                                                                                          \
      "mov %rax, 0x10000400\n mov %rcx, 0x10000408\n mov %rdx, 0x10000410\n mov %rbx, 0x10000418\n"       \
      "mov %rsp, 0x10000420\n mov %rbp, 0x10000428\n mov %rsi, 0x10000430\n mov %rdi, 0x10000438\n"       \
      "mov %r8, 0x10000440\n mov %r9, 0x10000448\n mov %r10, 0x10000450\n mov %r11, 0x10000458\n"         \
      "mov %r12, 0x10000460\n mov %r13, 0x10000468\n mov %r14, 0x10000470\n mov %r15, 0x10000478\n"       \
      "mov 0x10000800, %rsp\n"                                                                            \
      "pushfq\n"                                                                                          \
      "popq 0x10000400+128\n"                                                                             \
      "cld\n"                                                                                             \
      "fxsave64 0x10000400+144\n"                                                                         \
      "cmpb $0, 0x10000808\n"                                                                             \
      "je leave_fault\n" EACH(SAVE_UPPER)                                                                 \
      "vzeroupper\n"                                                                                      \
      "leave_fault:\n"                                                                                    \
      "fninit\n"                                                                                          \
      "ldmxcsr 0x10000810\n"                                                                              \
      "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"                                 \
      "ret\n")

/* Exception vector of the run, or -1, its error code, CR2. */
static volatile int32_t fault_vector;
static uint32_t fault_error;
static uint64_t fault_address;

#define CODE64 0x33

/* Takes the state at the fault and returns to the end of `enter`. */
static void on_signal(int number, siginfo_t *info, void *context) {
  static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  (void)number;
  (void)info;
  ucontext_t *user = context;
  greg_t *registers = user->uc_mcontext.gregs;
  struct state *out = &THE_CELLS->out;
  if (fault_vector != -1) _exit(3); /* the harness itself faulted */
  fault_vector = (int32_t)registers[REG_TRAPNO];
  fault_error = registers[REG_ERR];
  fault_address = registers[REG_CR2];
  for (int i = 0; i < 16; i++) out->gpr[i] = registers[order[i]];
  out->rflags = registers[REG_EFL];
  out->rip = registers[REG_RIP];
  const uint8_t *image = (const uint8_t *)user->uc_mcontext.fpregs;
  memcpy(out->fx, image, 512);
  uint32_t magic;
  uint64_t components;
  memcpy(&magic, image + 464, 4);
  memcpy(&components, image + 512, 8);
  if (magic == 0x46505853 && (components & 4) != 0) memcpy(out->upper, image + 576, 256);
  else memset(out->upper, 0, 256);
  registers[REG_RIP] = (greg_t)leave_fault;
  registers[REG_RSP] = THE_CELLS->host_stack;
  registers[REG_EFL] = 0x202;
  registers[REG_CSGSFS] = (registers[REG_CSGSFS] & ~0xffffl) | CODE64;
}

static void *map(uint64_t address, size_t size, int protection) {
  void *got = mmap((void *)address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (got != (void *)address) _exit(2);
  return got;
}

/* Maps the cells and catches faults. @param seconds after which the program ends, whatever it does */
static void prepare(unsigned seconds) {
  static uint8_t signal_stack[65536];
  map(CELLS, 4096, PROT_READ | PROT_WRITE);
  uint32_t a, b, c = 0, d;
  __get_cpuid(1, &a, &b, &c, &d);
  THE_CELLS->has_avx = (c >> 27 & 1) != 0 && (c >> 28 & 1) != 0;
  THE_CELLS->default_mxcsr = 0x1f80;
  stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO};
  int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP};
  for (int i = 0; i < 5; i++) sigaction(signals[i], &action, NULL);
  alarm(seconds);
}
