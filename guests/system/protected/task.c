// Task switches (SDM vol. 3, ch. 7): CALL, JMP, IRET, task gates, what is saved, busy bits, and the faults.
#include "machine.h"

#define TASK_B FREE_SELECTOR
#define TASK_GATE (FREE_SELECTOR + 8)
#define TASK_16 (FREE_SELECTOR + 16)
#define ALL "memory", "cc", "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp"
#define AVAILABLE 0x89u
#define BUSY 0x8bu
#define CR0_TASK_SWITCHED 8u

static struct tss32 second;
static uint8_t stack_b[4096] __attribute__((aligned(16)));
extern volatile uint32_t seen[8];
volatile uint32_t seen[8];

// Task B. The first lines run at each entry: TR, EFLAGS, CR0, EBX, the type of the first task's descriptor.
__asm__(
    ".text\n .globl task_b\n"
    ".macro look\n str %ecx\n movl %ecx, seen\n pushfl\n popl seen+4\n movl %cr0, %ecx\n movl %ecx, seen+8\n clts\n"
    " movl %ebx, seen+12\n movzbl descriptors+0x35, %ecx\n movl %ecx, seen+16\n .endm\n"
    "task_b: look\n testb $0x40, seen+5\n jz 1f\n iretl\n jmp task_b\n"
    "1: ljmp $0x30, $0\n jmp task_b\n");
extern const char task_b[], gp_mend[];

static unsigned type_of(unsigned selector) { return descriptors[selector / 8] >> 40 & 0xff; }

static void prepare(void) {
  second = (struct tss32){0};
  second.eip = (uint32_t)task_b;
  second.eflags = 2;
  second.esp = (uint32_t)stack_b + sizeof stack_b;
  second.cs = KERNEL_CS;
  second.ss = KERNEL_DS;
  second.ds = second.es = USER_DS + 3;
  second.ebx = 0xbbbb;
  second.io_map_base = sizeof second;
  descriptors[TASK_B / 8] = descriptor((uint32_t)&second, sizeof second - 1, AVAILABLE, 0);
  for (int i = 0; i < 8; i++) seen[i] = 0;
}

/** After a fault in the new task: the first one is the task again. */
static void be_first(void) {
  descriptors[TSS_SELECTOR / 8] = descriptor((uint32_t)&task, sizeof task - 1, AVAILABLE, 0);
  __asm__ volatile("ltr %w0\n movl %1, %%ds\n movl %1, %%es\n clts\n pushl $2\n popfl" : : "r"(TSS_SELECTOR), "r"(USER_DS + 3) : "memory", "cc");
}

static void __attribute__((noinline)) call_task(void) {
  ATTEMPT("movl $0xaaaa, %%ebx\n lcall %0, $0\n 774: movl %%ebx, seen+24", : : "i"(TASK_B) : ALL);
}
static void __attribute__((noinline)) jump_task(void) { ATTEMPT("ljmp %0, $0", : : "i"(TASK_B) : ALL); }
static void __attribute__((noinline)) jump_gate(void) { ATTEMPT("ljmp %0, $0", : : "i"(TASK_GATE) : ALL); }
static void __attribute__((noinline)) interrupt(void) { ATTEMPT("int $0x90", : : : ALL); }
static void __attribute__((noinline)) undefined_task(void) { ATTEMPT_AT("movl %0, %%eax\n 770: movl %%eax, %%fs", : : "i"(DESCRIPTORS * 8) : ALL); }

static void switches(void) {
  prepare();
  call_task();
  expect_none("CALL to a TSS and back by IRET");
  check("CALL: TR", seen[0], TASK_B);
  check("CALL: NT in the new task", seen[1] & FLAG_NT, FLAG_NT);
  check("CALL: CR0.TS", seen[2] & CR0_TASK_SWITCHED, CR0_TASK_SWITCHED);
  check("CALL: EBX of the new task", seen[3], 0xbbbb);
  check("CALL: the old task stays busy", seen[4], BUSY);
  check("CALL: the link", second.link & 0xffff, TSS_SELECTOR);
  check("CALL: the saved EIP", task.eip, attempt_start + 5 + 7);
  check("CALL: EBX is back", seen[6], 0xaaaa);
  check("IRET: the task it left is available", type_of(TASK_B), AVAILABLE);
  check("IRET: the task it entered is busy", type_of(TSS_SELECTOR), BUSY);
  check("IRET: NT of the task it left is cleared in memory", second.eflags & FLAG_NT, 0);
  __asm__ volatile("clts");
  prepare();
  jump_task();
  expect_none("JMP to a TSS and back by JMP");
  check("JMP: NT in the new task", seen[1] & FLAG_NT, 0);
  check("JMP: the old task is available", seen[4], AVAILABLE);
  check("JMP: the task it left at last is available", type_of(TASK_B), AVAILABLE);
  check("JMP: the link is not written", second.link, 0);
  __asm__ volatile("clts");
  // Through a task gate: the gate's DPL counts, the TSS's does not.
  prepare();
  descriptors[TASK_GATE / 8] = (uint64_t)TASK_B << 16 | 0x85ull << 40;
  jump_gate();
  expect_none("JMP through a task gate");
  check("task gate: TR", seen[0], TASK_B);
  prepare();
  gates[0x90] = (struct gate32){0, TASK_B, 0, 0x85, 0};
  interrupt();
  expect_none("INT through a task gate");
  check("INT through a task gate: NT", seen[1] & FLAG_NT, FLAG_NT);
  check("INT through a task gate: the saved EIP", task.eip, attempt_start + 2);
  gate_reset(0x90);
  // A fault's error code goes to the new task's stack. It makes the gate an interrupt gate and returns to the MOV, which
  // faults again and ends the attempt.
  prepare();
  second.eip = (uint32_t)gp_mend;
  gates[VECTOR_GP] = (struct gate32){0, TASK_B, 0, 0x85, 0};
  seen[5] = 0xffffffff;
  undefined_task();
  expect_at("#GP through a task gate, then again", VECTOR_GP, DESCRIPTORS * 8, 0);
  check("#GP through a task gate: error code", seen[5], DESCRIPTORS * 8);
  check("#GP through a task gate: saved RF", task.eflags & FLAG_RF, FLAG_RF);
  gate_reset(VECTOR_GP);
}
// Keeps the error code and makes the gate an interrupt gate to the stub.
__asm__(".text\n .globl gp_mend\n gp_mend: popl seen+20\n clts\n movl mended, %eax\n movl %eax, gates+13*8\n movl mended+4, %eax\n movl %eax, gates+13*8+4\n iretl\n"
        ".data\n .globl mended\n mended: .long 0, 0\n .text\n");
extern struct gate32 mended;

static void faults(void) {
  prepare();
  descriptors[TASK_B / 8] = descriptor((uint32_t)&second, sizeof second - 1, BUSY, 0);
  jump_task();
  expect_fault("JMP to a busy task", VECTOR_GP, TASK_B);
  prepare();
  descriptors[TASK_B / 8] = descriptor((uint32_t)&second, sizeof second - 1, AVAILABLE & ~0x80, 0);
  jump_task();
  expect_fault("JMP to an absent task", VECTOR_NP, TASK_B);
  prepare();
  descriptors[TASK_B / 8] = descriptor((uint32_t)&second, 0x66, AVAILABLE, 0);
  jump_task();
  expect_fault("JMP to a TSS of 67h bytes", VECTOR_TS, TASK_B);
  check("it has not become busy", type_of(TASK_B), AVAILABLE);
  descriptors[TASK_GATE / 8] = (uint64_t)TASK_B << 16 | 0x05ull << 40;
  jump_gate();
  expect_fault("an absent task gate", VECTOR_NP, TASK_GATE);
  descriptors[TASK_GATE / 8] = (uint64_t)KERNEL_CS << 16 | 0x85ull << 40;
  jump_gate();
  expect_fault("a task gate to code", VECTOR_GP, KERNEL_CS);
  // IRET with NT: the link must name a busy TSS.
  task.link = TASK_B;
  prepare();
  ATTEMPT_AT("pushl $0x4002\n popfl\n 770: iretl", : : : ALL);
  expect_fault("IRET with NT to an available task", VECTOR_TS, TASK_B);
  task.link = 0;

  // Faults in the new task: its state has been loaded, EIP is its own.
  static const struct {
    const char *name;
    uint16_t cs, ss, ds, ldt, vector, error;
  } cases[] = {
      {"new task: CS null", 0, KERNEL_DS, USER_DS, 0, VECTOR_TS, 0},
      {"new task: CS of data", KERNEL_DS, KERNEL_DS, USER_DS, 0, VECTOR_TS, KERNEL_DS},
      {"new task: SS null", KERNEL_CS, 0, USER_DS, 0, VECTOR_TS, 0},
      {"new task: SS of another level", KERNEL_CS, USER_DS + 3, USER_DS, 0, VECTOR_TS, USER_DS},
      {"new task: DS beyond the limit", KERNEL_CS, KERNEL_DS, DESCRIPTORS * 8, 0, VECTOR_TS, DESCRIPTORS * 8},
      {"new task: LDT of data", KERNEL_CS, KERNEL_DS, USER_DS, KERNEL_DS, VECTOR_TS, KERNEL_DS},
  };
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    // The handler needs a stack and CS that work: it is a task of its own, which keeps the error code and ends the attempt.
    prepare();
    second.cs = cases[i].cs;
    second.ss = cases[i].ss;
    second.ds = cases[i].ds;
    second.ldt = cases[i].ldt;
    static struct tss32 third;
    static uint8_t stack_c[4096] __attribute__((aligned(16)));
    extern const char task_c[];
    third = (struct tss32){0};
    third.eip = (uint32_t)task_c;
    third.eflags = 2;
    third.esp = (uint32_t)stack_c + sizeof stack_c;
    third.cs = KERNEL_CS;
    third.ss = KERNEL_DS;
    third.ds = third.es = USER_DS + 3;
    third.io_map_base = sizeof third;
    descriptors[TASK_16 / 8] = descriptor((uint32_t)&third, sizeof third - 1, AVAILABLE, 0);
    gates[VECTOR_TS] = (struct gate32){0, TASK_16, 0, 0x85, 0};
    seen[5] = 0xffffffff;
    jump_task();
    attempt_recovery = 0;
    be_first();
    check(cases[i].name, seen[5], cases[i].error);
    check("its EIP", second.eip, (uint32_t)task_b);
    gate_reset(VECTOR_TS);
  }
}
__asm__(".text\n .globl task_c\n task_c: popl seen+20\n clts\n int $0x80\n");

static int on_trap(struct exception_frame *frame) {
  if (frame->vector != VECTOR_DB) return 0;
  __asm__ volatile("movl %%dr6, %0" : "=r"(seen[6]));
  __asm__ volatile("movl %0, %%dr6" : : "r"(0xffff0ff0));
  seen[7] = frame->eip;
  return 1;
}

/** T of the TSS: #DB before the new task's first instruction, DR6.BT (SDM vol. 3, 18.3.1.5). */
static void trap_bit(void) {
  prepare();
  second.trap = 1;
  machine_hook = on_trap;
  jump_task();
  machine_hook = 0;
  attempt_recovery = 0;
  // qemu: no T.
  check("T: DR6", seen[6], 0xffff8ff0);
  check("T: EIP", seen[7], (uint32_t)task_b);
  __asm__ volatile("clts");
}

void guest_main(void) {
  mended = gates[VECTOR_GP];
  __asm__ volatile("movl %0, %%dr6" : : "r"(0xffff0ff0));
  switches();
  faults();
  trap_bit();
  checks_end();
}
