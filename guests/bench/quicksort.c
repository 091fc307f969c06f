// Quicksort of 16,384 pseudo-random 32-bit numbers: median of three, insertion sort below 12.
#include "kernel.h"
#include "memory.h"

#define COUNT 16384
#define SHORT 12

static uint32_t *pristine, *array;

void quicksort_prepare(void) {
  pristine = memory_take(4 * COUNT, 64);
  array = memory_take(4 * COUNT, 64);
  fill_random(pristine, 4 * COUNT, 7);
}

static inline void swap(uint32_t *a, uint32_t *b) {
  uint32_t t = *a;
  *a = *b;
  *b = t;
}

__attribute__((noinline)) static void sort(uint32_t *low, uint32_t *high) { // both inclusive
  while (high - low >= SHORT) {
    uint32_t *middle = low + (high - low) / 2;
    if (*middle < *low) swap(middle, low);
    if (*high < *low) swap(high, low);
    if (*high < *middle) swap(high, middle);
    uint32_t pivot = *middle;
    uint32_t *i = low, *j = high;
    do {
      while (*i < pivot) i++;
      while (pivot < *j) j--;
      if (i <= j) swap(i++, j--);
    } while (i <= j);
    if (j - low < high - i) {
      sort(low, j);
      low = i;
    } else {
      sort(i, high);
      high = j;
    }
  }
  for (uint32_t *i = low + 1; i <= high; i++) {
    uint32_t value = *i, *j = i;
    for (; j > low && j[-1] > value; j--) *j = j[-1];
    *j = value;
  }
}

uint64_t quicksort_run(uint64_t iterations) {
  uint64_t hash = 1;
  for (uint64_t i = 0; i < iterations; i++) {
    const uint64_t *from = (const uint64_t *)pristine;
    uint64_t *to = (uint64_t *)array;
    for (int k = 0; k < COUNT / 2; k++) to[k] = from[k];
    sort(array, array + COUNT - 1);
    for (int k = 0; k < COUNT; k += 64) hash = mix(hash, array[k]);
  }
  return hash;
}
