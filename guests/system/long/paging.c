// 4-level paging: rights, reserved bits, accessed and dirty bits, SMEP, SMAP, protection keys (SDM vol. 3, ch. 4).
#include "access.h"
#include "memory.h"
#include "paging.h"

#define TESTED (FREE_LINEAR_ADDRESS + 0x40000000)
#define NX (1ul << 63)

extern uint64_t boot_pml4[512];

static uint8_t page[2][4096] __attribute__((aligned(4096)));
static uint8_t *large;
/** Entries that lead to TESTED: PML4E, PDPTE, PDE, PTE. */
static uint64_t *entry[4];
static int has_smap, has_pku;

static void find_entries(void) {
  page_entry(TESTED);
  uint64_t *table = boot_pml4;
  for (int level = 0; level < 4; level++) {
    entry[level] = &table[TESTED >> (39 - 9 * level) & 511];
    table = (uint64_t *)(*entry[level] & PAGE_ADDRESS);
  }
}

static void set(uint64_t *at, uint64_t value) {
  *at = value;
  invlpg(TESTED);
}

static void rights(void) {
  const struct tested_page tested = {TESTED, (uint64_t)page[0], entry[2], entry[3], 8};
  check_rights(&tested);
}

static void accessed_and_dirty(void) {
  for (int level = 0; level < 3; level++) *entry[level] &= ~PAGE_A;
  set(entry[3], (uint64_t)page[0] | PAGE_P | PAGE_W);
  write_cr3(read_cr3());
  access(TESTED, READ);
  for (int level = 0; level < 4; level++) {
    static const char *const names[] = {"accessed: PML4E", "accessed: PDPTE", "accessed: PDE", "accessed: PTE"};
    check(names[level], *entry[level] & (PAGE_A | (level == 3 ? PAGE_D : 0)), PAGE_A);
  }
  access(TESTED, WRITE);
  check("dirty: a store after a load", *entry[3] & PAGE_D, PAGE_D);
  set(entry[3], (uint64_t)page[0] | PAGE_P | PAGE_W);
  ATTEMPT("lock cmpxchgb %%cl, (%0)", : : "D"(TESTED), "a"(1), "c"(2) : "memory", "cc");
  // Vol. 2, CMPXCHG: it always writes.
  check("dirty: CMPXCHG that does not exchange", *entry[3] & PAGE_D, PAGE_D);
  set(entry[3], (uint64_t)page[0] | PAGE_P);
  ATTEMPT("cmpxchgb %%cl, (%0)", : : "D"(TESTED), "a"(1), "c"(2) : "memory", "cc");
  expect_fault("CMPXCHG that does not exchange, read-only page", VECTOR_PF, PF_P | PF_W);
  // The manual's order is read, then write; both in one check of rights for a store.
  ATTEMPT("incb (%0)", : : "D"(TESTED) : "memory", "cc");
  expect_fault("INC of a read-only page is a write", VECTOR_PF, PF_P | PF_W);
  set(entry[3], 0);
  ATTEMPT("incb (%0)", : : "D"(TESTED) : "memory", "cc");
  // qemu: error code 0, it reads first.
  expect_fault("INC of an absent page is a write", VECTOR_PF, PF_W);
  ATTEMPT("prefetchw (%0)", : : "D"(TESTED) : "memory");
  expect_none("PREFETCHW of an absent page");
  set(entry[3], (uint64_t)page[0] | PAGE_P | PAGE_W);
  ATTEMPT("prefetchw (%0)", : : "D"(TESTED) : "memory");
  check("dirty: PREFETCHW sets none", *entry[3] & PAGE_D, 0);
}

/** qemu: P of the error code is 0. Vol. 3, 4.7: RSVD goes with P = 1. */
static void reserved_bits(void) {
  uint64_t physical = (uint64_t)page[0];
  unsigned width = cpuid(0x80000008, 0).eax & 0xff;
  if (width < 52) {
    set(entry[3], physical | PAGE_P | PAGE_W | PAGE_U | 1ul << 51);
    check("reserved: PTE bit 51, load", access(TESTED, READ), PF_P | PF_RSVD);
    check("reserved: PTE bit 51, ring 3 stores", access(TESTED, WRITE + FROM_USER), PF_P | PF_RSVD | PF_W | PF_U);
    set(entry[3], physical | PAGE_P | 1ul << width);
    check("reserved: PTE, first bit beyond MAXPHYADDR", access(TESTED, READ), PF_P | PF_RSVD);
    // An absent entry has no reserved bits.
    set(entry[3], physical | 1ul << 51);
    check("reserved: absent PTE", access(TESTED, READ), 0);
    uint64_t directory = *entry[2];
    set(entry[3], physical | PAGE_P);
    set(entry[2], directory | 1ul << 51);
    check("reserved: PDE bit 51", access(TESTED, READ), PF_P | PF_RSVD);
    set(entry[2], directory);
  } else check_skip("reserved: bit 51");
  // An entry above that is absent hides it.
  uint64_t efer = rdmsr(MSR_EFER);
  wrmsr(MSR_EFER, efer & ~0x800ul);
  set(entry[3], physical | PAGE_P | PAGE_W | NX);
  check("reserved: bit 63 without EFER.NXE", access(TESTED, READ), PF_P | PF_RSVD);
  set(entry[3], 0);
  check("error code: no I/D without NXE and SMEP", access(TESTED, FETCH), 0);
  wrmsr(MSR_EFER, efer);
  check("error code: I/D with NXE", access(TESTED, FETCH), PF_I);
  set(entry[3], physical | PAGE_P);
  uint64_t top = *entry[0];
  set(entry[0], top | PAGE_PS);
  check("reserved: PML4E.PS", access(TESTED, READ), PF_P | PF_RSVD);
  set(entry[0], top);
  uint64_t directory = *entry[2];
  set(entry[2], (uint64_t)large | PAGE_P | PAGE_W | PAGE_PS | 1ul << 13);
  check("reserved: bit 13 of a 2 MiB page", access(TESTED, READ), PF_P | PF_RSVD);
  set(entry[2], (uint64_t)large | PAGE_P | PAGE_W | PAGE_PS | 1ul << 20);
  check("reserved: bit 20 of a 2 MiB page", access(TESTED, READ), PF_P | PF_RSVD);
  // Bit 12 is PAT there.
  set(entry[2], (uint64_t)large | PAGE_P | PAGE_W | PAGE_PS | 1ul << 12);
  check("PAT of a 2 MiB page", access(TESTED, READ), ALLOWED);
  set(entry[2], (uint64_t)large | PAGE_P | PAGE_W | PAGE_PS);
  access_prepare_page(large + 0x1000);
  large[0x12345] = 0x5a;
  check("a 2 MiB page", *(volatile uint8_t *)(TESTED + 0x12345), 0x5a);
  check("a 2 MiB page: accessed, not dirty", *entry[2] & (PAGE_A | PAGE_D), PAGE_A);
  access(TESTED + 0x1000, WRITE);
  check("a 2 MiB page: dirty", *entry[2] & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);
  set(entry[2], directory);
  if (cpuid(0x80000001, 0).edx >> 26 & 1) {
    uint64_t pointer = *entry[1];
    set(entry[1], PAGE_P | PAGE_W | PAGE_PS);
    check("a 1 GiB page", *(volatile uint8_t *)((TESTED & ~0x3ffffffful) + (uint64_t)large + 0x12345), 0x5a);
    check("a 1 GiB page: accessed", *entry[1] & (PAGE_A | PAGE_D), PAGE_A);
    set(entry[1], PAGE_P | PAGE_W | PAGE_PS | 1ul << 13);
    check("reserved: bit 13 of a 1 GiB page", access(TESTED, READ), PF_P | PF_RSVD);
    set(entry[1], pointer);
  } else check_skip("1 GiB pages");
  // Absence at each level.
  for (int level = 0; level < 3; level++) {
    static const char *const names[] = {"absent PML4E", "absent PDPTE", "absent PDE"};
    uint64_t saved = *entry[level];
    set(entry[level], saved & ~PAGE_P);
    check(names[level], access(TESTED, WRITE), PF_W);
    check("its CR2", fault.cr2, TESTED + 32);
    set(entry[level], saved);
  }
}

/** Operands that lie on two pages: nothing is written if one of them faults, and CR2 names the page that did. */
static void page_crossing(void) {
  uint64_t *second = page_entry(TESTED + 4096);
  set(entry[3], (uint64_t)page[0] | PAGE_P | PAGE_W);
  *second = 0;
  invlpg(TESTED + 4096);
  memset(page[0], 0x11, 4096);
  memset(page[1], 0x11, 4096);
  ATTEMPT("movq %1, 4092(%0)", : : "D"(TESTED), "a"(0x2222222222222222) : "memory");
  expect_fault("store over two pages, second absent", VECTOR_PF, PF_W);
  check("its CR2", fault.cr2, TESTED + 4096);
  check("nothing of it was stored", *(uint32_t *)(page[0] + 4092), 0x11111111);
  ATTEMPT("movq 4092(%0), %%rax", : : "D"(TESTED) : "memory", "rax");
  expect_fault("load over two pages, second absent", VECTOR_PF, 0);
  check("its CR2", fault.cr2, TESTED + 4096);
  *second = (uint64_t)page[1] | PAGE_P;
  invlpg(TESTED + 4096);
  ATTEMPT("movups %%xmm0, 4088(%0)", : : "D"(TESTED) : "memory");
  expect_fault("store over two pages, second read-only", VECTOR_PF, PF_P | PF_W);
  *second = (uint64_t)page[1] | PAGE_P | PAGE_W;
  set(entry[3], 0);
  invlpg(TESTED + 4096);
  ATTEMPT("movq %1, 4092(%0)", : : "D"(TESTED), "a"(0x2222222222222222) : "memory");
  expect_fault("store over two pages, first absent", VECTOR_PF, PF_W);
  check("its CR2", fault.cr2, TESTED + 4092);
  check("nothing of it was stored", *(uint32_t *)page[1], 0x11111111);
  // PUSH, CALL and ENTER leave RSP where it was.
  ATTEMPT_AT("movq %%rsp, %%rcx\n leaq 4096(%0), %%rsp\n 770: pushq $0", : : "D"(TESTED) : "memory", "rcx");
  attempt_recovery = 0;
  check("PUSH to an absent page, #PF on IST: vector", fault.vector, VECTOR_PF);
  check("PUSH to an absent page: RSP", fault.rsp, TESTED + 4096);
  ATTEMPT_AT("leaq 4096(%0), %%rsp\n 770: call 1f\n 1:", : : "D"(TESTED) : "memory");
  attempt_recovery = 0;
  check("CALL with an absent stack: RSP", fault.rsp, TESTED + 4096);
  check("CALL with an absent stack: RIP", fault.rip, attempt_start);
  // REP MOVS stops at the page, its registers say where.
  set(entry[3], (uint64_t)page[0] | PAGE_P | PAGE_W);
  *second = 0;
  invlpg(TESTED + 4096);
  ATTEMPT("rep stosb\n 1:", : : "D"(TESTED + 4090), "c"(20), "a"(0x77) : "memory");
  expect_fault("REP STOS into an absent page", VECTOR_PF, PF_W);
  // qemu: the store over two pages above had written its first half.
  check("REP STOS: six bytes are stored", *(uint16_t *)(page[0] + 4094) | page[0][4089] << 16, 0x117777);
  *second = 0;
}

static void supervisor_of_users(void) {
  if (!has_smap) {
    check_skip("SMAP");
    return;
  }
  set(entry[3], (uint64_t)page[0] | PAGE_P | PAGE_W | PAGE_U);
  access_prepare_page(page[0]);
  write_cr4(read_cr4() | CR4_SMAP);
  ATTEMPT("movb (%0), %%al", : : "D"(TESTED) : "memory", "rax");
  expect_fault("SMAP: load", VECTOR_PF, PF_P);
  ATTEMPT_AT("stac\n 770: movb (%0), %%al\n clac", : : "D"(TESTED) : "memory", "rax", "cc");
  expect_none("SMAP: load after STAC");
  ATTEMPT_AT("stac\n clac\n 770: movb (%0), %%al", : : "D"(TESTED) : "memory", "rax", "cc");
  expect_fault("SMAP: load after CLAC", VECTOR_PF, PF_P);
  write_cr4(read_cr4() & ~CR4_SMAP);
  ATTEMPT_AT("770: stac\n clac", : : : "memory", "cc");
  expect_none("STAC and CLAC without CR4.SMAP");
}

static uint32_t read_pkru(void) {
  uint32_t value;
  __asm__ volatile("xorl %%ecx, %%ecx\n rdpkru" : "=a"(value) : : "ecx", "edx");
  return value;
}
static void write_pkru(uint32_t value) { __asm__ volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory"); }

/** SDM vol. 3, 4.6.2. */
static void protection_keys(void) {
  if (!has_pku) {
    check_skip("PKU");
    return;
  }
  ATTEMPT("rdpkru", : : "c"(0) : "memory", "rax", "rdx");
  expect_fault("RDPKRU without CR4.PKE", VECTOR_UD, 0);
  write_cr4(read_cr4() | CR4_PKE);
  ATTEMPT("rdpkru", : : "c"(1) : "memory", "rax", "rdx");
  expect_fault("RDPKRU with ECX = 1", VECTOR_GP, 0);
  ATTEMPT("wrpkru", : : "a"(0), "c"(0), "d"(1) : "memory");
  expect_fault("WRPKRU with EDX = 1", VECTOR_GP, 0);
  write_pkru(0x1234);
  check("PKRU", read_pkru(), 0x1234);
  unsigned wrong = 0, first = 0;
  uint64_t cr0 = read_cr0();
  for (unsigned i = 0; i < 4 * 2 * 2 * 6; i++) {
    unsigned bits = i & 3, wp = i >> 2 & 1, user_page = i >> 3 & 1, what = (i >> 4) % 3, user = (i >> 4) / 3;
    write_cr0(wp ? cr0 | CR0_WP : cr0 & ~CR0_WP);
    write_pkru(bits << 6);
    set(entry[3], (uint64_t)page[0] | PAGE_P | PAGE_W | (user_page ? PAGE_U : 0) | 3ul << 59);
    unsigned error = (what == WRITE ? PF_W : 0) | (user ? PF_U : 0) | (what == FETCH ? PF_I : 0);
    unsigned want = ALLOWED;
    if (user && !user_page) want = error | PF_P;
    else if (user_page && what != FETCH) {
      if (bits & 1) want = error | PF_P | PF_PK;
      else if (bits & 2 && what == WRITE && (user || wp)) want = error | PF_P | PF_PK;
    }
    unsigned got = access(TESTED, what + (user ? FROM_USER : 0));
    if (got != want && !wrong++) first = i << 24 | got << 12 | want;
  }
  // bochs: refuses supervisor pages as well.
  check("protection keys: all combinations", first, 0);
  // A key's refusal and the page's own: both bits.
  write_pkru(3u << 6);
  set(entry[3], (uint64_t)page[0] | PAGE_P | PAGE_U | 3ul << 59);
  check("protection key and read-only page", access(TESTED, WRITE + FROM_USER), PF_P | PF_W | PF_U | PF_PK);
  set(entry[3], (uint64_t)page[0] | PAGE_U | 3ul << 59);
  check("protection key and absent page", access(TESTED, WRITE + FROM_USER), PF_W | PF_U);
  write_cr0(cr0);
  write_pkru(0);
  write_cr4(read_cr4() & ~CR4_PKE);
}

void guest_main(void) {
  machine_init();
  map_user_code();
  access_prepare_page(page[0]);
  large = memory_take(0x200000, 0x200000);
  find_entries();
  // A fault of the stack's own page needs another stack.
  gates[VECTOR_PF].ist = 2;
  struct cpuid_result features = cpuid(7, 0);
  has_smap = features.ebx >> 20 & 1;
  has_pku = features.ecx >> 3 & 1;
  rights();
  accessed_and_dirty();
  access_prepare_page(page[0]);
  reserved_bits();
  page_crossing();
  access_prepare_page(page[0]);
  supervisor_of_users();
  access_prepare_page(page[0]);
  protection_keys();
  checks_end();
}
