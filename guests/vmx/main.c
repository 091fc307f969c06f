// A hypervisor of three hundred lines: runs a guest in real mode and one in 64-bit mode under VMX, and says why each was left.
#include "boot.h"
#include "console.h"
#include "cpu.h"
#include "layout.h"
#include "memory.h"

#define CR4_VMXE 0x2000ul
#define MSR_FEATURE_CONTROL 0x3au
#define MSR_VMX_BASIC 0x480u
#define MSR_VMX_TRUE_PIN 0x48du
#define MSR_VMX_TRUE_PRIMARY 0x48eu
#define MSR_VMX_TRUE_EXIT 0x48fu
#define MSR_VMX_TRUE_ENTRY 0x490u
#define MSR_VMX_SECONDARY 0x48bu

// Controls (SDM vol. 3, 25.6 to 25.8).
#define PRIMARY_HLT 0x80u
#define PRIMARY_INVLPG 0x200u
#define PRIMARY_CR3_LOAD 0x8000u
#define PRIMARY_CR3_STORE 0x10000u
#define PRIMARY_IO 0x1000000u
#define PRIMARY_MONITOR_TRAP 0x8000000u
#define PRIMARY_SECONDARY 0x80000000u
#define SECONDARY_EPT 2u
#define SECONDARY_UNRESTRICTED 0x80u
#define EXIT_LONG 0x200u
#define EXIT_SAVE_EFER 0x100000u
#define EXIT_LOAD_EFER 0x200000u
#define ENTRY_LONG 0x200u
#define ENTRY_LOAD_EFER 0x8000u

enum { FAULT = 0, CPUID_EXIT = 10, HLT_EXIT = 12, VMCALL_EXIT = 18, MONITOR_TRAP = 37, EPT_VIOLATION = 48 };

extern int vmx_enter(int launched);
extern const char real_guest[], real_guest_end[], long_guest[], long_guest_fault[];
uint64_t guest_registers[8];

static uint64_t *ept_table;
static char *guest_memory;

static uint64_t vmread(uint64_t field) {
  uint64_t value;
  __asm__ volatile("vmread %1, %0" : "=r"(value) : "r"(field) : "cc");
  return value;
}

static void vmwrite(uint64_t field, uint64_t value) {
  __asm__ volatile("vmwrite %1, %0" : : "r"(field), "r"(value) : "cc");
}

static _Noreturn void fail(const char *what) {
  print("vmx: ");
  print(what);
  print("\n");
  machine_exit(EXIT_FAILED);
}

static void *page(void) { return memset(memory_take(4096, 4096), 0, 4096); }

/** What is wanted of a word of controls, with what must be set. Fails if something is not to be had. */
static uint32_t controls(uint32_t msr, uint32_t wanted) {
  uint64_t can = rdmsr(msr);
  if (wanted & ~(uint32_t)(can >> 32)) fail("a control is not there");
  return wanted | (uint32_t)can;
}

static void *region(void) {
  uint32_t *words = page();
  words[0] = (uint32_t)rdmsr(MSR_VMX_BASIC) & 0x7fffffffu;
  return words;
}

static void start(void) {
  if (!(cpuid(1, 0).ecx & 0x20)) fail("the processor has none");
  uint64_t feature = rdmsr(MSR_FEATURE_CONTROL);
  if (!(feature & 1)) wrmsr(MSR_FEATURE_CONTROL, 5);
  else if (!(feature & 4)) fail("switched off by firmware");
  write_cr0(read_cr0() | CR0_NE);
  write_cr4(read_cr4() | CR4_VMXE);
  void *area = region();
  unsigned char bad;
  __asm__ volatile("vmxon %1; setbe %0" : "=q"(bad) : "m"(area) : "cc");
  if (bad) fail("VMXON failed");
}

static void vmcs_new(void) {
  void *area = region();
  unsigned char bad;
  __asm__ volatile("vmclear %1; vmptrld %1; setbe %0" : "=q"(bad) : "m"(area) : "cc");
  if (bad) fail("VMPTRLD failed");
}

/** Fields that both guests have in common: the host, and controls. */
static void common(uint32_t primary, uint32_t secondary, uint32_t entry) {
  vmwrite(0x4000, controls(MSR_VMX_TRUE_PIN, 0));
  vmwrite(0x4002, controls(MSR_VMX_TRUE_PRIMARY, primary));
  if (primary & PRIMARY_SECONDARY) vmwrite(0x401e, controls(MSR_VMX_SECONDARY, secondary));
  vmwrite(0x400c, controls(MSR_VMX_TRUE_EXIT, EXIT_LONG | EXIT_SAVE_EFER | EXIT_LOAD_EFER));
  vmwrite(0x4012, controls(MSR_VMX_TRUE_ENTRY, entry | ENTRY_LOAD_EFER));
  vmwrite(0x2800, ~0ul);
  vmwrite(0x6c00, read_cr0());
  vmwrite(0x6c02, read_cr3());
  vmwrite(0x6c04, read_cr4());
  vmwrite(0x2c02, rdmsr(MSR_EFER));
  vmwrite(0x0c02, KERNEL_CS);
  for (unsigned field = 0x0c00; field <= 0x0c0a; field += 2)
    if (field != 0x0c02) vmwrite(field, KERNEL_DS);
  vmwrite(0x0c0c, TSS_SELECTOR);
  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } gdt, idt;
  __asm__ volatile("sgdt %0; sidt %1" : "=m"(gdt), "=m"(idt));
  vmwrite(0x6c0c, gdt.base);
  vmwrite(0x6c0e, idt.base);
  const uint8_t *task = (const uint8_t *)gdt.base + TSS_SELECTOR;
  vmwrite(0x6c0a, task[2] | (uint64_t)task[3] << 8 | (uint64_t)task[4] << 16 | (uint64_t)task[7] << 24);
  vmwrite(0x681a, 0x400);
  vmwrite(0x6820, 2);
  vmwrite(0x4816 + 0xa, 0x10000); // LDTR: not usable
  vmwrite(0x4822, 0x8b);
  vmwrite(0x480e, 0x67);
}

/** Segment registers ES to GS. */
static void segments(uint32_t code_rights, uint32_t data_rights, uint32_t limit, uint16_t code, uint16_t data) {
  for (unsigned i = 0; i < 6; i++) {
    vmwrite(0x0800 + 2 * i, i == 1 ? code : data);
    vmwrite(0x4800 + 2 * i, limit);
    vmwrite(0x4814 + 2 * i, i == 1 ? code_rights : data_rights);
  }
}

/** Sixteen pages of a guest's own; the third is left out. */
static uint64_t ept_build(void) {
  uint64_t *levels[4];
  for (int i = 0; i < 4; i++) levels[i] = page();
  for (int i = 0; i < 3; i++) levels[i][0] = (uint64_t)levels[i + 1] | 7;
  ept_table = levels[3];
  guest_memory = memory_take(16 * 4096, 4096);
  memset(guest_memory, 0, 16 * 4096);
  for (int i = 0; i < 16; i++)
    if (i != 2) ept_table[i] = (uint64_t)(guest_memory + 4096 * i) | 0x37;
  return (uint64_t)levels[0] | 0x1e;
}

static void say(const char *name, uint64_t value) {
  print(name);
  print_hex(value, value >> 32 ? 16 : 8);
}

/** Runs until VMCALL. Each exit is a line. */
static void run(const char *name, uint64_t base, int traps) {
  for (int launched = 0;; launched = 1) {
    int error = vmx_enter(launched);
    if (error) {
      say("VM-instruction error ", vmread(0x4400));
      fail(error == 1 ? " (invalid)" : " (valid)");
    }
    uint64_t reason = vmread(0x4402), rip = vmread(0x681e), length = vmread(0x440c);
    print(name);
    print(": reason ");
    print_decimal(reason & 0xffff);
    say(" qualification ", vmread(0x6400));
    print(" at +");
    print_hex(rip - base, 2);
    if (reason & 0x80000000u) fail(" entry failed");
    switch (reason) {
      case FAULT:
        say(" interruption ", vmread(0x4404));
        say(" code ", vmread(0x4406));
        print("\n");
        // Over the instruction that faulted, with traps from here on.
        vmwrite(0x681e, rip + 3);
        if (traps) vmwrite(0x4002, vmread(0x4002) | PRIMARY_MONITOR_TRAP);
        continue;
      case MONITOR_TRAP:
        print("\n");
        if (--traps == 0) vmwrite(0x4002, vmread(0x4002) & ~(uint64_t)PRIMARY_MONITOR_TRAP);
        continue;
      case EPT_VIOLATION:
        say(" guest-physical ", vmread(0x2400));
        say(" linear ", vmread(0x640a));
        print("\n");
        ept_table[2] = (uint64_t)(guest_memory + 0x2000) | 0x37;
        continue;
      case CPUID_EXIT:
        guest_registers[0] = guest_registers[3] = guest_registers[1] = guest_registers[2] = 0x1234;
        break;
      default:
        break;
    }
    print(" length ");
    print_decimal(length);
    print("\n");
    if (reason == VMCALL_EXIT) return;
    vmwrite(0x681e, rip + length);
    if (reason == HLT_EXIT) vmwrite(0x4826, 0);
  }
}

static void run_real(void) {
  vmcs_new();
  uint32_t primary = PRIMARY_HLT | PRIMARY_IO | PRIMARY_SECONDARY;
  common(primary, SECONDARY_EPT | SECONDARY_UNRESTRICTED, 0);
  vmwrite(0x201a, ept_build());
  memcpy(guest_memory + 0x7000, real_guest, (size_t)(real_guest_end - real_guest));
  vmwrite(0x6800, 0x30); // CR0: NE, ET; neither PE nor PG
  vmwrite(0x6804, CR4_VMXE);
  segments(0x9b, 0x93, 0xffff, 0, 0);
  vmwrite(0x681e, 0x7000);
  vmwrite(0x681c, 0x6000);
  run("real", 0x7000, 0);
  print("real: the word it wrote is ");
  print_hex(*(uint16_t *)(guest_memory + 0x2000), 4);
  print("\n");
}

static void run_long(void) {
  vmcs_new();
  uint32_t primary = PRIMARY_HLT | PRIMARY_IO | PRIMARY_INVLPG | PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE;
  common(primary, 0, ENTRY_LONG);
  vmwrite(0x4004, 1u << 14); // #PF
  vmwrite(0x6800, read_cr0());
  vmwrite(0x6802, read_cr3());
  vmwrite(0x6804, read_cr4());
  vmwrite(0x2806, rdmsr(MSR_EFER));
  segments(0xa09b, 0xc093, ~0u, KERNEL_CS, KERNEL_DS);
  vmwrite(0x6816, vmread(0x6c0c));
  vmwrite(0x4810, 0xffff);
  vmwrite(0x6814, vmread(0x6c0a));
  vmwrite(0x080e, TSS_SELECTOR);
  vmwrite(0x681e, (uint64_t)long_guest);
  vmwrite(0x681c, (uint64_t)memory_take(4096, 4096) + 4096);
  run("long", (uint64_t)long_guest, 3);
}

void guest_main(void) {
  start();
  run_real();
  run_long();
  __asm__ volatile("vmxoff");
  print("done\n");
}
