// What a kernel is. One file per kernel or family; the table of all is in main.c.
#ifndef BENCH_KERNEL_H
#define BENCH_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/**
 * Does the work `iterations` times (at least once) and gives a checksum of all results. Starts from the same
 * state each time it is called, and runs the same number of instructions for each iteration.
 */
typedef uint64_t kernel_run(uint64_t iterations);

kernel_run alu_run;
kernel_run call_run;
kernel_run indirect_call_run;
kernel_run sieve_run;
kernel_run crc32_run;
kernel_run quicksort_run;
kernel_run sha256_run;
kernel_run memcpy_run;
kernel_run rep_movs_run;
kernel_run chase_run;
kernel_run nbody_run;
kernel_run saxpy_run;
kernel_run avx2_run;
kernel_run x87_run;
kernel_run tlb_miss_run;
kernel_run page_fault_run;
kernel_run system_call_run;
kernel_run blocks_run;

// Untimed preparations, called once before the first run.
void sieve_prepare(void);
void crc32_prepare(void);
void quicksort_prepare(void);
void sha256_prepare(void);
void memcpy_prepare(void);
void rep_movs_prepare(void);
void chase_prepare(void);
void saxpy_prepare(void);
void avx2_prepare(void);
void tlb_miss_prepare(void);
void page_fault_prepare(void);
void system_call_prepare(void);
void blocks_2000_prepare(void);
void blocks_20000_prepare(void);

/** Why the processor cannot run the kernel, or a null pointer. */
const char *avx2_unavailable(void);

/** One step of a checksum: a bijection of `hash` for each `value`. */
static inline uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
  return hash ^ hash >> 32;
}

/** Marsaglia's xorshift with shifts 13, 7, 17: period 2^64 - 1, the state must not be 0. */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

static inline uint64_t mix_words(uint64_t hash, const void *words, size_t bytes) {
  const uint64_t *p = words;
  for (size_t i = 0; i < bytes / 8; i++) hash = mix(hash, p[i]);
  return hash;
}

static inline void fill_random(void *words, size_t bytes, uint64_t seed) {
  uint64_t *p = words;
  for (size_t i = 0; i < bytes / 8; i++) p[i] = next_random(&seed);
}

#endif
