/*
 * Runs single instructions on the host processor. Reads a page of memory and cases from standard input and writes results to standard output:
 * the structs below, little-endian, packed. Built and fed by host.ts: gcc -O1 -no-pie -o harness harness.c
 *
 * Each instruction runs with the whole user state of its case, at an address of its own in the code area, with one page of memory at SCRATCH
 * whose neighbours are not mapped. Behind the instruction and at LANDING bytes from the start of its slot are ways back, so that branches can
 * be run too. A fault is reported with the state that the kernel found. Cases of 32-bit code run in compatibility mode.
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

#define DATA 0x10000000ul
#define SCRATCH 0x10002000ul
#define PAGE 4096
#define CODE 0x20000000ul
#define CODE_SIZE 0x40000
#define LANDING 32

/* Offsets are known to the assembly below and to host-state.ts. */
struct __attribute__((packed)) state {
  uint64_t gpr[16];
  uint64_t rflags;
  uint64_t rip;
  /* FXSAVE64 image, then bits 255:128 of YMM0 to YMM15. */
  uint8_t fx[512];
  uint8_t upper[16][16];
};

struct __attribute__((packed)) test_case {
  uint8_t length;
  uint8_t code[15];
  /* Bytes that differ from the page: where, how many. */
  uint16_t patch_offset;
  uint16_t patch_length;
  /* 64, or 32: compatibility mode. */
  uint32_t mode;
  uint8_t patch[64];
  struct state in;
};

/* Followed by the bytes of the page from `first` on, `count` of them, if the instruction changed any. */
struct __attribute__((packed)) result {
  /* Exception vector or -1, its error code, CR2. */
  int32_t vector;
  uint32_t error;
  uint64_t address;
  uint32_t first;
  uint32_t count;
  struct state out;
};

/* IN at DATA, OUT at DATA + 0x400, then cells. */
struct data {
  struct state in __attribute__((aligned(1024)));
  struct state out __attribute__((aligned(1024)));
  uint64_t host_stack __attribute__((aligned(1024)));
  uint64_t has_avx;
  uint64_t exit_next;
  uint64_t exit_landing;
  uint64_t landed;
  uint32_t default_mxcsr;
  uint32_t padding;
  /* Of jumps to the instruction, and back from 32-bit code. */
  struct far_pointer {
    uint32_t offset;
    uint32_t selector;
  } start, far_next, far_landing;
};
/* Linux's segments for user code. */
#define CODE64 0x33
#define CODE32 0x23
#define FLAT_DATA 0x2b
#define THE_DATA ((struct data *)DATA)

void enter(void);
void exit_next(void);
void exit_landing(void);
void exit_fault(void);

#define EACH(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
#define LOAD_UPPER(n) "vinsertf128 $1, 0x10000000+656+16*" #n ", %ymm" #n ", %ymm" #n "\n"
#define SAVE_UPPER(n) "vextractf128 $1, %ymm" #n ", 0x10000400+656+16*" #n "\n"

__asm__(
    ".text\n"
    "enter:\n"
    "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "mov %rsp, 0x10000800\n"
    "fxrstor64 0x10000000+144\n"
    "cmpb $0, 0x10000808\n"
    "je 1f\n" EACH(LOAD_UPPER)
    "1:\n"
    "pushq 0x10000000+128\n"
    "popfq\n"
    "mov 0x10000000, %rax\n mov 0x10000008, %rcx\n mov 0x10000010, %rdx\n mov 0x10000018, %rbx\n"
    "mov 0x10000020, %rsp\n mov 0x10000028, %rbp\n mov 0x10000030, %rsi\n mov 0x10000038, %rdi\n"
    "mov 0x10000040, %r8\n mov 0x10000048, %r9\n mov 0x10000050, %r10\n mov 0x10000058, %r11\n"
    "mov 0x10000060, %r12\n mov 0x10000068, %r13\n mov 0x10000070, %r14\n mov 0x10000078, %r15\n"
    "ljmp *0x10000830\n"
    "exit_landing:\n"
    "movq $1, 0x10000820\n"
    "exit_next:\n"
    "mov %rax, 0x10000400\n mov %rcx, 0x10000408\n mov %rdx, 0x10000410\n mov %rbx, 0x10000418\n"
    "mov %rsp, 0x10000420\n mov %rbp, 0x10000428\n mov %rsi, 0x10000430\n mov %rdi, 0x10000438\n"
    "mov %r8, 0x10000440\n mov %r9, 0x10000448\n mov %r10, 0x10000450\n mov %r11, 0x10000458\n"
    "mov %r12, 0x10000460\n mov %r13, 0x10000468\n mov %r14, 0x10000470\n mov %r15, 0x10000478\n"
    "mov 0x10000800, %rsp\n"
    "pushfq\n"
    "popq 0x10000400+128\n"
    "cld\n"
    "fxsave64 0x10000400+144\n"
    "cmpb $0, 0x10000808\n"
    "je exit_fault\n" EACH(SAVE_UPPER)
    "vzeroupper\n"
    "exit_fault:\n"
    "fninit\n"
    "ldmxcsr 0x10000828\n"
    "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
    "ret\n");

static uint8_t signal_stack[65536];
static volatile int32_t fault_vector;
static uint32_t fault_error;
static uint64_t fault_address;

static const int register_order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                       REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* Takes the state at the fault and returns to the end of `enter`. */
static void on_signal(int number, siginfo_t *info, void *context) {
  (void)info;
  ucontext_t *user = context;
  greg_t *registers = user->uc_mcontext.gregs;
  struct state *out = &THE_DATA->out;
  if (fault_vector != -1) _exit(3); /* the harness itself faulted */
  fault_vector = number == SIGALRM ? -2 : (int32_t)registers[REG_TRAPNO];
  fault_error = registers[REG_ERR];
  fault_address = registers[REG_CR2];
  for (int i = 0; i < 16; i++) out->gpr[i] = registers[register_order[i]];
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
  registers[REG_RIP] = (greg_t)exit_fault;
  registers[REG_RSP] = THE_DATA->host_stack;
  registers[REG_EFL] = 0x202;
  registers[REG_CSGSFS] = (registers[REG_CSGSFS] & ~0xffffl) | CODE64;
}

static void *map(uint64_t address, size_t size, int protection) {
  void *got = mmap((void *)address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (got != (void *)address) _exit(2);
  return got;
}

int main(void) {
  map(DATA, PAGE, PROT_READ | PROT_WRITE);
  uint8_t *scratch = map(SCRATCH, PAGE, PROT_READ | PROT_WRITE);
  map(CODE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
  struct data *data = THE_DATA;
  uint32_t a, b, c = 0, d;
  __get_cpuid(1, &a, &b, &c, &d);
  data->has_avx = (c >> 27 & 1) != 0 && (c >> 28 & 1) != 0;
  data->exit_next = (uint64_t)exit_next;
  data->exit_landing = (uint64_t)exit_landing;
  data->default_mxcsr = 0x1f80;
  data->far_next = (struct far_pointer){(uint32_t)data->exit_next, CODE64};
  data->far_landing = (struct far_pointer){(uint32_t)data->exit_landing, CODE64};
  /* 64-bit programs start with null selectors. */
  __asm__ volatile("mov %0, %%ds\n mov %0, %%es" ::"r"(FLAT_DATA));

  stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO};
  int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP};
  for (int i = 0; i < 5; i++) sigaction(signals[i], &action, NULL);
  alarm(300);

  static uint8_t page[PAGE], expected[PAGE];
  static struct test_case test;
  static struct result result;
  if (fread(page, PAGE, 1, stdin) != 1) return 1;
  memcpy(scratch, page, PAGE);
  memcpy(expected, page, PAGE);
  while (fread(&test, sizeof test, 1, stdin) == 1) {
    /* jmp [absolute], or in 32-bit code jmp far ss:[absolute]: nothing changes. */
    static const uint8_t ways_back[2][2][7] = {
        {{0xff, 0x24, 0x25, 0x10, 0x08, 0, 0x10}, {0xff, 0x24, 0x25, 0x18, 0x08, 0, 0x10}},
        {{0x36, 0xff, 0x2d, 0x38, 0x08, 0, 0x10}, {0x36, 0xff, 0x2d, 0x40, 0x08, 0, 0x10}}};
    const uint8_t (*back)[7] = ways_back[test.mode == 32];
    data->start = (struct far_pointer){(uint32_t)test.in.rip, test.mode == 32 ? CODE32 : CODE64};
    uint8_t *slot = (uint8_t *)test.in.rip;
    memcpy(slot, test.code, test.length);
    memcpy(slot + test.length, back[0], sizeof back[0]);
    memcpy(slot + LANDING, back[1], sizeof back[1]);
    memcpy(scratch + test.patch_offset, test.patch, test.patch_length);
    memcpy(expected + test.patch_offset, test.patch, test.patch_length);
    memcpy(&data->in, &test.in, sizeof test.in);
    data->landed = 0;
    fault_vector = -1;
    enter();
    result.vector = fault_vector;
    result.error = fault_error;
    result.address = fault_address;
    memcpy(&result.out, &data->out, sizeof result.out);
    if (fault_vector == -1) result.out.rip = data->landed ? test.in.rip + LANDING : test.in.rip + test.length;
    result.first = 0;
    result.count = 0;
    if (memcmp(scratch, expected, PAGE) != 0) {
      uint32_t first = 0, end = PAGE;
      while (scratch[first] == expected[first]) first++;
      while (scratch[end - 1] == expected[end - 1]) end--;
      result.first = first;
      result.count = end - first;
    }
    fwrite(&result, sizeof result, 1, stdout);
    fwrite(scratch + result.first, result.count, 1, stdout);
    memcpy(scratch + result.first, page + result.first, result.count);
    memcpy(scratch + test.patch_offset, page + test.patch_offset, test.patch_length);
    memcpy(expected + test.patch_offset, page + test.patch_offset, test.patch_length);
  }
  return 0;
}
