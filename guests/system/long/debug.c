// Debug registers and the single-step trap (SDM vol. 3, ch. 18).
#include "machine.h"
#include "paging.h"

#define DR6_ONES 0xffff0ff0ul
#define DR6_BD 0x2000ul
#define DR6_BS 0x4000ul
#define DR7_ONES 0x400ul
#define DR7_GD 0x2000ul
#define EXECUTE 0ul
#define WRITE 1ul
#define IO 2ul
#define ACCESS 3ul

/** L bit, type, and length of breakpoint n. */
static uint64_t enable(unsigned n, uint64_t type, unsigned bytes) {
  uint64_t length = bytes == 8 ? 2 : bytes - 1;
  return 1ul << (2 * n) | type << (16 + 4 * n) | length << (18 + 4 * n);
}

#define READ_DR(n)                                                           \
  ({                                                                         \
    uint64_t v;                                                              \
    __asm__ volatile("movq %%dr" #n ", %0" : "=r"(v) : : "memory");          \
    v;                                                                       \
  })
#define WRITE_DR(n, v) __asm__ volatile("movq %0, %%dr" #n : : "r"((uint64_t)(v)) : "memory")

/** What came to the handler: distances from the start, one byte each, the last one lowest. */
static volatile uint64_t places, count, last_dr6, last_rflags, skipped;
static volatile unsigned clears_resume;
extern uint64_t step_end;
uint64_t step_end;

static int on_debug(struct exception_frame *frame) {
  if (frame->vector == 0x90) return 1;
  if (frame->vector == VECTOR_UD && skipped) {
    frame->rip += 2;
    return 1;
  }
  if (frame->vector != VECTOR_DB) return 0;
  places = places << 8 | ((frame->rip - attempt_start) & 0xff);
  count++;
  last_dr6 = READ_DR(6);
  last_rflags = frame->rflags;
  WRITE_DR(6, DR6_ONES);
  // Or the same breakpoint would come for ever.
  if (clears_resume) clears_resume--;
  else frame->rflags |= FLAG_RF;
  if (frame->rip == step_end || count > 20) frame->rflags &= ~FLAG_TF;
  return 1;
}

static void forget(void) {
  places = count = last_dr6 = last_rflags = 0;
  WRITE_DR(6, DR6_ONES);
}

#define TF_ON "pushfq\n orl $0x100, (%%rsp)\n popfq\n"
#define MARK_END "movq $775f, step_end\n"
/** Steps through a text; the places where traps came. */
#define STEP(text, ...)                                                          \
  do {                                                                           \
    forget();                                                                    \
    ATTEMPT_AT(MARK_END TF_ON "770: " text "\n 775:\n", __VA_ARGS__);            \
  } while (0)
#define SHOW(name, want)                     \
  do {                                       \
    attempt_recovery = 0;                    \
    check(name, places, want);               \
  } while (0)

extern const char exception_stubs[];
static uint8_t buffer[256] __attribute__((aligned(64)));

static void steps(void) {
  STEP("nop\n nop\n nop", : : : "memory", "cc");
  SHOW("TF: trap after each instruction", 0x010203);
  check("TF: DR6 has BS", last_dr6, DR6_ONES | DR6_BS);
  check("TF: saved RF is 0", last_rflags & FLAG_RF, 0);
  STEP("jmp 1f\n ud2\n 1: nop", : : : "memory", "cc");
  SHOW("TF: JMP", 0x0405);
  STEP("call 1f\n jmp 2f\n 1: ret\n 2: nop", : : : "memory", "cc");
  SHOW("TF: CALL and RET", 0x07050809);
  // 6.8.3: what writes SS holds traps back for one instruction.
  STEP("movl %%ss, %%eax\n movl %%eax, %%ss\n nop\n nop", : : : "memory", "cc", "eax");
  SHOW("TF: MOV SS", 0x020506);
  STEP("movl %%ss, %%eax\n movl %%eax, %%ss\n movl %%eax, %%ss\n nop\n nop", : : : "memory", "cc", "eax");
  // Two in a row: only the first one's shadow counts (vol. 2, MOV).
  check("TF: MOV SS twice: the nops are seen", places & 0xffff, 0x0708);
  // qemu: has one.
  STEP("sti\n nop\n cli", : : : "memory", "cc");
  SHOW("TF: STI has no shadow for traps", 0x010203);
  STEP("pushfq\n popq %%rax", : : : "memory", "cc", "rax");
  SHOW("TF: PUSHF", 0x0102);
  uint64_t flags;
  forget();
  ATTEMPT_AT(MARK_END TF_ON "770: pushfq\n popq %0\n 775:\n", : "=r"(flags) : : "memory", "cc");
  check("TF: PUSHF stores TF", flags & FLAG_TF, FLAG_TF);
  STEP("pushfq\n andl $~0x100, (%%rsp)\n popfq\n nop\n nop", : : : "memory", "cc");
  // TF was set when POPF began, so it traps; what it loads counts from the next instruction on.
  SHOW("TF: POPF that clears TF", 0x010809);
  check("TF: POPF that clears TF: saved flags", last_rflags & FLAG_TF, 0);
  // INT n clears TF, and IRET gives it back for the next instruction.
  STEP("int $0x90\n nop\n nop", : : : "memory", "cc");
  SHOW("TF: INT n", 0x0304);
  skipped = 1;
  STEP("ud2\n nop\n nop", : : : "memory", "cc");
  skipped = 0;
  SHOW("TF: a fault", 0x0304);
  STEP("movq %%rsp, %%rcx\n pushq $0x10\n pushq %%rcx\n pushq $0x102\n pushq $8\n pushq $1f\n iretq\n nop\n 1: nop\n nop", : : : "memory", "cc", "rcx");
  // As POPF: TF was set when IRET began.
  SHOW("TF: IRET", 0x05060b0d12151617);
  STEP("rep movsb\n nop", : : "S"(buffer), "D"(buffer + 64), "c"(3) : "memory", "cc");
  SHOW("TF: REP, a trap for each iteration", 0x00000203);
  STEP("rep movsb\n nop", : : "S"(buffer), "D"(buffer + 64), "c"(0) : "memory", "cc");
  SHOW("TF: REP of nothing", 0x0203);
  STEP("repe cmpsb\n nop", : : "S"(buffer), "D"(buffer + 64), "c"(2) : "memory", "cc");
  SHOW("TF: REPE CMPS", 0x000203);
  STEP("cpuid\n nop", : : "a"(0), "c"(0) : "memory", "cc", "ebx", "edx");
  SHOW("TF: CPUID", 0x0203);
  STEP("movq %%cr0, %%rax\n movq %%rax, %%cr0\n nop", : : : "memory", "cc", "rax");
  SHOW("TF: MOV CR0", 0x030607);
  STEP("inb $0x80, %%al\n outb %%al, $0x80\n nop", : : : "memory", "cc", "rax");
  SHOW("TF: IN and OUT", 0x020405);
  STEP("mfence\n lock incl (%0)\n nop", : : "a"(buffer) : "memory", "cc");
  SHOW("TF: MFENCE and LOCK", 0x030607);
  // The handler's IRET to an instruction with TF from POPF.
  STEP("pushfq\n popfq\n nop", : : : "memory", "cc");
  SHOW("TF: POPF that keeps TF", 0x010203);
}

extern const char syscall_here[];
__asm__(".text\n syscall_here: nop\n jmp *%rcx\n");

/** SYSCALL and SYSRET look at TF as they leave it: so FMASK keeps the trap away (vol. 2; known from Linux 4.12, c8401dda2f0a). */
static void system_calls(void) {
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
  wrmsr(MSR_STAR, (uint64_t)(USER_CS32 | 3) << 48 | (uint64_t)KERNEL_CS << 32);
  wrmsr(MSR_LSTAR, (uint64_t)syscall_here);
  wrmsr(MSR_SFMASK, FLAG_TF | FLAG_IF);
  STEP("syscall\n nop\n nop", : : : "memory", "cc", "rcx", "r11");
  // bochs: traps there, as if the old TF counted.
  SHOW("TF: SYSCALL with TF in FMASK", 0);
  wrmsr(MSR_SFMASK, 0);
  STEP("syscall\n nop", : : : "memory", "cc", "rcx", "r11");
  check("TF: SYSCALL without TF in FMASK: four traps", count, 4);
  attempt_recovery = 0;
  forget();
  ATTEMPT_AT(
      "movq $775f, step_end\n movq $770f, %%rcx\n movl $0x102, %%r11d\n sysretq\n nop\n 770: nop\n nop\n 775: int $0x80\n",
      : : : "memory", "cc", "rcx", "r11");
  SHOW("TF: SYSRET that sets TF traps at once", 0x000102);
  check("TF: SYSRET that sets TF: three traps", count, 3);
}

static void code_breakpoints(void) {
  extern const char code_here[];
  forget();
  WRITE_DR(0, code_here);
  WRITE_DR(7, DR7_ONES | enable(0, EXECUTE, 1));
  ATTEMPT("nop\n .globl code_here\n code_here: nop\n nop", : : : "memory");
  SHOW("code breakpoint: RIP", 0x01);
  check("code breakpoint: once", count, 1);
  check("code breakpoint: DR6", last_dr6, DR6_ONES | 1);
  // Vol. 3, 2.3: this is the one fault that does not save RF as 1.
  check("code breakpoint: saved RF", last_rflags & FLAG_RF, 0);
  extern const char twice_here[];
  forget();
  clears_resume = 1;
  WRITE_DR(3, twice_here);
  WRITE_DR(7, DR7_ONES | enable(3, EXECUTE, 1));
  ATTEMPT("nop\n .globl twice_here\n twice_here: nop\n nop", : : : "memory");
  SHOW("code breakpoint: again without RF", 0x0101);
  check("code breakpoint: DR6 of the fourth", last_dr6, DR6_ONES | 8);
  // RF counts for one instruction: a loop meets the breakpoint each time around.
  extern const char loop_here[];
  forget();
  WRITE_DR(0, loop_here);
  WRITE_DR(7, DR7_ONES | enable(0, EXECUTE, 1));
  ATTEMPT("movl $3, %%ecx\n .globl loop_here\n loop_here: nop\n decl %%ecx\n jnz loop_here", : : : "memory", "ecx", "cc");
  check("code breakpoint: three times in a loop", count, 3);
  // REP: RF lasts for all iterations.
  // qemu: stops at each.
  extern const char rep_here[];
  forget();
  WRITE_DR(0, rep_here);
  ATTEMPT(".globl rep_here\n rep_here: rep movsb", : : "S"(buffer), "D"(buffer + 64), "c"(4) : "memory");
  check("code breakpoint: REP, once", count, 1);
  // 6.8.3: the instruction after MOV SS is safe from breakpoints.
  extern const char shadow_here[];
  forget();
  WRITE_DR(0, shadow_here);
  ATTEMPT("movl %%ss, %%eax\n movl %%eax, %%ss\n .globl shadow_here\n shadow_here: nop\n nop", : : : "memory", "eax");
  // qemu: stops there.
  check("code breakpoint: behind MOV SS", count, 0);
  // POPF does not set RF, IRET does.
  extern const char popf_here[];
  forget();
  WRITE_DR(0, popf_here);
  ATTEMPT("pushfq\n orl $0x10000, (%%rsp)\n popfq\n .globl popf_here\n popf_here: nop", : : : "memory", "cc");
  check("code breakpoint: POPF clears RF", count, 1);
  extern const char iret_here[];
  forget();
  WRITE_DR(0, iret_here);
  ATTEMPT("movq %%rsp, %%rcx\n pushq $0x10\n pushq %%rcx\n pushq $0x10002\n pushq $8\n pushq $iret_here\n iretq\n"
          ".globl iret_here\n iret_here: nop", : : : "memory", "cc", "rcx");
  check("code breakpoint: IRET sets RF", count, 0);
  WRITE_DR(7, DR7_ONES);
  forget();
  ATTEMPT("call 1f\n jmp 2f\n 1: ret\n 2: nop", : : : "memory");
  check("no breakpoint", count, 0);
  attempt_recovery = 0;
}

static void data_breakpoints(void) {
#define MEETS(name, text, n)                                                    \
  forget();                                                                     \
  ATTEMPT(text, : : "D"(buffer + 16) : "memory", "rax", "cc");                  \
  check(name, count, n)
  WRITE_DR(1, buffer + 16);
  WRITE_DR(7, DR7_ONES | enable(1, WRITE, 4));
  MEETS("data breakpoint, 4 bytes: store", "movl %%eax, (%0)", 1);
  check("data breakpoint: DR6", last_dr6, DR6_ONES | 2);
  check("data breakpoint: RIP is behind", places, 2);
  check("data breakpoint: saved RF is 0", last_rflags & FLAG_RF, 0);
  MEETS("data breakpoint, write: load", "movl (%0), %%eax", 0);
  MEETS("data breakpoint: last byte", "movb %%al, 3(%0)", 1);
  MEETS("data breakpoint: byte behind", "movb %%al, 4(%0)", 0);
  MEETS("data breakpoint: byte before", "movb %%al, -1(%0)", 0);
  MEETS("data breakpoint: overlap from below", "movl %%eax, -3(%0)", 1);
  MEETS("data breakpoint: 8 bytes from below", "movq %%rax, -4(%0)", 1);
  MEETS("data breakpoint: read-modify-write", "incl (%0)", 1);
  MEETS("data breakpoint: LOCK", "lock incl (%0)", 1);
  MEETS("data breakpoint: 16 bytes", "movups %%xmm0, -12(%0)", 1);
  MEETS("data breakpoint: x87", "fldz\n fstpt -8(%0)", 1);
  WRITE_DR(7, DR7_ONES | enable(1, ACCESS, 2));
  MEETS("data breakpoint, access: load", "movb 1(%0), %%al", 1);
  MEETS("data breakpoint, access: store", "movb %%al, 1(%0)", 1);
  MEETS("data breakpoint, access: load behind", "movb 2(%0), %%al", 0);
  // The trap must not put its frame where RSP points to just then.
  gates[VECTOR_DB].ist = 3;
  MEETS("data breakpoint, access: PUSH and POP by RSP", "movq %%rsp, %%rax\n leaq 24(%0), %%rsp\n pushq $0\n popq -24(%%rsp)\n movq %%rax, %%rsp", 1);
  gates[VECTOR_DB].ist = 0;
  WRITE_DR(7, DR7_ONES | enable(1, WRITE, 8));
  MEETS("data breakpoint, 8 bytes: last byte", "movb %%al, 7(%0)", 1);
  MEETS("data breakpoint, 8 bytes: byte behind", "movb %%al, 8(%0)", 0);
  // Low bits of the address that the length covers are ignored (18.2.5).
  WRITE_DR(1, buffer + 19);
  WRITE_DR(7, DR7_ONES | enable(1, WRITE, 4));
  MEETS("data breakpoint: address rounded down", "movb %%al, (%0)", 1);
  WRITE_DR(2, buffer + 17);
  WRITE_DR(7, DR7_ONES | enable(1, WRITE, 4) | enable(2, ACCESS, 1));
  MEETS("two data breakpoints: one exception", "movl %%eax, (%0)", 1);
  check("two data breakpoints: DR6", last_dr6, DR6_ONES | 6);
  // qemu: DR6 shows one of them only, addresses are not rounded.
  // G bits do the same as L bits.
  WRITE_DR(7, DR7_ONES | enable(1, WRITE, 4) << 0 | 8);
  MEETS("data breakpoint: G bit", "movb %%al, (%0)", 1);
  WRITE_DR(1, buffer + 16);
  WRITE_DR(7, DR7_ONES | enable(1, WRITE, 1));
  forget();
  ATTEMPT("rep stosb", : : "D"(buffer + 14), "a"(0), "c"(5) : "memory");
  // Vol. 3, 18.2.5: after the iteration that met it.
  check("data breakpoint: REP, the iteration", places << 8 | count, 0x0001);
  forget();
  ATTEMPT("xorl %%eax, %%eax\n movb $1, (%0)\n incl %%eax", : : "D"(buffer + 16) : "memory", "rax", "cc");
  SHOW("data breakpoint: in a block", 0x05);
  // MOV SS from a watched place: the trap comes after the next instruction (6.8.3).
  *(uint16_t *)(buffer + 16) = KERNEL_DS;
  WRITE_DR(7, DR7_ONES | enable(1, ACCESS, 2));
  forget();
  ATTEMPT("movw (%0), %%ss\n nop\n nop", : : "a"(buffer + 16) : "memory");
  // qemu: at once, before the stack pointer is loaded.
  SHOW("data breakpoint: MOV SS", 0x03);
  check("data breakpoint: MOV SS: DR6", last_dr6, DR6_ONES | 2);
  // INT n comes to its handler first, and the trap of the MOV SS before that begins (vol. 3, 6.8.3).
  static volatile uint64_t handler;
  handler = (uint64_t)exception_stubs + 16 * 0x90;
  forget();
  ATTEMPT("movw (%0), %%ss\n int $0x90\n nop", : : "a"(buffer + 16) : "memory");
  // qemu: before the INT.
  check("data breakpoint: MOV SS and INT: RIP", places & 0xff, (handler - attempt_start) & 0xff);
  check("data breakpoint: MOV SS and INT: once", count, 1);
  // B0 to B3 of earlier exceptions go, BS and the others stay (vol. 3, 18.2.3).
  WRITE_DR(7, DR7_ONES | enable(1, WRITE, 1));
  forget();
  WRITE_DR(6, DR6_ONES | DR6_BS | 9);
  ATTEMPT("movb $1, (%0)", : : "a"(buffer + 16) : "memory");
  check("data breakpoint: what stays of DR6", last_dr6, DR6_ONES | DR6_BS | 2);
  // A fault gives up its data breakpoints.
  skipped = 0;
  WRITE_DR(7, DR7_ONES);
  MEETS("no data breakpoint", "incl (%0)", 0);
  attempt_recovery = 0;
}

static void io_breakpoints(void) {
  write_cr4(read_cr4() | 8);
  WRITE_DR(0, 0x80);
  WRITE_DR(7, DR7_ONES | enable(0, IO, 1));
  forget();
  ATTEMPT("outb %%al, $0x80\n nop", : : : "memory");
  SHOW("I/O breakpoint: OUT", 0x02);
  check("I/O breakpoint: DR6", last_dr6, DR6_ONES | 1);
  forget();
  ATTEMPT("inb $0x80, %%al\n nop", : : : "memory", "eax");
  SHOW("I/O breakpoint: IN", 0x02);
  forget();
  ATTEMPT("inb $0x81, %%al\n nop", : : : "memory", "eax");
  SHOW("I/O breakpoint: another port", 0);
  forget();
  ATTEMPT("inw $0x7f, %%ax\n nop", : : : "memory", "eax");
  SHOW("I/O breakpoint: a word over it", 0x03);
  WRITE_DR(7, DR7_ONES);
  write_cr4(read_cr4() & ~8ul);
}

static void registers(void) {
  WRITE_DR(6, 0);
  check("DR6 after 0", READ_DR(6) & 0xffff, 0x0ff0);
  WRITE_DR(7, 0);
  check("DR7 after 0", READ_DR(7), DR7_ONES);
  WRITE_DR(0, 0x8000000000000000);
  check("DR0 holds 64 bits", READ_DR(0), 0x8000000000000000);
  // qemu: no GD.
  // GD: any access faults, and the handler may touch them.
  forget();
  WRITE_DR(7, DR7_ONES | DR7_GD);
  machine_hook = 0;
  ATTEMPT("movq %%dr0, %%rax", : : : "memory", "rax");
  expect_at("GD: MOV from DR0", VECTOR_DB, 0, 0);
  check("GD: DR6 has BD", READ_DR(6), DR6_ONES | DR6_BD);
  check("GD: the exception clears it", READ_DR(7), DR7_ONES);
  WRITE_DR(6, DR6_ONES);
  WRITE_DR(7, DR7_ONES | DR7_GD);
  ATTEMPT("movq %%rax, %%dr7", : : : "memory");
  expect_at("GD: MOV to DR7", VECTOR_DB, 0, 0);
  ATTEMPT("movq %%rax, %%dr7", : : "a"(DR7_ONES) : "memory");
  attempt_recovery = 0;
  WRITE_DR(7, DR7_ONES);
  machine_hook = on_debug;
}

/** Vol. 2, HLT: a debug exception ends it. qemu, bochs: wait for ever; so this comes last. */
static void halts(void) {
  if (under_tcg()) {
    check_skip("TF: HLT");
    return;
  }
  STEP("hlt\n nop", : : : "memory", "cc");
  SHOW("TF: HLT", 0x0102);
}

void guest_main(void) {
  machine_init();
  identity_for_users();
  // Nothing may interrupt while IF is set.
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
  machine_hook = on_debug;
  registers();
  steps();
  system_calls();
  code_breakpoints();
  data_breakpoints();
  io_breakpoints();
  halts();
  checks_end();
}
