// Protection keys of supervisor pages: CR4.PKS and IA32_PKRS (SDM vol. 3, 4.6.2 "Protection Keys", and 4.7 on error codes).
// Left open by the manual, and so not looked at: bit 5 of the error code where ring 3 meets a supervisor page whose key
// would refuse it as well.
#include "access.h"
#include "memory.h"
#include "paging.h"

#define TESTED (FREE_LINEAR_ADDRESS + 0x40000000)
#define MSR_PKRS 0x6e1
#define CR4_PKS (1ul << 24)
#define KEY(n) ((uint64_t)(n) << 59)
/** Of each key: bit 0 refuses all data accesses (AD), bit 1 stores (WD). Key 0 is that of the guest's own pages. */
#define AD(key) (1u << 2 * (key))
#define WD(key) (2u << 2 * (key))

extern uint64_t boot_pml4[512];

static uint8_t page[2][4096] __attribute__((aligned(4096)));
static uint8_t *large;
/** Entries that lead to TESTED: PML4E, PDPTE, PDE, PTE; and the PTE of the page behind. */
static uint64_t *entry[4], *second;
static uint64_t cr0;

static void find_entries(void) {
  second = page_entry(TESTED + 4096);
  uint64_t *table = boot_pml4;
  for (int level = 0; level < 4; level++) {
    entry[level] = &table[TESTED >> (39 - 9 * level) & 511];
    table = (uint64_t *)(*entry[level] & PAGE_ADDRESS);
  }
}

static void set(uint64_t *at, uint64_t value) {
  *at = value;
  invlpg(TESTED);
  invlpg(TESTED + 4096);
}
static void set_key(unsigned key) { set(entry[3], (uint64_t)page[0] | PAGE_P | PAGE_W | KEY(key)); }
static void set_pkrs(uint32_t value) { wrmsr(MSR_PKRS, value); }
static void write_pkru(uint32_t value) { __asm__ volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory"); }

static void __attribute__((noinline)) try_wrmsr(uint32_t low, uint32_t high) {
  ATTEMPT("wrmsr", : : "c"(MSR_PKRS), "a"(low), "d"(high) : "memory");
}
static void __attribute__((noinline)) try_rdmsr(void) { ATTEMPT("rdmsr", : : "c"(MSR_PKRS) : "memory", "rax", "rdx"); }
static void __attribute__((noinline)) try_cr4(uint64_t value) { ATTEMPT("movq %0, %%cr4", : : "r"(value) : "memory"); }

static void registers(void) {
  check("IA32_PKRS after RESET", rdmsr(MSR_PKRS), 0);
  // The register is there whether or not CR4 makes it count.
  try_wrmsr(0x89abcdec, 0);
  expect_none("WRMSR without CR4.PKS");
  check("RDMSR", rdmsr(MSR_PKRS), 0x89abcdec);
  // qemu: takes them.
  try_wrmsr(0, 1);
  expect_fault("WRMSR: bit 32", VECTOR_GP, 0);
  try_wrmsr(0, 0x80000000);
  expect_fault("WRMSR: bit 63", VECTOR_GP, 0);
  check("what was refused is not stored", rdmsr(MSR_PKRS), 0x89abcdec);
  set_key(3);
  set_pkrs(AD(3) | WD(3));
  check("keys without CR4.PKS", access(TESTED, WRITE), ALLOWED);
  write_cr4(read_cr4() | CR4_PKS);
  // Whether the TLB kept the key when nobody asked for keys is the processor's business.
  set_key(3);
  check("CR4.PKS makes them count", access(TESTED, WRITE), PF_P | PF_W | PF_PK);
  write_cr4(read_cr4() & ~CR4_PKS);
  check("CR4.PKS away", access(TESTED, WRITE), ALLOWED);
  write_cr4(read_cr4() | CR4_PKS);
}

/** AD, WD, WP, user pages, PKE with a PKRU that forbids or allows everything, rings, loads, stores and fetches. */
static void combinations(int has_pku) {
  static const unsigned kinds[] = {READ, WRITE, FETCH, READ + FROM_USER, WRITE + FROM_USER, FETCH + FROM_USER};
  static const char *const names[] = {"ring 0: load",  "ring 0: store", "ring 0: fetch",
                                      "ring 3: load",  "ring 3: store", "ring 3: fetch"};
  uint64_t first_wrong[6] = {0};
  for (unsigned i = 0; i < 4 * 2 * 2 * 3; i++) {
    unsigned bits = i & 3, wp = i >> 2 & 1, user_page = i >> 3 & 1, pkru = i >> 4;
    if (pkru && !has_pku) continue;
    write_cr0(wp ? cr0 | CR0_WP : cr0 & ~CR0_WP);
    set_pkrs(bits << 6);
    if (pkru) {
      write_cr4(read_cr4() | CR4_PKE);
      write_pkru(pkru == 1 ? 0 : 0xfffffffc);
    }
    for (unsigned k = 0; k < 6; k++) {
      unsigned what = kinds[k] & 3, user = kinds[k] & FROM_USER;
      set(entry[3], (uint64_t)page[0] | PAGE_P | PAGE_W | (user_page ? PAGE_U : 0) | KEY(3));
      unsigned error = PF_P | (what == WRITE ? PF_W : 0) | (user ? PF_U : 0) | (what == FETCH ? PF_I : 0);
      unsigned want = ALLOWED, mask = ~0u;
      if (user && !user_page) {
        want = error;
        mask = ~PF_PK;
      } else if (what != FETCH) {
        unsigned key = user_page ? (pkru == 2 ? 3 : 0) : bits;
        if (key & 1 || (key & 2 && what == WRITE && (user || wp))) want = error | PF_PK;
      }
      unsigned got = access(TESTED, kinds[k]) & mask;
      if (got != want && !first_wrong[k]) first_wrong[k] = (uint64_t)(i | 0x80) << 32 | got << 16 | want;
    }
    if (pkru) {
      write_pkru(0);
      write_cr4(read_cr4() & ~CR4_PKE);
    }
  }
  write_cr0(cr0);
  for (unsigned k = 0; k < 6; k++) check(names[k], first_wrong[k], 0);
}

static void keys(void) {
  uint64_t wrong = 0;
  for (unsigned refused = 1; refused < 16; refused++)
    for (unsigned key = 0; key < 16; key++) {
      set_pkrs(AD(refused));
      set_key(key);
      if (access(TESTED, READ) != (key == refused ? PF_P | PF_PK : ALLOWED)) wrong |= 1ul << key;
      set_pkrs(0xfffffffc & ~(AD(refused) | WD(refused)));
      if (access(TESTED, WRITE) != (key == refused || key == 0 ? ALLOWED : PF_P | PF_W | PF_PK)) wrong |= 1ul << (16 + key);
    }
  check("each key has bits of its own", wrong, 0);
  // Nothing is invalidated when IA32_PKRS changes, and nothing need be.
  set_key(5);
  wrong = 0;
  for (unsigned i = 0; i < 3000; i++) {
    set_pkrs(i % 3 == 1 ? AD(5) : i % 3 == 2 ? WD(5) : 0);
    unsigned kind = i & 1 ? WRITE : READ, error = PF_P | PF_PK | (kind == WRITE ? PF_W : 0);
    unsigned want = i % 3 == 1 || (i % 3 == 2 && kind == WRITE) ? error : ALLOWED;
    if (access(TESTED, kind) != want) wrong++;
  }
  check("IA32_PKRS changes again and again", wrong, 0);
}

static void other_refusals(void) {
  set_pkrs(WD(3));
  set(entry[3], (uint64_t)page[0] | PAGE_P | KEY(3));
  check("a key and a read-only page", access(TESTED, WRITE), PF_P | PF_W | PF_PK);
  check("a read-only page of another key", (set(entry[3], (uint64_t)page[0] | PAGE_P | KEY(2)), access(TESTED, WRITE)), PF_P | PF_W);
  set(entry[3], (uint64_t)page[0] | KEY(3));
  check("a key and an absent page", access(TESTED, WRITE), PF_W);
  set_key(3);
  // Vol. 2, CMPXCHG: it always writes. One check of rights for a store.
  ATTEMPT("lock cmpxchgb %%cl, (%0)", : : "D"(TESTED), "a"(1), "c"(2) : "memory", "cc");
  expect_fault("CMPXCHG that does not exchange", VECTOR_PF, PF_P | PF_W | PF_PK);
  check("its CR2", fault.cr2, TESTED);
  check("a refused store: not dirty", *entry[3] & PAGE_D, 0);
  ATTEMPT("incb (%0)", : : "D"(TESTED) : "memory", "cc");
  expect_fault("INC", VECTOR_PF, PF_P | PF_W | PF_PK);
  set_pkrs(AD(3));
  // qemu: a load first.
  ATTEMPT("incb (%0)", : : "D"(TESTED) : "memory", "cc");
  expect_fault("INC, no access at all", VECTOR_PF, PF_P | PF_W | PF_PK);
  ATTEMPT("prefetcht0 (%0)", : : "D"(TESTED) : "memory");
  expect_none("PREFETCHT0");
  ATTEMPT("clflush (%0)", : : "D"(TESTED) : "memory");
  // A load, as far as rights go (vol. 2, CLFLUSH). qemu: nothing at all.
  expect_fault("CLFLUSH", VECTOR_PF, PF_P | PF_PK);
  // Two pages of which the second refuses.
  *second = (uint64_t)page[1] | PAGE_P | PAGE_W | KEY(4);
  set_key(0);
  set_pkrs(WD(4));
  memset(page[0], 0x11, 4096);
  ATTEMPT("movq %1, 4092(%0)", : : "D"(TESTED), "a"(0x2222222222222222) : "memory");
  expect_fault("store over two pages", VECTOR_PF, PF_P | PF_W | PF_PK);
  check("its CR2", fault.cr2, TESTED + 4096);
  check("nothing of it was stored", *(uint32_t *)(page[0] + 4092), 0x11111111);
  ATTEMPT("rep stosb", : : "D"(TESTED + 4090), "c"(20), "a"(0x77) : "memory");
  expect_fault("REP STOS", VECTOR_PF, PF_P | PF_W | PF_PK);
  check("its CR2", fault.cr2, TESTED + 4096);
  ATTEMPT("movups 4088(%0), %%xmm0", : : "D"(TESTED) : "memory");
  expect_none("load over two pages");
  *second = 0;
  access_prepare_page(page[0]);
}

static void large_pages(void) {
  uint64_t directory = *entry[2], pointer = *entry[1];
  // Only the entry that maps a page has a key.
  set_key(2);
  set(entry[2], directory | KEY(7));
  set_pkrs(AD(7));
  write_cr3(read_cr3());
  check("a key in an entry that names a table", access(TESTED, READ), ALLOWED);
  access_prepare_page(large);
  set(entry[2], (uint64_t)large | PAGE_P | PAGE_W | PAGE_PS | KEY(7));
  check("a 2 MiB page", access(TESTED, READ), PF_P | PF_PK);
  set_pkrs(0xfffffffc & ~(AD(7) | WD(7)));
  check("a 2 MiB page, the other keys", access(TESTED, WRITE), ALLOWED);
  set(entry[2], directory);
  if (cpuid(0x80000001, 0).edx >> 26 & 1) {
    set(entry[1], PAGE_P | PAGE_W | PAGE_PS | KEY(9));
    uint64_t at = (TESTED & ~0x3ffffffful) + (uint64_t)large;
    set_pkrs(AD(9));
    ATTEMPT("movb (%0), %%al", : : "D"(at) : "memory", "rax");
    expect_fault("a 1 GiB page", VECTOR_PF, PF_P | PF_PK);
    set_pkrs(0);
    check("a 1 GiB page, its key allows it", access(at, WRITE), ALLOWED);
    set(entry[1], pointer);
  } else check_skip("1 GiB pages");
  write_cr3(read_cr3());
}

static void __attribute__((noinline)) load_fs_in_ring3(void) {
  ATTEMPT_USER_AT("movl $7, %%eax\n 770: movl %%eax, %%fs", : : : "memory", "rax");
}
static void __attribute__((noinline)) to_ring0(void) { ATTEMPT_USER("int $0x81", : : : "memory"); }

/** What the processor itself reads and writes for ring 3: descriptors and stacks are accesses of a supervisor. */
static void implicit_accesses(void) {
  identity_for_users();
  uint64_t *ldt = (uint64_t *)page[0];
  const uint64_t accessed = 1ul << 40, data = 0x00cff2000000ffff;
  descriptors[FREE_SELECTOR / 8] = 0x0000820000000007 | (TESTED & 0xffffff) << 16 | (TESTED >> 24 & 0xff) << 56;
  descriptors[FREE_SELECTOR / 8 + 1] = TESTED >> 32;
  // The guest's handlers do not need FS.
  set_pkrs(0);
  ldt[0] = data | accessed;
  set_key(6);
  __asm__ volatile("lldt %w0" : : "r"(FREE_SELECTOR));
  load_fs_in_ring3();
  expect_none("ring 3 loads FS from the LDT");
  set_pkrs(AD(6));
  load_fs_in_ring3();
  expect_fault("the LDT's key refuses it", VECTOR_PF, PF_P | PF_PK);
  check("its CR2", fault.cr2, TESTED);
  set_pkrs(WD(6));
  load_fs_in_ring3();
  expect_none("accessed already: nothing is stored");
  set_pkrs(0);
  ldt[0] = data;
  set_pkrs(WD(6));
  write_cr0(cr0 | CR0_WP);
  load_fs_in_ring3();
  // qemu: ends there, it sets the bit at CPL 3 by another way.
  expect_fault("the accessed bit is a store", VECTOR_PF, PF_P | PF_W | PF_PK);
  write_cr0(cr0 & ~CR0_WP);
  load_fs_in_ring3();
  expect_none("WP = 0 lets it");
  set_pkrs(0);
  check("the accessed bit", ldt[0], data | accessed);
  __asm__ volatile("lldt %w0\n movl %0, %%fs" : : "r"(0));

  // The stack of ring 0, where an interrupt from ring 3 stores its frame. #PF has a stack of its own.
  uint64_t rsp0 = task->rsp[0];
  gates[0x81].type = 0xee;
  gates[0x81].ist = 0;
  gates[VECTOR_PF].ist = 2;
  task->rsp[0] = TESTED + 4096;
  to_ring0();
  check("INT with a stack of key 6: vector", fault.vector, 0x81);
  set_pkrs(WD(6));
  to_ring0();
  // WP is 0.
  check("INT, WD without WP: vector", fault.vector, 0x81);
  write_cr0(cr0 | CR0_WP);
  to_ring0();
  expect_fault("INT, WD", VECTOR_PF, PF_P | PF_W | PF_PK);
  check("its CR2: the frame", fault.cr2 >> 12, TESTED >> 12);
  task->rsp[0] = rsp0;
  gates[VECTOR_PF].ist = 0;
  write_cr0(cr0);
  set_pkrs(0);
}

/** SDM vol. 3, 2.5: CR4.PKS is reserved without the feature, and the register is not there. */
static void absent(void) {
  check_skip("PKS");
  try_rdmsr();
  expect_fault("RDMSR without PKS", VECTOR_GP, 0);
  try_wrmsr(0, 0);
  expect_fault("WRMSR without PKS", VECTOR_GP, 0);
  try_cr4(read_cr4() | CR4_PKS);
  expect_fault("CR4.PKS without PKS", VECTOR_GP, 0);
}

void guest_main(void) {
  machine_init();
  map_user_code();
  access_prepare_page(page[0]);
  large = memory_take(0x200000, 0x200000);
  find_entries();
  cr0 = read_cr0();
  struct cpuid_result features = cpuid(7, 0);
  if (!(features.ecx >> 31)) {
    absent();
    checks_end();
  }
  registers();
  combinations(features.ecx >> 3 & 1);
  keys();
  other_refusals();
  large_pages();
  implicit_accesses();
  checks_end();
}
