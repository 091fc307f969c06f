// Modes: real mode and back, big real mode, 16-bit protected mode, virtual-8086 mode with and without CR4.VME
// (SDM vol. 3, 9.9 and ch. 20).
#include "machine.h"

#define CODE16 FREE_SELECTOR
#define DATA16 (FREE_SELECTOR + 8)
#define BIG (FREE_SELECTOR + 16)
/** The 16-bit code is copied here: real mode reaches the first MiB only. */
#define LOW 0x20000u
#define CR4_VME 1u

// 16-bit code, at LOW. Results go to LOW + F00h.
__asm__(
    ".text\n .globl low_start, low_end\n .balign 16\n low_start:\n"
    // 0: entered from 32-bit code with CS = CODE16, DS = BIG: to real mode and back.
    ".code16\n"
    "low_real: movl %cr0, %eax\n andb $0xfe, %al\n movl %eax, %cr0\n ljmp $0x2000, $1f - low_start\n"
    "1: xorw %ax, %ax\n movw %ax, %fs\n"
    // DS keeps the limit it had: big real mode.
    " movl $0x100000, %esi\n movl %ds:(%esi), %edi\n"
    " movw %cs, %bx\n smsww %cx\n movw $0x2000, %ax\n movw %ax, %ss\n movl $0xffe, %esp\n"
    // Stores by FS: base 0.
    " movl $0x20f00, %esi\n addr32 movl %edi, %fs:(%esi)\n addr32 movw %bx, %fs:4(%esi)\n addr32 movw %cx, %fs:6(%esi)\n"
    // An interrupt: vector 90h at 0:240h goes to the handler below.
    " movw $low_handler - low_start, %fs:0x240\n movw $0x2000, %fs:0x242\n lidtl %cs:(real_idt - low_start)\n"
    " pushfw\n popw %ax\n int $0x90\n addr32 movw %dx, %fs:8(%esi)\n addr32 movw %sp, %fs:10(%esi)\n"
    // #DE and #UD in real mode: no error codes, IP of the instruction.
    " movw $low_ud - low_start, %fs:0x18\n movw $0x2000, %fs:0x1a\n"
    "low_ud2: ud2\n addr32 movw %dx, %fs:12(%esi)\n"
    // Back.
    " movl %cr0, %eax\n orb $1, %al\n movl %eax, %cr0\n .byte 0x66, 0xea\n .long real_back\n .word 8\n"
    "low_handler: movw $0x1234, %dx\n iretw\n"
    "low_ud: popw %dx\n pushw %dx\n movw %sp, %bp\n addw $2, (%bp)\n subw $low_ud2 - low_start, %dx\n iretw\n"
    "real_idt: .word 0x3ff\n .long 0\n"
    // 16-bit protected mode: what the default sizes are.
    ".globl low_16\n low_16: movl %esp, %ebp\n pushw $1\n movl %esp, %ebx\n subl %ebx, %ebp\n popw %ax\n movw $0x5678, %ax\n lretl\n"
    // Virtual-8086 mode.
    ".globl low_v86\n low_v86: movw %cs, %ax\n movw %ax, %ds\n movl $0x89abcdef, %es:0xf20\n hlt\n"
    ".globl low_v86_cli\n low_v86_cli: cli\n pushfw\n popw %ax\n sti\n pushfw\n popw %bx\n int $0x21\n hlt\n"
    ".globl low_v86_int\n low_v86_int: int $0x21\n hlt\n"
    ".globl low_v86_limit\n low_v86_limit: movl $0xffff, %esi\n addr32 movw (%esi), %ax\n hlt\n"
    ".globl low_v86_out\n low_v86_out: inb $0xf5, %al\n hlt\n"
    ".globl low_v86_handler\n low_v86_handler: movw $0x4321, %cx\n iretw\n"
    "low_end:\n .code32\n"
    ".globl real_back\n real_back: movl $0x10, %eax\n movl %eax, %ss\n movl saved_sp, %esp\n movl $0x23, %eax\n movl %eax, %ds\n movl %eax, %es\n lidtl saved_idt\n popal\n ret\n"
    ".globl to_real\n to_real: pushal\n movl %esp, saved_sp\n sidtl saved_idt\n movl $0x50, %eax\n movl %eax, %ds\n ljmp $0x40, $0\n"
    ".data\n saved_sp: .long 0\n saved_idt: .quad 0\n .text\n");
extern const uint8_t low_start[], low_end[], low_16[], low_v86[], low_v86_cli[], low_v86_int[], low_v86_limit[], low_v86_out[], low_v86_handler[];
void to_real(void);

static volatile uint8_t *const results = (volatile uint8_t *)(LOW + 0xf00);
static uint16_t word(unsigned at) { return *(volatile uint16_t *)(results + at); }
static uint32_t doubleword(unsigned at) { return *(volatile uint32_t *)(results + at); }

static void real_mode(void) {
  descriptors[CODE16 / 8] = descriptor(LOW, 0xffff, TYPE_CODE, 0);
  descriptors[DATA16 / 8] = descriptor(LOW, 0xffff, TYPE_DATA, 0);
  descriptors[BIG / 8] = descriptor(0, 0xfffff, TYPE_DATA, FLAG_G);
  to_real();
  // Protected mode's limit of 4 GiB stays in DS.
  check("big real mode: load above 1 MiB", doubleword(0), *(uint32_t *)0x100000);
  check("real mode: CS", word(4), 0x2000);
  check("real mode: CR0.PE", word(6) & 1, 0);
  check("real mode: INT", word(8), 0x1234);
  check("real mode: SP after IRET", word(10), 0xffe);
  check("real mode: #UD, saved IP", word(12), 0);
  check("back in protected mode", read_cr0() & 1, 1);
}

static void protected_16(void) {
  static uint32_t width;
  static struct {
    uint32_t offset;
    uint16_t selector;
  } __attribute__((packed)) target;
  target.offset = (uint32_t)(low_16 - low_start);
  target.selector = CODE16;
  ATTEMPT("lcall *%1\n movl %%ebp, %0", : "=m"(width) : "m"(target) : "memory", "cc", "eax", "ebx", "ebp");
  expect_none("16-bit protected mode");
  check("16-bit protected mode: PUSH takes two bytes", width, 2);
}

struct v86_state {
  uint32_t eip, cs, eflags, esp, ss, es, ds, fs, gs;
};
static volatile struct v86_state after;
static volatile uint32_t after_eax, after_ebx, after_ecx, after_vector, after_error;

static int leave_v86(struct exception_frame *frame) {
  if (!(frame->eflags & FLAG_VM)) return 0;
  after = (struct v86_state){frame->eip, frame->cs, frame->eflags, frame->esp, frame->ss, frame->v86_es, frame->v86_ds, frame->v86_fs, frame->v86_gs};
  after_eax = frame->eax;
  after_ebx = frame->ebx;
  after_ecx = frame->ecx;
  after_vector = frame->vector;
  after_error = frame->error_code;
  return 0;
}

/** Runs 16-bit code in virtual-8086 mode until it faults. */
static void __attribute__((noinline)) run_v86(const uint8_t *code, uint32_t flags) {
  static uint32_t at, image;
  at = (uint32_t)(code - low_start);
  image = flags | FLAG_VM;
  ATTEMPT("pushl $0x6666\n pushl $0x5555\n pushl $0x4444\n pushl $0x2000\n pushl $0x2000\n pushl $0xf00\n pushl %0\n pushl $0x2000\n pushl %1\n"
          "xorl %%eax, %%eax\n xorl %%ecx, %%ecx\n iretl",
          : : "m"(image), "m"(at) : "memory", "cc", "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp");
  attempt_recovery = 0;
}

/** Distance of the IP where it ended from a label. */
#define ENDED_AT(code) (after.eip - (uint32_t)((code) - low_start))

static void virtual_8086(void) {
  machine_hook = leave_v86;
  run_v86(low_v86, 2 | FLAG_IOPL);
  check("V86: HLT faults", after_vector << 16 | after_error, VECTOR_GP << 16);
  check("V86: CS", after.cs, 0x2000);
  check("V86: DS, as it loaded it", after.ds, 0x2000);
  check("V86: FS", after.fs, 0x5555);
  check("V86: SS and SP", after.ss << 16 | after.esp, 0x20000f00);
  check("V86: VM in the image", after.eflags & FLAG_VM, FLAG_VM);
  check("V86: segments are 16 times the selector", *(volatile uint32_t *)(LOW + 0xf20), 0x89abcdef);
  // IOPL below 3: CLI and INT n fault; INT3 would not.
  run_v86(low_v86_cli, 2);
  check("V86, IOPL 0: CLI", after_vector << 16 | after_error, VECTOR_GP << 16);
  check("V86, IOPL 0: CLI: IP", ENDED_AT(low_v86_cli), 0);
  run_v86(low_v86_int, 2);
  check("V86, IOPL 0: INT", after_vector << 16 | after_error, VECTOR_GP << 16);
  check("V86, IOPL 0: INT: IP", ENDED_AT(low_v86_int), 0);
  gates[0x21].type = 0xee;
  run_v86(low_v86_int, 2 | FLAG_IOPL);
  check("V86, IOPL 3: INT through the IDT", after_vector, 0x21);
  check("V86, IOPL 3: INT: IP", ENDED_AT(low_v86_int), 2);
  gates[0x21].type = 0x8e;
  run_v86(low_v86_int, 2 | FLAG_IOPL);
  check("V86, IOPL 3: INT, gate of DPL 0", after_vector << 16 | after_error, VECTOR_GP << 16 | (0x21 * 8 + 2));
  run_v86(low_v86_cli, 2 | FLAG_IOPL | FLAG_IF);
  check("V86, IOPL 3: CLI clears IF", after_eax & FLAG_IF, 0);
  check("V86, IOPL 3: STI sets it", after_ebx & FLAG_IF, FLAG_IF);
  run_v86(low_v86_limit, 2);
  // qemu: no limits.
  check("V86: a word at FFFFh", after_vector << 16 | after_error, VECTOR_GP << 16);
  check("V86: a word at FFFFh: IP", ENDED_AT(low_v86_limit), 6);
  // The I/O map is asked whatever IOPL is (20.2.8.1).
  run_v86(low_v86_out, 2 | FLAG_IOPL);
  check("V86, IOPL 3: IN without an I/O map", ENDED_AT(low_v86_out), 0);

  if (!(cpuid(1, 0).edx >> 1 & 1)) {
    check_skip("VME");
    return;
  }
  // VME: the redirection map lies in the 32 bytes below the I/O map (20.3).
  static struct {
    struct tss32 tss;
    uint8_t redirection[32], io_map[33];
  } wide __attribute__((aligned(128)));
  wide.tss = task;
  wide.tss.io_map_base = sizeof wide.tss + 32;
  for (int i = 0; i < 32; i++) wide.redirection[i] = 0;
  for (int i = 0; i < 33; i++) wide.io_map[i] = 0xff;
  descriptors[TSS_SELECTOR / 8] = descriptor((uint32_t)&wide, sizeof wide - 1, 0x89, 0);
  __asm__ volatile("ltr %w0" : : "r"(TSS_SELECTOR) : "memory");
  write_cr4(read_cr4() | CR4_VME);
  // The compiler takes addresses near 0 for mistakes.
  __asm__ volatile("movl %0, 0x84" : : "r"((uint32_t)(low_v86_handler - low_start) | 0x20000000) : "memory");
  run_v86(low_v86_int, 2);
  check("VME: INT goes to the 8086 program's handler", after_ecx & 0xffff, 0x4321);
  check("VME: it comes back behind the INT", ENDED_AT(low_v86_int), 2);
  wide.redirection[0x21 / 8] = 1 << (0x21 & 7);
  run_v86(low_v86_int, 2);
  check("VME, bit set, IOPL 0: INT", after_vector << 16 | after_error, VECTOR_GP << 16);
  wide.redirection[0x21 / 8] = 0;
  // IOPL below 3: CLI and STI act on VIF, which PUSHF shows as IF, with IOPL 3.
  run_v86(low_v86_cli, 2 | 0x80000);
  check("VME, IOPL 0: PUSHF after CLI", after_eax & 0x3200, 0x3000);
  check("VME, IOPL 0: PUSHF after STI", after_ebx & 0x3200, 0x3200);
  check("VME, IOPL 0: VIF", after.eflags & 0x80000, 0x80000);
  run_v86(low_v86_cli, 2 | 0x80000 | 0x100000);
  // STI with VIP set faults.
  check("VME, VIP: STI", after_vector << 16 | after_error, VECTOR_GP << 16);
  check("VME, VIP: STI: IP", ENDED_AT(low_v86_cli), 3);
  write_cr4(read_cr4() & ~CR4_VME);
  machine_hook = 0;
}

void guest_main(void) {
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
  for (unsigned i = 0; low_start + i < low_end; i++) ((volatile uint8_t *)LOW)[i] = low_start[i];
  real_mode();
  protected_16();
  virtual_8086();
  checks_end();
}
