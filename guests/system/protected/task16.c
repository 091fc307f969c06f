// 16-bit TSSs, those of the 80286 (SDM vol. 3, 8.6 "16-Bit Task-State Segment"): switches to, from and between them, what is
// saved and loaded, the stacks of inner rings, ports, and the faults. What the manual leaves open is not looked at: the upper
// halves of registers that were loaded, FS, GS, and AC, ID and RF.
#include "machine.h"

#define SHORT_TASK FREE_SELECTOR
#define SECOND_TASK (FREE_SELECTOR + 8)
#define TASK_GATE (FREE_SELECTOR + 16)
#define WIDE_TASK (FREE_SELECTOR + 24)
/** Code and stack that an IP and an SP of 16 bits reach. */
#define NEAR_CS (FREE_SELECTOR + 32)
#define NEAR_SS (FREE_SELECTOR + 40)
#define NEAR_CS16 (FREE_SELECTOR + 48)
#define SOME_LDT (FREE_SELECTOR + 56)
#define ALL "memory", "cc", "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp"
#define AVAILABLE_16 0x81u
#define BUSY_16 0x83u
#define AVAILABLE_32 0x89u
#define BUSY_32 0x8bu
#define CR0_TASK_SWITCHED 8u
#define CR0_PAGING 0x80000000u
/** Below 64 KiB, so that SP0 reaches it in a flat segment. */
#define LOW_STACK 0x8000u

struct tss16 {
  uint16_t link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
};
_Static_assert(sizeof(struct tss16) == 0x2c, "a 16-bit TSS");

/** What follows would be T, the I/O map's base and the map in a 32-bit TSS. */
static struct {
  struct tss16 tss;
  uint8_t behind[0x100];
} one, two;
static struct tss32 wide;
static uint8_t near_stack[2][4096] __attribute__((aligned(16)));
extern uint8_t wide_stack[4096];
uint8_t wide_stack[4096] __attribute__((aligned(16)));
static uint32_t page_directory[1024] __attribute__((aligned(4096)));

// What a task finds: registers in the order of their numbers, then the rest.
extern volatile uint32_t seen[20];
volatile uint32_t seen[20];
enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI, ES, CS, SS, DS, TR, LDTR, EFLAGS, CR0, CR3, OLD_TYPE, ERROR, BACK };

// Leaves by IRET if NT is set, else by a JMP to the first task.
__asm__(
    ".text\n"
    ".macro look\n"
    " movl %eax, seen\n movl %ecx, seen+4\n movl %edx, seen+8\n movl %ebx, seen+12\n movl %esp, seen+16\n"
    " movl %ebp, seen+20\n movl %esi, seen+24\n movl %edi, seen+28\n"
    " movl %es, %eax\n movl %eax, seen+32\n movl %cs, %eax\n movl %eax, seen+36\n"
    " movl %ss, %eax\n movl %eax, seen+40\n movl %ds, %eax\n movl %eax, seen+44\n"
    " str %eax\n movl %eax, seen+48\n sldt %eax\n movl %eax, seen+52\n pushfl\n popl seen+56\n"
    " movl %cr0, %eax\n movl %eax, seen+60\n clts\n movl %cr3, %eax\n movl %eax, seen+64\n"
    " movzbl descriptors+0x35, %eax\n movl %eax, seen+68\n"
    " movl $0x1111a0a0, %eax\n movl $0x2222c1c1, %ecx\n movl $0x3333d2d2, %edx\n movl $0x4444b3b3, %ebx\n"
    " movl $0x5555b5b5, %ebp\n movl $0x6666c6c6, %esi\n movl $0x7777d7d7, %edi\n"
    ".endm\n"
    "short_task: look\n testb $0x40, seen+57\n jz 1f\n iretl\nbehind_iret: jmp short_task\n"
    "1: ljmp $0x30, $0\nbehind_jump: jmp short_task\n"
    // Calls the 32-bit task and keeps what it has after that.
    "calling_task: look\n lcall $0x58, $0\nbehind_call: movl %ebx, seen+76\n pushfl\n popl seen+56\n ljmp $0x30, $0\n"
    // Goes on to the second 16-bit task.
    "passing_task: look\n ljmp $0x48, $0\n jmp passing_task\n"
    // 16-bit code.
    ".code16\ncode16_task: addr32 movw %bx, seen+12\n addr32 movl $1, seen+76\n iretw\n jmp code16_task\n.code32\n"
    "wide_task: look\n iretl\n jmp wide_task\n"
    // Keeps a 16-bit error code and ends the attempt.
    // The handler of the end wants a flat stack.
    "error_task: popw seen+72\n movl %esp, seen+16\n str %eax\n movl %eax, seen+48\n clts\n"
    " movl $" ATTEMPT_NUMBER(KERNEL_DS) ", %eax\n movl %eax, %ss\n movl $wide_stack+4096, %esp\n int $0x80\n"
    // The same with one of 32 bits, in a 32-bit task.
    "wide_error_task: popl seen+72\n clts\n int $0x80\n");
extern const char image_start[], short_task[], behind_iret[], behind_jump[], calling_task[], behind_call[], passing_task[], code16_task[],
    wide_task[], error_task[], wide_error_task[];

static uint16_t near(const char *code) { return (uint16_t)(code - image_start); }
static unsigned type_of(unsigned selector) { return descriptors[selector / 8] >> 40 & 0xff; }
static void put_task(unsigned selector, void *tss, unsigned limit, unsigned type) {
  descriptors[selector / 8] = descriptor((uint32_t)tss, limit, (uint8_t)type, 0);
}

static void prepare(void) {
  __asm__ volatile("clts");
  for (unsigned i = 0; i < sizeof one.behind; i++) one.behind[i] = two.behind[i] = 0xff;
  one.tss = (struct tss16){.link = 0x7777, .sp0 = LOW_STACK, .ss0 = KERNEL_DS, .sp1 = 0x5151, .ss1 = 0x5252, .sp2 = 0x5353, .ss2 = 0x5454};
  one.tss.ip = near(short_task);
  // Reserved bits, arithmetic flags, DF and IOPL; neither IF, TF nor NT.
  one.tss.flags = 0xbcff;
  one.tss.ax = 0xa001, one.tss.cx = 0xc002, one.tss.dx = 0xd003, one.tss.bx = 0xb004;
  one.tss.sp = sizeof near_stack[0];
  one.tss.bp = 0xb006, one.tss.si = 0x5007, one.tss.di = 0xd008;
  one.tss.es = one.tss.ds = USER_DS + 3;
  one.tss.cs = NEAR_CS;
  one.tss.ss = NEAR_SS;
  two.tss = one.tss;
  wide = (struct tss32){.eip = (uint32_t)wide_task, .eflags = 2, .cs = KERNEL_CS, .ss = KERNEL_DS, .ebx = 0x0e0fbbbb};
  wide.esp = (uint32_t)wide_stack + sizeof wide_stack;
  wide.ds = wide.es = USER_DS + 3;
  wide.io_map_base = sizeof wide;
  put_task(SHORT_TASK, &one, sizeof one.tss - 1, AVAILABLE_16);
  put_task(SECOND_TASK, &two, sizeof two.tss - 1, AVAILABLE_16);
  put_task(WIDE_TASK, &wide, sizeof wide - 1, AVAILABLE_32);
  descriptors[TASK_GATE / 8] = (uint64_t)SHORT_TASK << 16 | 0x85ull << 40;
  descriptors[NEAR_CS / 8] = descriptor((uint32_t)image_start, 0xffff, TYPE_CODE, FLAG_D);
  descriptors[NEAR_CS16 / 8] = descriptor((uint32_t)image_start, 0xffff, TYPE_CODE, 0);
  descriptors[NEAR_SS / 8] = descriptor((uint32_t)near_stack, 0xffff, TYPE_DATA, 0);
  descriptors[SOME_LDT / 8] = descriptor((uint32_t)near_stack, 7, 0x82, 0);
  for (int i = 0; i < 20; i++) seen[i] = 0xeeeeeeee;
}

/** After an attempt that ended in another task: the first one is the task again. */
static void be_first(void) {
  put_task(TSS_SELECTOR, &task, sizeof task - 1, AVAILABLE_32);
  __asm__ volatile("ltr %w0\n lldt %w2\n movl %1, %%ds\n movl %1, %%es\n clts\n pushl $2\n popfl" : : "r"(TSS_SELECTOR), "r"(USER_DS + 3), "r"(0) : "memory", "cc");
}

static void __attribute__((noinline)) call_task(void) {
  ATTEMPT("movl $0xaaaa5555, %%ebx\n lcall %0, $0\n 774: movl %%ebx, seen+76", : : "i"(SHORT_TASK) : ALL);
}
static void __attribute__((noinline)) jump_task(void) { ATTEMPT("ljmp %0, $0", : : "i"(SHORT_TASK) : ALL); }
static void __attribute__((noinline)) jump_gate(void) { ATTEMPT("ljmp %0, $0", : : "i"(TASK_GATE) : ALL); }
static void __attribute__((noinline)) call_gate(void) { ATTEMPT("lcall %0, $0", : : "i"(TASK_GATE) : ALL); }
static void __attribute__((noinline)) interrupt(void) { ATTEMPT("int $0x90", : : : ALL); }
static void __attribute__((noinline)) bad_segment(void) { ATTEMPT_AT("movl %0, %%eax\n 770: movl %%eax, %%fs", : : "i"(DESCRIPTORS * 8) : ALL); }
static void __attribute__((noinline)) return_to_link(void) { ATTEMPT_AT("pushl $0x4002\n popfl\n 770: iretl", : : : ALL); }

static void check_registers(void) {
  static const char *const names[] = {"its AX", "its CX", "its DX", "its BX", "its SP", "its BP", "its SI", "its DI"};
  static const uint16_t want[] = {0xa001, 0xc002, 0xd003, 0xb004, sizeof near_stack[0], 0xb006, 0x5007, 0xd008};
  for (int i = 0; i < 8; i++) check(names[i], seen[i] & 0xffff, want[i]);
  check("its ES", seen[ES] & 0xffff, USER_DS + 3);
  check("its CS", seen[CS] & 0xffff, NEAR_CS);
  check("its SS", seen[SS] & 0xffff, NEAR_SS);
  check("its DS", seen[DS] & 0xffff, USER_DS + 3);
}

/** What a task that left holds, but for IP and flags. */
static void check_saved(const struct tss16 *tss) {
  static const uint16_t want[] = {0xa0a0, 0xc1c1, 0xd2d2, 0xb3b3, sizeof near_stack[0], 0xb5b5, 0xc6c6, 0xd7d7, USER_DS + 3, NEAR_CS, NEAR_SS, USER_DS + 3};
  static const char *const names[] = {"saved AX", "saved CX", "saved DX", "saved BX", "saved SP", "saved BP",
                                      "saved SI", "saved DI", "saved ES", "saved CS", "saved SS", "saved DS"};
  const uint16_t *field = &tss->ax;
  for (int i = 0; i < 12; i++) check(names[i], field[i], want[i]);
  check("not written: SP0", tss->sp0, LOW_STACK);
  check("not written: SS2", tss->ss2, 0x5454);
}

static int is_untouched(const uint8_t *behind) {
  for (unsigned i = 0; i < sizeof one.behind; i++)
    if (behind[i] != 0xff) return 0;
  return 1;
}

static void calls(void) {
  check_group = "CALL from 32 to 16 bits, IRET: ";
  prepare();
  call_task();
  expect_none("there and back");
  check_registers();
  check("TR", seen[TR] & 0xffff, SHORT_TASK);
  check("LDTR", seen[LDTR] & 0xffff, 0);
  check("CR0.TS", seen[CR0] & CR0_TASK_SWITCHED, CR0_TASK_SWITCHED);
  check("EFLAGS: what is reserved is not loaded; NT", seen[EFLAGS] & 0xffff, 0x7cd7);
  check("EFLAGS: VM", seen[EFLAGS] & FLAG_VM, 0);
  check("the caller stays busy", seen[OLD_TYPE], BUSY_32);
  check("the link", one.tss.link, TSS_SELECTOR);
  check("EBX is back, all of it", seen[BACK], 0xaaaa5555);
  check("the caller's EIP", task.eip, attempt_start + 5 + 7);
  check("IRET: the 16-bit TSS is available", type_of(SHORT_TASK), AVAILABLE_16);
  check("IRET: the 32-bit TSS is busy", type_of(TSS_SELECTOR), BUSY_32);
  check("IRET: saved IP", one.tss.ip, near(behind_iret));
  check("IRET: saved flags, without NT", one.tss.flags & 0x7002, 0x3002);
  check_saved(&one.tss);
  check("nothing behind is written", is_untouched(one.behind), 1);
  // It goes on behind its IRET.
  __asm__ volatile("clts");
  call_task();
  expect_none("once more");
  check("it has gone on", seen[EBX] & 0xffff, 0xb3b3);

  check_group = "CALL to 16-bit code, IRETW: ";
  prepare();
  one.tss.cs = NEAR_CS16;
  one.tss.ip = near(code16_task);
  call_task();
  expect_none("there and back");
  check("BX", seen[EBX] & 0xffff, 0xb004);
  check("saved CS", one.tss.cs, NEAR_CS16);
  check("EBX is back, all of it", seen[BACK], 0xaaaa5555);
  check_group = "";
}

static void jumps(void) {
  check_group = "JMP from 32 to 16 bits and back: ";
  prepare();
  one.tss.ldt = SOME_LDT;
  jump_task();
  expect_none("there and back");
  check_registers();
  check("TR", seen[TR] & 0xffff, SHORT_TASK);
  check("LDTR", seen[LDTR] & 0xffff, SOME_LDT);
  check("NT", seen[EFLAGS] & FLAG_NT, 0);
  check("the old task is available", seen[OLD_TYPE], AVAILABLE_32);
  check("the 16-bit TSS is available again", type_of(SHORT_TASK), AVAILABLE_16);
  check("the first is busy", type_of(TSS_SELECTOR), BUSY_32);
  check("the link is not written", one.tss.link, 0x7777);
  check("saved IP", one.tss.ip, near(behind_jump));
  check_saved(&one.tss);
  check("not written: LDT", one.tss.ldt, SOME_LDT);
  // Where a 32-bit TSS has T there is nothing.
  check("nothing behind is written or looked at", is_untouched(one.behind), 1);

  check_group = "JMP from 16 to 16 bits: ";
  prepare();
  one.tss.ip = near(passing_task);
  jump_task();
  expect_none("round");
  check("TR of the last", seen[TR] & 0xffff, SECOND_TASK);
  check_registers();
  check("the one between is available", type_of(SHORT_TASK), AVAILABLE_16);
  check_saved(&one.tss);
  check_saved(&two.tss);
  check("nothing behind is written", is_untouched(one.behind) & is_untouched(two.behind), 1);

  check_group = "CALL from 16 to 32 bits, IRET: ";
  prepare();
  one.tss.ip = near(calling_task);
  jump_task();
  expect_none("there and back");
  check("link of the 32-bit TSS", wide.link & 0xffff, SHORT_TASK);
  check("TR of the 32-bit task", seen[TR] & 0xffff, WIDE_TASK);
  check("EBX of the 32-bit task", seen[EBX], 0x0e0fbbbb);
  check("NT of the 32-bit task", wide.eflags & FLAG_NT, 0);
  check("BX is back", seen[BACK] & 0xffff, 0xb3b3);
  check("NT is not set in the caller", seen[EFLAGS] & FLAG_NT, 0);
  check("the 32-bit TSS is available", type_of(WIDE_TASK), AVAILABLE_32);
  check("the 32-bit task's registers are saved whole", wide.ebx, 0x4444b3b3);
  check_saved(&one.tss);
  check_group = "";
}

static void gates_to_tasks(void) {
  prepare();
  jump_gate();
  expect_none("JMP through a task gate");
  check("JMP through a task gate: TR", seen[TR] & 0xffff, SHORT_TASK);
  prepare();
  call_gate();
  expect_none("CALL through a task gate");
  check("CALL through a task gate: link", one.tss.link, TSS_SELECTOR);
  prepare();
  gates[0x90] = (struct gate32){0, SHORT_TASK, 0, 0x85, 0};
  interrupt();
  expect_none("INT through a task gate");
  check("INT: NT", seen[EFLAGS] & FLAG_NT, FLAG_NT);
  check("INT: link", one.tss.link, TSS_SELECTOR);
  check("INT: the saved EIP", task.eip, attempt_start + 2);
  check("INT: the 16-bit TSS is available", type_of(SHORT_TASK), AVAILABLE_16);
  gate_reset(0x90);
  // An error code has 16 bits there: its size is that of the TSS.
  prepare();
  one.tss.ip = near(error_task);
  gates[VECTOR_GP] = (struct gate32){0, SHORT_TASK, 0, 0x85, 0};
  bad_segment();
  attempt_recovery = 0;
  be_first();
  gate_reset(VECTOR_GP);
  check("#GP through a task gate: error code", seen[ERROR] & 0xffff, DESCRIPTORS * 8);
  check("#GP through a task gate: SP, two bytes were pushed", seen[ESP] & 0xffff, sizeof near_stack[0]);
  check("#GP through a task gate: TR", seen[TR] & 0xffff, SHORT_TASK);
  check("#GP through a task gate: saved EIP", task.eip, attempt_start);
}

static void faults(void) {
  prepare();
  put_task(SHORT_TASK, &one, sizeof one.tss - 1, BUSY_16);
  jump_task();
  expect_fault("JMP to a busy task", VECTOR_GP, SHORT_TASK);
  call_task();
  expect_at("CALL to a busy task", VECTOR_GP, SHORT_TASK, 5);
  prepare();
  put_task(SHORT_TASK, &one, sizeof one.tss - 1, AVAILABLE_16 & ~0x80);
  jump_task();
  expect_fault("JMP to an absent task", VECTOR_NP, SHORT_TASK);
  jump_gate();
  expect_fault("JMP through a gate to an absent task", VECTOR_NP, SHORT_TASK);
  // Vol. 3, 6.15, #TS: less than 2Ch, but the last byte of the TSS is 2Bh: the 80286's limit, and that of the pseudocode's "too small".
  prepare();
  put_task(SHORT_TASK, &one, 0x2a, AVAILABLE_16);
  jump_task();
  expect_fault("JMP to a TSS of 2Bh bytes", VECTOR_TS, SHORT_TASK);
  check("it has not become busy", type_of(SHORT_TASK), AVAILABLE_16);
  check("the old task is busy", type_of(TSS_SELECTOR), BUSY_32);
  prepare();
  put_task(SHORT_TASK, &one, 0x2c, AVAILABLE_16);
  jump_task();
  expect_none("JMP to a TSS of 2Dh bytes");
  prepare();
  descriptors[SHORT_TASK / 8] = descriptor((uint32_t)&one, 0xfff, 0x80, 0);
  jump_task();
  expect_fault("JMP to a reserved type", VECTOR_GP, SHORT_TASK);
  // IRET with NT: the link must name a busy TSS.
  prepare();
  task.link = SHORT_TASK;
  return_to_link();
  expect_fault("IRET to an available task", VECTOR_TS, SHORT_TASK);
  put_task(SHORT_TASK, &one, 0x2a, BUSY_16);
  return_to_link();
  expect_fault("IRET to a TSS of 2Bh bytes", VECTOR_TS, SHORT_TASK);
  put_task(SHORT_TASK, &one, sizeof one.tss - 1, BUSY_16 & ~0x80);
  return_to_link();
  expect_fault("IRET to an absent task", VECTOR_NP, SHORT_TASK);
  put_task(SHORT_TASK, &one, sizeof one.tss - 1, BUSY_16);
  return_to_link();
  expect_none("IRET to a busy task, and back by JMP");
  check("IRET to a busy task: TR", seen[TR] & 0xffff, SHORT_TASK);
  check("IRET to a busy task: NT", seen[EFLAGS] & FLAG_NT, 0);
  check("IRET to a busy task: the task it left was available", seen[OLD_TYPE], AVAILABLE_32);
  task.link = 0;

  // Faults of the new task, whose state is loaded: a 32-bit task keeps the error code and ends the attempt.
  static const struct {
    const char *name;
    uint16_t cs, ss, ds, ldt, error;
  } cases[] = {
      {"new task: CS null", 0, NEAR_SS, USER_DS + 3, 0, 0},
      {"new task: CS of data", NEAR_SS, NEAR_SS, USER_DS + 3, 0, NEAR_SS},
      {"new task: SS null", NEAR_CS, 0, USER_DS + 3, 0, 0},
      {"new task: SS of another level", NEAR_CS, USER_DS + 3, USER_DS + 3, 0, USER_DS},
      {"new task: DS beyond the limit", NEAR_CS, NEAR_SS, DESCRIPTORS * 8, 0, DESCRIPTORS * 8},
      {"new task: LDT of data", NEAR_CS, NEAR_SS, USER_DS + 3, KERNEL_DS, KERNEL_DS},
  };
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    prepare();
    one.tss.cs = cases[i].cs;
    one.tss.ss = cases[i].ss;
    one.tss.ds = cases[i].ds;
    one.tss.ldt = cases[i].ldt;
    wide.eip = (uint32_t)wide_error_task;
    gates[VECTOR_TS] = (struct gate32){0, WIDE_TASK, 0, 0x85, 0};
    jump_task();
    attempt_recovery = 0;
    be_first();
    gate_reset(VECTOR_TS);
    check(cases[i].name, seen[ERROR], cases[i].error);
    // qemu: that of the old task.
    check("its IP", one.tss.ip, near(short_task));
    check("its AX", one.tss.ax, 0xa001);
    check("its TSS is busy", type_of(SHORT_TASK), BUSY_16);
  }
  prepare();
  descriptors[NEAR_CS / 8] = descriptor((uint32_t)image_start, (uint32_t)near(short_task) - 1, TYPE_CODE, FLAG_D);
  wide.eip = (uint32_t)wide_error_task;
  gates[VECTOR_GP] = (struct gate32){0, WIDE_TASK, 0, 0x85, 0};
  jump_task();
  attempt_recovery = 0;
  be_first();
  gate_reset(VECTOR_GP);
  check("new task: IP beyond CS's limit", seen[ERROR], 0);
  check("its IP", one.tss.ip, near(short_task));
}

static uint32_t frame_end;
static int on_frame(struct exception_frame *frame) {
  frame_end = (uint32_t)(&frame->ss + 1);
  return 0;
}
static void __attribute__((noinline)) leave_ring3(void) { ATTEMPT_USER("nop", : : : ALL); }
static void __attribute__((noinline)) port_in_ring3(void) { ATTEMPT_USER("inb $0x80, %%al", : : : ALL); }

/** TR names a 16-bit TSS: stacks of inner rings, and ports. */
static void inner_rings(void) {
  prepare();
  attempt_user_flags = 2;
  // All ports would be allowed by this map, if it were one.
  for (unsigned i = 0; i < sizeof one.behind; i++) one.behind[i] = 0;
  one.behind[102 - sizeof one.tss] = 104;
  put_task(SHORT_TASK, &one, sizeof one - 1, AVAILABLE_16);
  __asm__ volatile("ltr %w0" : : "r"(SHORT_TASK));
  check("LTR makes it busy", type_of(SHORT_TASK), BUSY_16);
  machine_hook = on_frame;
  leave_ring3();
  expect_none("from ring 3 to ring 0");
  check("from ring 3 to ring 0: SP0", frame_end, LOW_STACK);
  frame_end = 0;
  port_in_ring3();
  expect_fault("IN in ring 3: there is no I/O map", VECTOR_GP, 0);
  check("IN in ring 3: SP0", frame_end, LOW_STACK);
  machine_hook = 0;
  // The limit must hold SP0 and SS0. #TS has to be a task: there is no stack for anything else.
  static const uint8_t limits[] = {5, 4};
  for (int i = 0; i < 2; i++) {
    prepare();
    put_task(SHORT_TASK, &one, limits[i], AVAILABLE_16);
    wide.eip = (uint32_t)wide_error_task;
    __asm__ volatile("ltr %w0" : : "r"(SHORT_TASK));
    gates[VECTOR_TS] = (struct gate32){0, WIDE_TASK, 0, 0x85, 0};
    leave_ring3();
    attempt_recovery = 0;
    be_first();
    gate_reset(VECTOR_TS);
    check(i == 0 ? "a limit of 5 holds the stack" : "a limit of 4 does not", seen[ERROR], i == 0 ? 0xeeeeeeee : SHORT_TASK);
  }
}

/** There is no CR3: the tables stay (SDM vol. 3, 8.6), and it is not written to the TSS either. */
static void paging(void) {
  for (uint32_t i = 0; i < 1024; i++) page_directory[i] = i << 22 | 0x83;
  unsigned long cr4 = read_cr4();
  write_cr4(cr4 | 0x10);
  write_cr3((unsigned long)page_directory);
  write_cr0(read_cr0() | CR0_PAGING);
  prepare();
  task.cr3 = (uint32_t)page_directory;
  check_group = "paging: ";
  call_task();
  expect_none("there and back");
  check("CR3 stays", seen[CR3], (uint32_t)page_directory);
  check_registers();
  check_saved(&one.tss);
  check_group = "";
  write_cr0(read_cr0() & ~(unsigned long)CR0_PAGING);
  write_cr4(cr4);
}

void guest_main(void) {
  attempt_user_flags = 2;
  calls();
  jumps();
  gates_to_tasks();
  faults();
  inner_rings();
  paging();
  checks_end();
}
