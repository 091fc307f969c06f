#include "access.h"
#include "paging.h"

#define NX (1ull << 63)

struct rights {
  uint64_t leaf, directory;
  int wp, smep, smap, ac, has_nx;
};

static unsigned expected(const struct rights *r, unsigned kind) {
  int user = (kind & FROM_USER) != 0;
  unsigned what = kind & 3;
  unsigned error = (what == WRITE ? PF_W : 0) | (user ? PF_U : 0) | (what == FETCH && (r->has_nx || r->smep) ? PF_I : 0);
  if (!(r->leaf & PAGE_P)) return error;
  uint64_t both = r->leaf & r->directory;
  int is_user = (both & PAGE_U) != 0, writes = (both & PAGE_W) != 0, no_execute = ((r->leaf | r->directory) & NX) != 0;
  int allowed;
  if (what == FETCH) allowed = !no_execute && (user ? is_user : !(is_user && r->smep));
  else {
    allowed = user ? is_user : !(is_user && r->smap && !r->ac);
    if (what == WRITE) allowed = allowed && (writes || (!user && !r->wp));
  }
  return allowed ? ALLOWED : error | PF_P;
}

static uint64_t get_entry(const struct tested_page *page, const void *at) {
  return page->entry_bytes == 8 ? *(const volatile uint64_t *)at : *(const volatile uint32_t *)at;
}

static void set_entry(const struct tested_page *page, void *at, uint64_t value) {
  if (page->entry_bytes == 8) *(volatile uint64_t *)at = value;
  else *(volatile uint32_t *)at = (uint32_t)value;
}

void check_rights(const struct tested_page *page) {
  static const unsigned kinds[] = {READ, WRITE, FETCH, READ + FROM_USER, WRITE + FROM_USER, FETCH + FROM_USER};
  static const char *const names[] = {"ring 0: load",  "ring 0: store", "ring 0: fetch",
                                      "ring 3: load",  "ring 3: store", "ring 3: fetch"};
  uint32_t features = cpuid(7, 0).ebx;
  int has_smep = features >> 7 & 1, has_smap = features >> 20 & 1;
  int has_nx = page->entry_bytes == 8 && (cpuid(0x80000001, 0).edx >> 20 & 1);
  uint64_t before = get_entry(page, page->directory_entry), table = before & PAGE_ADDRESS;
  unsigned long cr0 = read_cr0(), cr4 = read_cr4();
  uint64_t first_wrong[6] = {0}, wrong_dirty = 0, wrong_accessed = 0;
  for (unsigned modes = 0; modes < 16; modes++) {
    struct rights r = {.has_nx = has_nx};
    r.wp = modes & 1;
    r.smep = modes >> 1 & 1;
    r.smap = modes >> 2 & 1;
    r.ac = modes >> 3 & 1;
    if ((r.smep && !has_smep) || (r.smap && !has_smap) || (r.ac && !r.smap)) continue;
    write_cr0(r.wp ? cr0 | CR0_WP : cr0 & ~CR0_WP);
    write_cr4((cr4 & ~(CR4_SMEP | CR4_SMAP)) | (r.smep ? CR4_SMEP : 0) | (r.smap ? CR4_SMAP : 0));
    attempt_user_flags = 2 | (r.ac ? FLAG_AC : 0);
    for (unsigned bits = 0; bits < 16 * 4; bits++) {
      static const uint64_t directories[] = {PAGE_P | PAGE_W | PAGE_U, PAGE_P | PAGE_U, PAGE_P | PAGE_W, PAGE_P | PAGE_W | PAGE_U | NX};
      r.leaf = (bits & 7) | (bits & 8 ? NX : 0);
      r.directory = directories[bits >> 4];
      if (!has_nx && (r.leaf | r.directory) & NX) continue;
      for (unsigned i = 0; i < 6; i++) {
        set_entry(page, page->directory_entry, table | r.directory);
        set_entry(page, page->table_entry, page->physical | r.leaf);
        invlpg(page->linear);
        unsigned want = expected(&r, kinds[i]), got = access(page->linear, kinds[i]);
        if (got != want && !first_wrong[i]) first_wrong[i] = (uint64_t)(modes | 0x80) << 40 | (uint64_t)bits << 32 | got << 16 | want;
        uint64_t leaf = get_entry(page, page->table_entry), directory = get_entry(page, page->directory_entry);
        if (((leaf & PAGE_D) != 0) != (want == ALLOWED && (kinds[i] & 3) == WRITE)) wrong_dirty++;
        if (want == ALLOWED && (leaf & directory & PAGE_A) == 0) wrong_accessed++;
      }
    }
  }
  for (unsigned i = 0; i < 6; i++) check(names[i], first_wrong[i], 0);
  check("dirty: set by stores that are allowed, by nothing else", wrong_dirty, 0);
  check("accessed: set in both tables", wrong_accessed, 0);
  attempt_user_flags = 2;
  write_cr0(cr0);
  write_cr4(cr4);
  set_entry(page, page->directory_entry, before);
  invlpg(page->linear);
}
