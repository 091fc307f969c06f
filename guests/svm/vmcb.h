// The virtual machine control block (APM vol. 2, appendix B), as far as this program needs it.
#ifndef GUEST_VMCB_H
#define GUEST_VMCB_H

#include <stdint.h>

struct vmcb_segment {
  uint16_t selector, attributes;
  uint32_t limit;
  uint64_t base;
} __attribute__((packed));

struct vmcb {
  uint32_t intercept_cr, intercept_dr, intercept_exceptions, intercept1, intercept2, intercept3;
  uint8_t reserved1[0x40 - 0x18];
  uint64_t iopm_base, msrpm_base, tsc_offset;
  uint32_t asid, tlb_control;
  uint64_t virtual_interrupt, interrupt_shadow, exit_code, exit_info1, exit_info2, exit_int_info, nested_control;
  uint8_t reserved2[0xa8 - 0x98];
  uint64_t event_injection, nested_cr3;
  uint8_t reserved3[0xc8 - 0xb8];
  uint64_t next_rip;
  uint8_t reserved4[0x400 - 0xd0];
  struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
  uint8_t reserved5[0x4cb - 0x4a0];
  uint8_t cpl;
  uint32_t reserved6;
  uint64_t efer;
  uint8_t reserved7[0x548 - 0x4d8];
  uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
  uint8_t reserved8[0x5d8 - 0x580];
  uint64_t rsp;
  uint8_t reserved9[0x5f8 - 0x5e0];
  uint64_t rax;
  uint8_t reserved10[0x640 - 0x600];
  uint64_t cr2;
  uint8_t reserved11[0x668 - 0x648];
  uint64_t guest_pat;
  uint8_t reserved12[0x1000 - 0x670];
} __attribute__((packed));

_Static_assert(sizeof(struct vmcb) == 4096, "a VMCB is a page");

#define INTERCEPT1_CPUID (1u << 18)
#define INTERCEPT1_INTN (1u << 21)
#define INTERCEPT1_HLT (1u << 24)
#define INTERCEPT1_IOIO (1u << 27)
#define INTERCEPT1_MSR (1u << 28)
#define INTERCEPT1_SHUTDOWN (1u << 31)
#define INTERCEPT2_VMRUN 1u
#define INTERCEPT2_VMMCALL 2u

#define EXIT_PAGE_FAULT 0x4e
#define EXIT_VINTR 0x64
#define EXIT_CPUID 0x72
#define EXIT_SWINT 0x75
#define EXIT_HLT 0x78
#define EXIT_IOIO 0x7b
#define EXIT_MSR 0x7c
#define EXIT_VMMCALL 0x81
#define EXIT_NESTED_PAGE_FAULT 0x400

#endif
