// Translations that a processor keeps (SDM vol. 3, 4.10): what must be gone after INVLPG, INVPCID, MOV to CR3 and CR4,
// what needs no invalidation, and, with the word `stale` on the command line, what a processor that forgets nothing
// by itself must still show (the TLB `exact` of nest86; requirement T-01). Real processors, and others here, may show
// either there.
#include "access.h"
#include "boot.h"
#include "paging.h"

#define TESTED (FREE_LINEAR_ADDRESS + 0x80000000)
#define KEEP (1ul << 63)
#define PAGE_G 0x100ul

static uint8_t page[3][4096] __attribute__((aligned(4096)));
static uint64_t *entry;
static int stale;

static unsigned load(uint64_t linear) { return *(volatile uint8_t *)(linear + 100); }

/** Points the tested page elsewhere, without telling the processor. */
static void point(int to, uint64_t more) { *entry = (uint64_t)page[to] | PAGE_P | PAGE_W | more; }

/** The translation may be old or new; a processor that forgets nothing still has the old one. */
static void check_old(const char *name, unsigned old, unsigned now) {
  unsigned got = load(TESTED);
  if (stale) check(name, got, old);
  else check(name, got == old || got == now, 1);
}

static void invlpg_and_cr3(void) {
  point(0, 0);
  invlpg(TESTED);
  check("first load", load(TESTED), 10);
  point(1, 0);
  check_old("stale: entry changed", 10, 11);
  // Another page's INVLPG leaves it.
  invlpg(TESTED + 0x200000);
  check_old("stale: INVLPG elsewhere", 10, 11);
  invlpg(TESTED + 0xfff);
  check("INVLPG of any address in the page", load(TESTED), 11);
  point(2, 0);
  write_cr3(read_cr3());
  check("MOV to CR3", load(TESTED), 12);
  point(0, 0);
  write_cr0(read_cr0() ^ CR0_TS);
  write_cr0(read_cr0() ^ CR0_TS);
  check_old("stale: MOV to CR0 that changes no paging", 12, 10);
  invlpg(TESTED);
  // Other linear addresses of one frame are independent of each other.
  check("after INVLPG", load(TESTED), 10);
}

static void global_pages(void) {
  uint64_t cr4 = read_cr4();
  write_cr4(cr4 | CR4_PGE);
  point(0, PAGE_G);
  invlpg(TESTED);
  load(TESTED);
  point(1, PAGE_G);
  write_cr3(read_cr3());
  check_old("stale: a global page after MOV to CR3", 10, 11);
  invlpg(TESTED);
  check("INVLPG of a global page", load(TESTED), 11);
  point(2, PAGE_G);
  write_cr4(cr4);
  check("CR4.PGE cleared", load(TESTED), 12);
  point(0, PAGE_G);
  write_cr4(cr4 | CR4_PGE);
  check("CR4.PGE set", load(TESTED), 10);
  write_cr4(cr4);
  // Without PGE, G means nothing.
  point(1, PAGE_G);
  invlpg(TESTED);
  load(TESTED);
  point(2, PAGE_G);
  write_cr3(read_cr3());
  check("G without CR4.PGE", load(TESTED), 12);
}

/** T-05: what forbids is not kept, and what grants more is found. */
static void no_invalidation_needed(void) {
  *entry = 0;
  invlpg(TESTED);
  check("absent", access(TESTED, READ), 0);
  point(0, 0);
  check("present after a fault", access(TESTED, READ), ALLOWED);
  *entry = (uint64_t)page[0] | PAGE_P | 1ul << 51;
  invlpg(TESTED);
  if ((cpuid(0x80000008, 0).eax & 0xff) < 52) check("reserved bit", access(TESTED, READ) & PF_RSVD, PF_RSVD);
  point(0, 0);
  check("good after a reserved bit", access(TESTED, READ), ALLOWED);
  *entry = (uint64_t)page[0] | PAGE_P;
  invlpg(TESTED);
  check("read-only", access(TESTED, WRITE), PF_P | PF_W);
  point(0, 0);
  check("writable after a fault", access(TESTED, WRITE), ALLOWED);
  // Likewise without a fault in between: the processor walks again before it faults.
  *entry = (uint64_t)page[0] | PAGE_P | 1ul << 63;
  invlpg(TESTED);
  load(TESTED);
  point(0, 0);
  check("more rights: store", access(TESTED, WRITE), ALLOWED);
  check("more rights: fetch", access(TESTED, FETCH), ALLOWED);
  check("more rights: ring 3, still none", access(TESTED, READ + FROM_USER), PF_P | PF_U);
  point(0, PAGE_U);
  check("more rights: ring 3", access(TESTED, READ + FROM_USER), ALLOWED);
  // Fewer rights need INVLPG, if the entry that is kept has D set.
  access(TESTED, WRITE);
  *entry = (uint64_t)page[0] | PAGE_P;
  unsigned got = access(TESTED, WRITE);
  if (stale) check("stale: fewer rights", got, ALLOWED);
  else check("stale: fewer rights", got == ALLOWED || got == (PF_P | PF_W), 1);
  invlpg(TESTED);
  check("fewer rights after INVLPG", access(TESTED, WRITE), PF_P | PF_W);
  // Stores of what is not present: the entry must come back before anything else looks.
  *entry = 0;
  invlpg(TESTED);
  check("absent after INVLPG", access(TESTED, READ), 0);
}

/** T-04. */
static void dirty_bits(void) {
  point(0, 0);
  invlpg(TESTED);
  load(TESTED);
  check("a load leaves D", *entry & PAGE_D, 0);
  access(TESTED, WRITE);
  check("a store behind a load sets D", *entry & PAGE_D, PAGE_D);
  *entry &= ~PAGE_D;
  access(TESTED, WRITE);
  if (stale) check("stale: D is not set again", *entry & PAGE_D, 0);
  invlpg(TESTED);
  *entry &= ~(PAGE_D | PAGE_A);
  access(TESTED, WRITE);
  check("A and D after INVLPG", *entry & (PAGE_D | PAGE_A), PAGE_D | PAGE_A);
}

static void paging_structures(void) {
  static uint64_t other_table[512] __attribute__((aligned(4096)));
  extern uint64_t boot_pml4[512];
  uint64_t *table = boot_pml4;
  for (int shift = 39; shift > 21; shift -= 9) table = (uint64_t *)(table[TESTED >> shift & 511] & PAGE_ADDRESS);
  uint64_t *directory = &table[TESTED >> 21 & 511], saved = *directory;
  point(0, 0);
  invlpg(TESTED);
  load(TESTED);
  other_table[TESTED >> 12 & 511] = (uint64_t)page[1] | PAGE_P | PAGE_W;
  *directory = (uint64_t)other_table | PAGE_P | PAGE_W | PAGE_U;
  check_old("stale: PDE changed", 10, 11);
  invlpg(TESTED);
  check("INVLPG sees another PDE", load(TESTED), 11);
  *directory = saved;
  write_cr3(read_cr3());
  check("MOV to CR3 sees another PDE", load(TESTED), 10);
  // 4.10.4.1: INVLPG drops the paging-structure caches of the PCID for all addresses.
  other_table[(TESTED >> 12 & 511) + 1] = (uint64_t)page[2] | PAGE_P | PAGE_W;
  entry[1] = (uint64_t)page[1] | PAGE_P | PAGE_W;
  *directory = (uint64_t)other_table | PAGE_P | PAGE_W | PAGE_U;
  invlpg(TESTED + 0x40000000);
  check("INVLPG elsewhere drops structure caches", load(TESTED + 4096), 12);
  *directory = saved;
  write_cr3(read_cr3());
  entry[1] = 0;
}

static void invpcid(uint64_t type, uint64_t pcid, uint64_t linear) {
  struct {
    uint64_t pcid, linear;
  } descriptor = {pcid, linear};
  ATTEMPT("invpcid %0, %1", : : "m"(descriptor), "a"(type) : "memory");
}

/** CR3 with a PCID. */
static uint64_t base;
static void enter(uint64_t pcid, uint64_t keep) { write_cr3(base | pcid | keep); }

static void process_contexts(void) {
  uint64_t cr4 = read_cr4();
  if (!(cpuid(1, 0).ecx >> 17 & 1)) {
    check_skip("PCID");
    return;
  }
  base = read_cr3() & PAGE_ADDRESS;
  ATTEMPT("movq %0, %%cr3", : : "a"(base | KEEP) : "memory");
  expect_fault("CR3 bit 63 without CR4.PCIDE", VECTOR_GP, 0);
  write_cr3(base | 0x18);
  ATTEMPT("movq %0, %%cr4", : : "a"(cr4 | CR4_PCIDE) : "memory");
  // Vol. 2, MOV CR: CR3[11:0] must be 0.
  expect_fault("CR4.PCIDE with a PCID in CR3", VECTOR_GP, 0);
  write_cr3(base);
  write_cr4(cr4 | CR4_PCIDE | CR4_PGE);
  enter(1, KEEP);
  check("CR3 bit 63 is not kept", read_cr3(), base | 1);
  point(0, 0);
  invlpg(TESTED);
  load(TESTED);
  enter(2, KEEP);
  point(1, 0);
  // PCID 2 has never seen the page.
  enter(2, 0);
  check("another PCID", load(TESTED), 11);
  enter(1, KEEP);
  check_old("stale: back in PCID 1 with bit 63", 10, 11);
  enter(1, 0);
  check("back in PCID 1 without bit 63", load(TESTED), 11);
  // MOV to CR3 without bit 63 flushes its own PCID only.
  point(2, 0);
  enter(2, KEEP);
  check_old("stale: PCID 2 was left alone", 11, 12);
  // INVLPG works on the current PCID, and on global pages.
  enter(1, KEEP);
  invlpg(TESTED);
  check("INVLPG in PCID 1", load(TESTED), 12);
  enter(2, KEEP);
  check_old("stale: INVLPG in PCID 1 leaves PCID 2", 11, 12);
  enter(2, 0);
  load(TESTED);
  // Global pages belong to all PCIDs.
  point(0, PAGE_G);
  enter(1, 0);
  invlpg(TESTED);
  load(TESTED);
  point(1, PAGE_G);
  enter(3, 0);
  check_old("stale: a global page in a fresh PCID", 10, 11);
  invlpg(TESTED);
  check("INVLPG of a global page from PCID 3", load(TESTED), 11);
  if (!(cpuid(7, 0).ebx >> 10 & 1)) {
    check_skip("INVPCID");
  } else {
    // All is gone; PCID 1 and 2 learn the page.
    invpcid(2, 0, 0);
    point(0, 0);
    enter(1, 0);
    load(TESTED);
    enter(2, 0);
    load(TESTED);
    point(1, 0);
    invpcid(0, 1, TESTED);
    expect_none("INVPCID type 0");
    check_old("stale: INVPCID 0 of PCID 1 leaves PCID 2", 10, 11);
    enter(1, KEEP);
    check("INVPCID 0 of PCID 1", load(TESTED), 11);
    point(2, 0);
    invpcid(0, 1, TESTED + 0x3000);
    check_old("stale: INVPCID 0 of another address", 11, 12);
    invpcid(1, 1, 0);
    expect_none("INVPCID type 1");
    check("INVPCID 1", load(TESTED), 12);
    // Type 1 and 3 leave global pages.
    point(0, PAGE_G);
    invlpg(TESTED);
    load(TESTED);
    point(1, PAGE_G);
    invpcid(1, 1, 0);
    check_old("stale: INVPCID 1 leaves global pages", 10, 11);
    invpcid(3, 0, 0);
    expect_none("INVPCID type 3");
    check_old("stale: INVPCID 3 leaves global pages", 10, 11);
    invpcid(2, 0, 0);
    expect_none("INVPCID type 2");
    check("INVPCID 2 drops global pages", load(TESTED), 11);
    // Type 3 takes all PCIDs.
    point(0, 0);
    invpcid(2, 0, 0);
    enter(2, 0);
    load(TESTED);
    enter(1, 0);
    load(TESTED);
    point(1, 0);
    invpcid(3, 0, 0);
    check("INVPCID 3: current PCID", load(TESTED), 11);
    enter(2, KEEP);
    check("INVPCID 3: another PCID", load(TESTED), 11);
    invpcid(4, 0, 0);
    expect_fault("INVPCID type 4", VECTOR_GP, 0);
    invpcid(1ul << 32, 0, 0);
    // bochs: looks at 32 bits.
    expect_fault("INVPCID type 2^32", VECTOR_GP, 0);
    invpcid(0, 0x1000, 0);
    expect_fault("INVPCID, reserved bits of the descriptor", VECTOR_GP, 0);
    invpcid(0, 0, 0x8000000000000000);
    expect_fault("INVPCID 0, address not canonical", VECTOR_GP, 0);
    invpcid(1, 0, 0x8000000000000000);
    expect_none("INVPCID 1 does not look at the address");
  }
  enter(0, 0);
  invlpg(TESTED);
  point(0, 0);
  load(TESTED);
  point(1, 0);
  write_cr4(cr4);
  check("CR4.PCIDE cleared", load(TESTED), 11);
  if (cpuid(7, 0).ebx >> 10 & 1) {
    invpcid(0, 1, 0);
    expect_fault("INVPCID 0 of PCID 1 without CR4.PCIDE", VECTOR_GP, 0);
    invpcid(1, 1, 0);
    expect_fault("INVPCID 1 of PCID 1 without CR4.PCIDE", VECTOR_GP, 0);
    invpcid(0, 0, TESTED);
    expect_none("INVPCID 0 of PCID 0 without CR4.PCIDE");
  }
}

/** The change of a right in a control register counts at once. */
static void control_bits(void) {
  point(0, PAGE_U);
  invlpg(TESTED);
  check("SMEP off: fetch of a user page", access(TESTED, FETCH), ALLOWED);
  if (cpuid(7, 0).ebx >> 7 & 1) {
    write_cr4(read_cr4() | CR4_SMEP);
    check("SMEP on: fetch of a user page", access(TESTED, FETCH), PF_P | PF_I);
    write_cr4(read_cr4() & ~CR4_SMEP);
    check("SMEP off again", access(TESTED, FETCH), ALLOWED);
  } else check_skip("SMEP");
  *entry = (uint64_t)page[0] | PAGE_P;
  invlpg(TESTED);
  write_cr0(read_cr0() & ~CR0_WP);
  check("WP off: store to a read-only page", access(TESTED, WRITE), ALLOWED);
  write_cr0(read_cr0() | CR0_WP);
  check("WP on: store to a read-only page", access(TESTED, WRITE), PF_P | PF_W);
  write_cr0(read_cr0() & ~CR0_WP);
  check("WP off again", access(TESTED, WRITE), ALLOWED);
  write_cr0(read_cr0() | CR0_WP);
}

/** Many pages, so that a processor with few entries must forget some: what is read is always right. */
static void many_pages(void) {
  unsigned wrong = 0;
  for (uint64_t round = 0; round < 2; round++)
    for (uint64_t i = 0; i < 3000; i++) {
      uint64_t linear = TESTED + 0x10000000 + i * 4096;
      if (round == 0) *page_entry(linear) = (uint64_t)page[i % 3] | PAGE_P | PAGE_W;
      wrong += load(linear) != 10 + i % 3;
    }
  check("3,000 pages", wrong, 0);
}

void guest_main(void) {
  machine_init();
  map_user_code();
  for (int i = 0; i < 3; i++) {
    access_prepare_page(page[i]);
    page[i][100] = (uint8_t)(10 + i);
  }
  entry = page_entry(TESTED);
  for (const char *p = boot.command_line; *p; p++) stale |= p[0] == 's' && p[1] == 't' && p[2] == 'a' && p[3] == 'l';
  invlpg_and_cr3();
  global_pages();
  no_invalidation_needed();
  dirty_bits();
  paging_structures();
  control_bits();
  process_contexts();
  many_pages();
  checks_end();
}
