// Accesses from rings 0 and 3 to a page under test, with the kernel's own pages out of ring 3's reach.
#ifndef GUEST_ACCESS_H
#define GUEST_ACCESS_H

#include "machine.h"
#include "paging.h"

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

/** Code of ring 3 needs a page that ring 3 may run. */
void access_init(void);

/** A page under test must begin with this, so that fetches come back. */
void access_prepare_page(uint8_t *page);

/** One access of one byte. RFLAGS.AC is what `attempt_user_flags` says, in ring 0 too. */
unsigned access(uint64_t linear, unsigned kind);

#endif
