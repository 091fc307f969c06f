// Single instructions that C cannot say.
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include <stdint.h>

#define MSR_EFER 0xc0000080u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_SFMASK 0xc0000084u
#define MSR_KERNEL_GS_BASE 0xc0000102u

#define EFER_SCE 0x1u

#define CR0_MP 0x2ul
#define CR0_EM 0x4ul
#define CR0_TS 0x8ul
#define CR0_NE 0x20ul
#define CR0_WP 0x10000ul
#define CR0_AM 0x40000ul
#define CR0_PG 0x80000000ul

#define CR4_PSE 0x10ul
#define CR4_PAE 0x20ul
#define CR4_PGE 0x80ul
#define CR4_PCIDE (1ul << 17)
#define CR4_OSXSAVE (1ul << 18)
#define CR4_SMEP (1ul << 20)
#define CR4_SMAP (1ul << 21)
#define CR4_PKE (1ul << 22)

struct cpuid_result {
  uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf) {
  struct cpuid_result r;
  __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
  return r;
}

static inline void outb(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline uint64_t rdtsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return ((uint64_t)high << 32) | low;
}

static inline uint64_t rdmsr(uint32_t msr) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
  return ((uint64_t)high << 32) | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value) {
  __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

// Control registers are as wide as the code that reads them.
static inline unsigned long read_cr0(void) {
  unsigned long value;
  __asm__ volatile("mov %%cr0, %0" : "=r"(value) : : "memory");
  return value;
}

static inline unsigned long read_cr2(void) {
  unsigned long value;
  __asm__ volatile("mov %%cr2, %0" : "=r"(value) : : "memory");
  return value;
}

static inline unsigned long read_cr3(void) {
  unsigned long value;
  __asm__ volatile("mov %%cr3, %0" : "=r"(value) : : "memory");
  return value;
}

static inline unsigned long read_cr4(void) {
  unsigned long value;
  __asm__ volatile("mov %%cr4, %0" : "=r"(value) : : "memory");
  return value;
}

static inline void write_cr0(unsigned long value) { __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory"); }

static inline void write_cr3(unsigned long value) { __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory"); }

static inline void write_cr4(unsigned long value) { __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory"); }

static inline uint64_t xgetbv(uint32_t index) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
  return ((uint64_t)high << 32) | low;
}

static inline void xsetbv(uint32_t index, uint64_t value) {
  __asm__ volatile("xsetbv" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void invlpg(unsigned long address) {
  __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

#endif
