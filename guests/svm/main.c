// A hypervisor in small: enters a guest in 64-bit mode and one in real mode by SVM, under nested paging, and prints why each of them is left.
#include <stddef.h>

#include "boot.h"
#include "console.h"
#include "cpu.h"
#include "layout.h"
#include "memory.h"
#include "vmcb.h"

#define PAGE 4096ul
#define PRESENT 1ul
#define WRITE 2ul
#define USER 4ul
#define MSR_VM_HSAVE_PA 0xc0010117u
#define EFER_SVME 0x1000ul
/** Where the guests' code lies; the tables map 2 MiB. */
#define LONG_CODE 0x1000ul
#define REAL_CODE 0x7c00ul
#define LONG_STACK 0x6000ul
/** Guest-physical: the guest's tables, and the page that its own tables lack at first. */
#define GUEST_TABLES 0x10000ul
#define LACKING 0x20000ul
/** Those that the nested tables lack at first: the second one is where the real-mode guest writes. */
#define NESTED_LACKING 0x30000ul
#define REAL_LACKING 0x14000ul
#define GUEST_BYTES (512 * PAGE)

extern const uint8_t long_code[], long_code_end[], real_code[], real_code_end[];
void svm_run(struct vmcb *vmcb, uint64_t registers[14]);

static uint8_t *guest;
static uint64_t *nested_pages;
static struct vmcb *vmcb;
static uint64_t registers[14];
static int has_next_rip, has_decode_assists;

static void *cleared(size_t bytes) {
  void *memory = memory_take(bytes, PAGE);
  memset(memory, 0, bytes);
  return memory;
}

static uint64_t address_of(const volatile void *memory) { return (uint64_t)(uintptr_t)memory; }

static void build_nested(void) {
  uint64_t *tables[4];
  for (int i = 0; i < 4; i++) tables[i] = cleared(PAGE);
  for (int i = 0; i < 3; i++) tables[i][0] = address_of(tables[i + 1]) | PRESENT | WRITE | USER;
  nested_pages = tables[3];
  for (uint64_t i = 0; i < 512; i++) nested_pages[i] = (address_of(guest) + i * PAGE) | PRESENT | WRITE | USER;
  vmcb->nested_cr3 = address_of(tables[0]);
}

static void build_guest_tables(void) {
  uint64_t *table = (uint64_t *)(guest + GUEST_TABLES);
  for (int i = 0; i < 3; i++) table[512 * i] = (GUEST_TABLES + (i + 1) * PAGE) | PRESENT | WRITE;
  for (uint64_t i = 0; i < 512; i++) table[512 * 3 + i] = (i * PAGE) | PRESENT | WRITE;
  table[512 * 3 + LACKING / PAGE] = 0;
}

static void segment(struct vmcb_segment *to, uint16_t selector, uint16_t attributes, uint32_t limit) {
  to->selector = selector;
  to->attributes = attributes;
  to->limit = limit;
  to->base = 0;
}

static void prepare(void) {
  vmcb = cleared(PAGE);
  vmcb->intercept1 = INTERCEPT1_CPUID | INTERCEPT1_INTN | INTERCEPT1_HLT | INTERCEPT1_IOIO | INTERCEPT1_MSR |
                     INTERCEPT1_SHUTDOWN;
  vmcb->intercept2 = INTERCEPT2_VMRUN | INTERCEPT2_VMMCALL;
  vmcb->intercept_exceptions = 1u << 14;
  uint8_t *maps = cleared(5 * PAGE);
  memset(maps, 0xff, 5 * PAGE);
  vmcb->iopm_base = address_of(maps);
  vmcb->msrpm_base = address_of(maps + 3 * PAGE);
  vmcb->asid = 1;
  // The guest before had the same ASID and other tables.
  vmcb->tlb_control = 1;
  vmcb->nested_control = 1;
  vmcb->guest_pat = 0x0007040600070406ull;
  vmcb->dr6 = 0xffff0ff0;
  vmcb->dr7 = 0x400;
  vmcb->rflags = 2;
  memset(registers, 0, sizeof registers);
  build_nested();
}

static void field(const char *name, uint64_t value) {
  print(name);
  print_hex(value, value >> 32 ? 16 : 8);
}

/** Prints the exit. @returns whether the guest goes on */
static int exited(uint64_t start) {
  uint64_t length = 0, info1 = vmcb->exit_info1;
  vmcb->tlb_control = 0;
  // QEMU 7.2 leaves the address size away.
  if (vmcb->exit_code == EXIT_IOIO) info1 &= ~0x380ull;
  if (vmcb->exit_code == EXIT_SWINT && has_decode_assists) info1 ^= 0x30;
  field("exit ", (uint32_t)vmcb->exit_code);
  field(" info1 ", info1);
  if (vmcb->exit_code != EXIT_IOIO) field(" info2 ", vmcb->exit_info2);
  field(" rip +", vmcb->rip - start);
  field(" rax ", vmcb->rax);
  print("\n");
  switch (vmcb->exit_code) {
  case EXIT_CPUID:
    registers[0] = registers[1] + 0x11;
    vmcb->rax = 0;
    length = 2;
    break;
  case EXIT_IOIO:
    if (vmcb->exit_info2 - vmcb->rip != 2) print("exit_info2 is wrong\n");
    vmcb->rax = (vmcb->rax & ~0xfful) | 0x99;
    length = 2;
    break;
  case EXIT_MSR:
    vmcb->rax = 0x500;
    length = 2;
    break;
  case EXIT_PAGE_FAULT: {
    uint64_t *table = (uint64_t *)(guest + GUEST_TABLES);
    table[512 * 3 + LACKING / PAGE] = LACKING | PRESENT | WRITE;
    return 1;
  }
  case EXIT_NESTED_PAGE_FAULT: {
    uint64_t page = vmcb->exit_info2 / PAGE;
    nested_pages[page] = (address_of(guest) + page * PAGE) | PRESENT | WRITE | USER;
    return 1;
  }
  case EXIT_SWINT:
    length = 2;
    break;
  case EXIT_VMMCALL:
    length = 3;
    // From here on nobody wants to see CPUID.
    vmcb->intercept1 &= ~INTERCEPT1_CPUID;
    break;
  default:
    return 0;
  }
  if (has_next_rip && vmcb->next_rip != vmcb->rip + length) print("next_rip is wrong\n");
  vmcb->rip += length;
  return 1;
}

static void run_guest(const char *name, uint64_t start) {
  print(name);
  print("\n");
  do svm_run(vmcb, registers);
  while (exited(start));
}

static void run_long(void) {
  prepare();
  memcpy(guest + LONG_CODE, long_code, long_code_end - long_code);
  build_guest_tables();
  nested_pages[NESTED_LACKING / PAGE] = 0;
  segment(&vmcb->cs, 8, 0x29b, 0xffffffff);
  segment(&vmcb->ss, 16, 0xc93, 0xffffffff);
  segment(&vmcb->ds, 16, 0xc93, 0xffffffff);
  segment(&vmcb->es, 16, 0xc93, 0xffffffff);
  vmcb->efer = EFER_SVME | 0x500;
  vmcb->cr0 = 0x80010031;
  vmcb->cr4 = CR4_PAE;
  vmcb->cr3 = GUEST_TABLES;
  vmcb->rip = LONG_CODE;
  vmcb->rsp = LONG_STACK;
  registers[4] = LACKING;
  registers[3] = NESTED_LACKING;
  run_guest("64-bit mode", LONG_CODE);
  field("memory ", *(uint64_t *)(guest + LACKING));
  field(" ", *(uint64_t *)(guest + NESTED_LACKING));
  print("\n");
}

static void run_real(void) {
  prepare();
  memcpy(guest + REAL_CODE, real_code, real_code_end - real_code);
  nested_pages[REAL_LACKING / PAGE] = 0;
  segment(&vmcb->cs, 0, 0x9b, 0xffff);
  segment(&vmcb->ss, 0, 0x93, 0xffff);
  segment(&vmcb->ds, 0, 0x93, 0xffff);
  segment(&vmcb->es, 0, 0x93, 0xffff);
  vmcb->efer = EFER_SVME;
  vmcb->cr0 = 0x10;
  vmcb->rip = REAL_CODE;
  vmcb->rsp = LONG_STACK;
  run_guest("real mode", REAL_CODE);
  field("bl ", registers[0] & 0xff);
  print("\n");
}

/** A VMCB that VMRUN must refuse. */
static void run_wrong(void) {
  prepare();
  print("no ASID\n");
  vmcb->asid = 0;
  vmcb->efer = EFER_SVME;
  vmcb->cr0 = 0x10;
  svm_run(vmcb, registers);
  field("exit ", (uint32_t)vmcb->exit_code);
  print("\n");
}

void guest_main(void) {
  if (cpuid(0x80000000, 0).eax < 0x8000000a || (cpuid(0x80000001, 0).ecx & 4) == 0) {
    print("no SVM\n");
    machine_exit(EXIT_USAGE);
  }
  uint32_t features = cpuid(0x8000000a, 0).edx;
  if ((features & 1) == 0) {
    print("no nested paging\n");
    machine_exit(EXIT_USAGE);
  }
  has_next_rip = (features >> 3) & 1;
  has_decode_assists = (features >> 7) & 1;
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
  wrmsr(MSR_VM_HSAVE_PA, address_of(cleared(PAGE)));
  guest = cleared(GUEST_BYTES);
  run_long();
  run_real();
  run_wrong();
  print("done\n");
}
