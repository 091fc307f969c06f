// 32-bit and PAE paging: rights, large pages, PSE-36, reserved bits, accessed and dirty bits, and when PDPTEs are loaded
// (SDM vol. 3, 4.3 and 4.4).
#include "access.h"
#include "paging.h"

#define TESTED 0xd0001000u
#define USER_CODE 0xe0000000u
#define LARGE 0xf0000000u
#define NX (1ull << 63)
#define CR0_CD 0x40000000ul
#define CR0_NW 0x20000000ul
#define MSR_EFER_NXE 0x800ul
/** Physical address of the image, whose first words are the multiboot header. */
#define IMAGE 0x100000u

static volatile uint8_t page[4096] __attribute__((aligned(4096)));
static volatile uint32_t directory[1024] __attribute__((aligned(4096)));
static volatile uint32_t low_table[1024] __attribute__((aligned(4096)));
static volatile uint32_t table[1024] __attribute__((aligned(4096)));
static volatile uint32_t user_table[1024] __attribute__((aligned(4096)));
static volatile uint64_t pointers[4] __attribute__((aligned(32)));
static volatile uint64_t low_directory[512] __attribute__((aligned(4096)));
static volatile uint64_t high_directory[512] __attribute__((aligned(4096)));
static volatile uint64_t other_directory[512] __attribute__((aligned(4096)));
static volatile uint64_t pae_low_table[1024] __attribute__((aligned(4096)));
static volatile uint64_t pae_table[512] __attribute__((aligned(4096)));
static volatile uint64_t pae_user_table[512] __attribute__((aligned(4096)));

static volatile uint32_t *const leaf = &table[TESTED >> 12 & 1023];
static volatile uint64_t *const pae_leaf = &pae_table[TESTED >> 12 & 511];
static volatile uint32_t *const large_entry = &directory[LARGE >> 22];
static volatile uint64_t *const pae_entry = &high_directory[TESTED >> 21 & 511];
static volatile uint64_t *const pae_large_entry = &high_directory[LARGE >> 21 & 511];

static uint32_t image_word(uint32_t linear) { return *(volatile uint32_t *)(linear + IMAGE); }

static void paging_off(void) {
  write_cr0(read_cr0() & ~CR0_PG);
  write_cr4(read_cr4() & ~(CR4_PAE | CR4_PSE));
}

static void two_levels(void) {
  for (unsigned i = 0; i < 1024; i++) low_table[i] = i << 12 | PAGE_P | PAGE_W;
  directory[0] = (uint32_t)low_table | PAGE_P | PAGE_W;
  directory[TESTED >> 22] = (uint32_t)table | PAGE_P | PAGE_W | PAGE_U;
  directory[USER_CODE >> 22] = (uint32_t)user_table | PAGE_P | PAGE_U;
  user_table[0] = (uint32_t)access_user_page | PAGE_P | PAGE_U;
  check_group = "32-bit: ";
  // PWT and PCD of CR3 are there, its other low bits are ignored.
  write_cr3((uint32_t)directory | 0x18);
  write_cr0(read_cr0() | CR0_PG | CR0_WP);
  check("CR3", read_cr3(), (uint32_t)directory | 0x18);
  write_cr3((uint32_t)directory);

  const struct tested_page tested = {TESTED, (uint32_t)page, (void *)&directory[TESTED >> 22], (void *)leaf, 4};
  check_rights(&tested);
  *leaf = (uint32_t)page | PAGE_P | PAGE_W;
  directory[TESTED >> 22] &= ~(uint32_t)PAGE_A;
  write_cr3((uint32_t)directory);
  access(TESTED, READ);
  check("accessed: PDE", directory[TESTED >> 22] & (PAGE_A | PAGE_D), PAGE_A);
  check("accessed: PTE", *leaf & (PAGE_A | PAGE_D), PAGE_A);
  access(TESTED, WRITE);
  check("dirty: PTE", *leaf & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);
  ATTEMPT("movl %%eax, 4094(%0)", : : "D"(TESTED) : "memory");
  expect_fault("store over two pages, second absent", VECTOR_PF, PF_W);
  check("its CR2", fault.cr2, TESTED + 4096);
  directory[TESTED >> 22] &= ~(uint32_t)PAGE_P;
  write_cr3((uint32_t)directory);
  check("absent PDE", access(TESTED, WRITE), PF_W);
  check("its CR2", fault.cr2, TESTED + 32);
  directory[TESTED >> 22] |= PAGE_P;

  // Without CR4.PSE bit 7 of a PDE is ignored.
  directory[TESTED >> 22] |= PAGE_PS;
  write_cr3((uint32_t)directory);
  check("no PSE: bit 7 of a PDE", access(TESTED, READ), ALLOWED);
  directory[TESTED >> 22] &= ~(uint32_t)PAGE_PS;
  write_cr4(read_cr4() | CR4_PSE);
  *large_entry = PAGE_P | PAGE_W | PAGE_PS;
  check("a 4 MiB page", image_word(LARGE), image_word(0));
  check("a 4 MiB page: accessed, not dirty", *large_entry & (PAGE_A | PAGE_D), PAGE_A);
  *(volatile uint8_t *)(LARGE + (uint32_t)page + 200) = 0x77;
  check("a 4 MiB page: store", page[200], 0x77);
  check("a 4 MiB page: dirty", *large_entry & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);
  // Bit 12 is PAT.
  *large_entry = PAGE_P | PAGE_W | PAGE_PS | 1u << 12;
  invlpg(LARGE);
  check("a 4 MiB page: PAT", image_word(LARGE), image_word(0));
  // Bit 21 is always reserved. qemu: P of the error code is 0.
  *large_entry = PAGE_P | PAGE_W | PAGE_PS | 1u << 21;
  invlpg(LARGE);
  check("reserved: bit 21 of a 4 MiB page", access(LARGE, READ), PF_P | PF_RSVD);
  check("reserved: ring 3 stores", access(LARGE, WRITE + FROM_USER), PF_P | PF_RSVD | PF_W | PF_U);
  *large_entry = PAGE_W | PAGE_PS | 1u << 21;
  invlpg(LARGE);
  check("reserved: absent PDE", access(LARGE, READ), 0);
  if (cpuid(1, 0).edx >> 17 & 1) {
    // PSE-36: bits 13 and up are physical bits 32 and up, as far as MAXPHYADDR and 40.
    *large_entry = PAGE_P | PAGE_W | PAGE_PS | 1u << 13;
    invlpg(LARGE);
    check("PSE-36: another page above 4 GiB", image_word(LARGE) != image_word(0), 1);
    unsigned width = cpuid(0x80000008, 0).eax & 0xff;
    if (width < 40) {
      *large_entry = PAGE_P | PAGE_W | PAGE_PS | 1u << (width - 32 + 13);
      invlpg(LARGE);
      check("PSE-36: beyond MAXPHYADDR", access(LARGE, READ), PF_P | PF_RSVD);
    } else {
      *large_entry = PAGE_P | PAGE_W | PAGE_PS | 1u << 20;
      invlpg(LARGE);
      check("PSE-36: bit 39", access(LARGE, READ) & PF_RSVD, 0);
    }
  } else check_skip("PSE-36");
  // The change of PSE counts at once.
  *large_entry = PAGE_P | PAGE_W | PAGE_PS;
  invlpg(LARGE);
  image_word(LARGE);
  low_table[0] = PAGE_W;
  write_cr4(read_cr4() & ~CR4_PSE);
  // Now physical page 0 would be a table of whatever lies there; another entry shows it better.
  *large_entry = (uint32_t)low_table | PAGE_P | PAGE_W | PAGE_PS;
  invlpg(LARGE);
  check("PSE cleared: a table", image_word(LARGE), image_word(0));
  check("PSE cleared: an absent page of it", access(LARGE, READ), 0);
  low_table[0] = PAGE_P | PAGE_W;
  *large_entry = 0;
  write_cr3((uint32_t)directory);

  // Protection keys are for 4-level paging only (4.6.2).
  if (cpuid(7, 0).ecx >> 3 & 1) {
    write_cr4(read_cr4() | CR4_PKE);
    __asm__ volatile("wrpkru" : : "a"(0xffffffff), "c"(0), "d"(0));
    *leaf = (uint32_t)page | PAGE_P | PAGE_W | PAGE_U;
    invlpg(TESTED);
    check("PKE and PKRU mean nothing", access(TESTED, WRITE + FROM_USER), ALLOWED);
    __asm__ volatile("wrpkru" : : "a"(0), "c"(0), "d"(0));
    write_cr4(read_cr4() & ~CR4_PKE);
  } else check_skip("PKU");
  if (cpuid(1, 0).ecx >> 17 & 1) {
    ATTEMPT("movl %0, %%cr4", : : "a"(read_cr4() | CR4_PCIDE) : "memory");
    expect_fault("CR4.PCIDE outside long mode", VECTOR_GP, 0);
  } else check_skip("PCID");
  // qemu: takes it; nothing comes after that.
  if (!under_tcg()) {
    ATTEMPT("movl %0, %%cr0", : : "a"(read_cr0() & ~1ul) : "memory");
    expect_fault("CR0.PG without PE", VECTOR_GP, 0);
  }
  paging_off();
  // Nothing of it is left when paging comes back elsewhere.
  check("paging off", image_word(0) != 0, 1);
}

/** Loads CR3 anew, and with it the PDPTEs. */
static void load_pointers(void) { write_cr3((uint32_t)pointers); }

static void pointer_entries(void) {
  load_pointers();
  *pae_leaf = (uint32_t)page | PAGE_P | PAGE_W;
  access(TESTED, READ);
  check("PDPTE: no A bit", pointers[3], (uint32_t)high_directory | PAGE_P);
  // Vol. 3, 4.4.1: registers hold the PDPTEs; memory is read by MOV to CR3 and by some MOVs to CR0 and CR4.
  uint64_t before = pointers[3];
  pointers[3] = 0;
  invlpg(TESTED);
  // qemu: reads them at each walk.
  check("PDPTE changed, INVLPG: the old one counts", access(TESTED, READ), ALLOWED);
  load_pointers();
  check("PDPTE changed, MOV to CR3", access(TESTED, READ), 0);
  pointers[3] = before;
  check("PDPTE present again: the old one counts", access(TESTED, READ), 0);
  write_cr4(read_cr4() ^ CR4_PGE);
  check("MOV to CR4 that changes PGE loads PDPTEs", access(TESTED, READ), ALLOWED);
  write_cr4(read_cr4() ^ CR4_PGE);
  for (unsigned i = 0; i < 512; i++) other_directory[i] = high_directory[i];
  pointers[3] = (uint32_t)other_directory | PAGE_P;
  other_directory[LARGE >> 21 & 511] = PAGE_P | PAGE_W | PAGE_PS;
  high_directory[LARGE >> 21 & 511] = 0;
  check("another directory: the old one counts", access(LARGE, READ), 0);
  write_cr0(read_cr0() ^ CR0_TS);
  // bochs: it does.
  check("MOV to CR0 that changes TS loads none", access(LARGE, READ), 0);
  // CD and NW do (vol. 3, 4.4.1).
  write_cr0(read_cr0() | CR0_CD);
  check("MOV to CR0 that changes CD loads PDPTEs", image_word(LARGE), image_word(0));
  write_cr0((read_cr0() & ~CR0_CD) ^ CR0_TS);
  pointers[3] = before;
  load_pointers();

  // Reserved bits: 2:1, 8:5, and from MAXPHYADDR on; all are of PDPTEs that are present.
  static const uint64_t reserved[] = {1ull << 1, 1ull << 2, 1ull << 5, 1ull << 8, 1ull << 62, NX};
  static const char *const names[] = {"PDPTE bit 1", "PDPTE bit 2", "PDPTE bit 5", "PDPTE bit 8", "PDPTE bit 62", "PDPTE bit 63"};
  for (unsigned i = 0; i < sizeof reserved / sizeof *reserved; i++) {
    pointers[2] = (uint32_t)high_directory | PAGE_P | reserved[i];
    ATTEMPT("movl %0, %%cr3", : : "a"(pointers) : "memory");
    // qemu: takes them all.
    expect_fault(names[i], VECTOR_GP, 0);
  }
  check("nothing was loaded", access(TESTED - 0x40000000, READ), 0);
  pointers[2] = (uint32_t)high_directory | 0xfe;
  ATTEMPT("movl %0, %%cr3", : : "a"(pointers) : "memory");
  expect_none("an absent PDPTE has no reserved bits");
  pointers[2] = (uint32_t)high_directory | PAGE_P | 0xe18;
  ATTEMPT("movl %0, %%cr3", : : "a"(pointers) : "memory");
  expect_none("PDPTE: PWT, PCD, ignored bits");
  check("two PDPTEs of one directory", access(TESTED - 0x40000000, READ), ALLOWED);
  // CR3 bits 11:5 belong to the table's address here.
  static uint64_t shifted[12] __attribute__((aligned(64)));
  for (unsigned i = 0; i < 4; i++) shifted[4 + i] = pointers[i];
  shifted[6] = 0;
  write_cr3((uint32_t)(shifted + 4));
  check("CR3: a multiple of 32", access(TESTED, READ), ALLOWED);
  check("CR3: the third PDPTE is another", access(TESTED - 0x40000000, READ), 0);
  pointers[2] = 0;
  load_pointers();
  // Paging that begins with bad ones.
  write_cr0(read_cr0() & ~CR0_PG);
  pointers[2] = PAGE_P | PAGE_W;
  load_pointers();
  ATTEMPT("movl %0, %%cr0", : : "a"(read_cr0() | CR0_PG) : "memory");
  expect_fault("CR0.PG with a bad PDPTE", VECTOR_GP, 0);
  check("CR0.PG is still 0", read_cr0() & CR0_PG, 0);
  pointers[2] = 0;
  write_cr0(read_cr0() | CR0_PG);
}

static void three_levels(void) {
  for (unsigned i = 0; i < 1024; i++) pae_low_table[i] = i << 12 | PAGE_P | PAGE_W;
  low_directory[0] = (uint32_t)pae_low_table | PAGE_P | PAGE_W;
  low_directory[1] = (uint32_t)(pae_low_table + 512) | PAGE_P | PAGE_W;
  *pae_entry = (uint32_t)pae_table | PAGE_P | PAGE_W | PAGE_U;
  high_directory[USER_CODE >> 21 & 511] = (uint32_t)pae_user_table | PAGE_P | PAGE_U;
  pae_user_table[0] = (uint32_t)access_user_page | PAGE_P | PAGE_U;
  pointers[0] = (uint32_t)low_directory | PAGE_P;
  pointers[3] = (uint32_t)high_directory | PAGE_P;
  check_group = "PAE: ";
  int has_nx = cpuid(0x80000001, 0).edx >> 20 & 1;
  if (has_nx) wrmsr(MSR_EFER, rdmsr(MSR_EFER) | MSR_EFER_NXE);
  write_cr4(read_cr4() | CR4_PAE);
  write_cr3((uint32_t)pointers);
  write_cr0(read_cr0() | CR0_PG);
  const struct tested_page tested = {TESTED, (uint32_t)page, (void *)pae_entry, (void *)pae_leaf, 8};
  check_rights(&tested);
  *pae_leaf = (uint32_t)page | PAGE_P | PAGE_W;
  *pae_entry &= ~PAGE_A;
  load_pointers();
  access(TESTED, READ);
  check("accessed: PDE", *pae_entry & (PAGE_A | PAGE_D), PAGE_A);
  check("accessed: PTE", *pae_leaf & (PAGE_A | PAGE_D), PAGE_A);
  access(TESTED, WRITE);
  check("dirty: PTE", *pae_leaf & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);

  // CR4.PSE is not asked.
  *pae_large_entry = PAGE_P | PAGE_W | PAGE_PS;
  check("a 2 MiB page", image_word(LARGE), image_word(0));
  check("a 2 MiB page: accessed, not dirty", *pae_large_entry & (PAGE_A | PAGE_D), PAGE_A);
  *(volatile uint8_t *)(LARGE + (uint32_t)page + 200) = 0x78;
  check("a 2 MiB page: dirty", *pae_large_entry & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);
  unsigned width = cpuid(0x80000008, 0).eax & 0xff;
  static const struct {
    const char *name;
    uint64_t bit;
  } bits[] = {{"bit 13 of a 2 MiB page", 1ull << 13}, {"bit 20 of a 2 MiB page", 1ull << 20}, {"bit 51 of a 2 MiB page", 1ull << 51},
              {"bit 52 of a 2 MiB page", 1ull << 52}, {"bit 62 of a 2 MiB page", 1ull << 62}};
  for (unsigned i = 0; i < sizeof bits / sizeof *bits; i++) {
    if (bits[i].bit == 1ull << 51 && width == 52) continue;
    *pae_large_entry = PAGE_P | PAGE_W | PAGE_PS | bits[i].bit;
    invlpg(LARGE);
    // qemu: P of the error code is 0, and bits 62:52 are ignored.
    check(bits[i].name, access(LARGE, READ), PF_P | PF_RSVD);
  }
  *pae_large_entry = 0;
  invlpg(LARGE);
  *pae_leaf = (uint32_t)page | PAGE_P | PAGE_W | 1ull << 59;
  invlpg(TESTED);
  // Where 4-level paging has protection keys.
  check("bit 59 of a PTE", access(TESTED, READ), PF_P | PF_RSVD);
  *pae_leaf = (uint32_t)page | PAGE_P | PAGE_W;
  uint64_t before = *pae_entry;
  *pae_entry = before | 1ull << 52;
  load_pointers();
  check("bit 52 of a PDE", access(TESTED, READ), PF_P | PF_RSVD);
  *pae_entry = before;
  load_pointers();
  if (width > 32 && width < 52) {
    *pae_leaf = (uint32_t)page | PAGE_P | PAGE_W | 1ull << width;
    invlpg(TESTED);
    check("PTE, first bit beyond MAXPHYADDR", access(TESTED, READ), PF_P | PF_RSVD);
    *pae_leaf = (uint32_t)page | PAGE_P | PAGE_W | 1ull << 32;
    invlpg(TESTED);
    check("PTE, above 4 GiB", access(TESTED, READ) & PF_RSVD, 0);
  }
  if (has_nx) {
    *pae_leaf = (uint32_t)page | PAGE_P | PAGE_W | NX;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)MSR_EFER_NXE);
    invlpg(TESTED);
    check("bit 63 without NXE", access(TESTED, READ), PF_P | PF_RSVD);
    *pae_leaf = 0;
    invlpg(TESTED);
    check("error code: no I/D without NXE and SMEP", access(TESTED, FETCH), 0);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | MSR_EFER_NXE);
    check("error code: I/D with NXE", access(TESTED, FETCH), PF_I);
  } else check_skip("NX");
  pointer_entries();
  paging_off();
}

void guest_main(void) {
  access_init(USER_CODE);
  access_prepare_page((uint8_t *)page);
  // A loader may leave caches off, as after RESET.
  write_cr0(read_cr0() & ~(CR0_CD | CR0_NW));
  two_levels();
  three_levels();
  check_group = "";
  checks_end();
}
