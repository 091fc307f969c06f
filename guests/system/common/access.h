// Accesses from rings 0 and 3 to a page under test, with the kernel's own pages out of ring 3's reach. For guests of 32
// and of 64 bits.
#ifndef GUEST_ACCESS_H
#define GUEST_ACCESS_H

#include "machine.h"

#define READ 0
#define WRITE 1
#define FETCH 2
/** Added to READ, WRITE, FETCH: from ring 3. */
#define FROM_USER 4

/** What access() gives: this, a #PF's error code, or 100h + the vector of another exception. */
#define ALLOWED 0x80u

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_RSVD 8u
#define PF_I 16u
#define PF_PK 32u

/** Code of ring 3, for a page that ring 3 may run. */
extern uint8_t access_user_page[4096];

/** Says where the guest has mapped `access_user_page`. */
void access_init(unsigned long user_code);

/** A page under test must begin with this, so that fetches come back. */
void access_prepare_page(uint8_t *page);

/** One access of one byte. RFLAGS.AC is what `attempt_user_flags` says, in ring 0 too. */
unsigned access(unsigned long linear, unsigned kind);

/** A page of 4 KiB under test. Entries have 4 bytes, or 8. */
struct tested_page {
  unsigned long linear, physical;
  void *directory_entry, *table_entry;
  unsigned entry_bytes;
};

/**
 * All combinations of P, W, U, NX in both entries, WP, SMEP, SMAP, AC and rings, and the A and D bits that they leave
 * (SDM vol. 3, 4.6.1, 4.7 and 4.8). EFER.NXE must be set where there is NX.
 */
void check_rights(const struct tested_page *page);

#endif
