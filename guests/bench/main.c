// Options, the table of kernels, and the loop that runs them. ../README.md describes options and output.
#include "boot.h"
#include "console.h"
#include "cpu.h"
#include "kernel.h"
#include "layout.h"
#include "memory.h"

struct kernel {
  const char *name;
  /** At scale=100. */
  uint32_t iterations;
  /**
   * Instructions that a run executes: `fixed` + `each` per iteration; one for each iteration of REP, none for
   * an instruction that faults. verify.sh compares with QEMU's count.
   */
  uint32_t fixed, each;
  kernel_run *run;
  void (*prepare)(void);
  const char *(*unavailable)(void);
};

static const struct kernel kernels[] = {
    {"alu", 80000000, 16, 26, alu_run, NULL, NULL},
    {"call", 3000, 26, 163064, call_run, NULL, NULL},
    {"indirect-call", 3500, 25, 67968, indirect_call_run, NULL, NULL},
    {"sieve", 180, 24, 4174975, sieve_run, sieve_prepare, NULL},
    {"crc32", 1100, 19, 589837, crc32_run, crc32_prepare, NULL},
    {"quicksort", 280, 30, 1966859, quicksort_run, quicksort_prepare, NULL},
    {"sha256", 2000, 26661, 1123151, sha256_run, sha256_prepare, NULL},
    {"memcpy", 6000, 278574, 38776, memcpy_run, memcpy_prepare, NULL},
    {"rep-movs", 12000, 278572, 18338, rep_movs_run, rep_movs_prepare, NULL},
    {"chase", 1600, 22, 1280, chase_run, chase_prepare, NULL},
    {"nbody", 280000, 358, 556, nbody_run, NULL, NULL},
    {"saxpy", 15000, 147481, 6155, saxpy_run, saxpy_prepare, NULL},
    {"avx2", 5000, 49708, 6168, avx2_run, avx2_prepare, avx2_unavailable},
    {"x87", 750000, 67, 36, x87_run, NULL, NULL},
    {"tlb-miss", 1600, 163867, 21511, tlb_miss_run, tlb_miss_prepare, NULL},
    {"page-fault", 600, 2629, 99335, page_fault_run, page_fault_prepare, NULL},
    {"system-call", 2500000, 116, 36, system_call_run, system_call_prepare, NULL},
    {"blocks-2000", 4000, 43078, 13503, blocks_run, blocks_2000_prepare, NULL},
    {"blocks-20000", 60, 43078, 135003, blocks_run, blocks_20000_prepare, NULL},
};
#define KERNELS (int)(sizeof kernels / sizeof *kernels)

static uint64_t scale = 100, repeat = 1;
static int list;
/** Value of only=: names with commas between; ends at a space or at the end of the text. */
static const char *only;

static int ends_word(char c) { return c == 0 || c == ' '; }

static const char *after_prefix(const char *word, const char *prefix) {
  while (*prefix)
    if (*word++ != *prefix++) return NULL;
  return word;
}

/** Whether one of the names in `names` is `name`. */
static int contains(const char *names, const char *name) {
  for (;;) {
    const char *end = after_prefix(names, name);
    if (end && (ends_word(*end) || *end == ',')) return 1;
    while (!ends_word(*names) && *names != ',') names++;
    if (*names != ',') return 0;
    names++;
  }
}

static int selected(const struct kernel *k) { return !only || contains(only, k->name); }

static _Noreturn void usage(const char *word) {
  print("error option ");
  for (char c[2] = {0}; !ends_word(*word); word++) {
    c[0] = *word;
    print(c);
  }
  print("\n");
  machine_exit(EXIT_USAGE);
}

static uint64_t number(const char *word, const char *digits) {
  uint64_t value = 0;
  if (ends_word(*digits)) usage(word);
  for (; !ends_word(*digits); digits++) {
    if (*digits < '0' || *digits > '9' || value > 99999) usage(word);
    value = 10 * value + (uint64_t)(*digits - '0');
  }
  return value;
}

static void read_options(void) {
  const char *word = boot.command_line;
  while (*word) {
    const char *value;
    if ((value = after_prefix(word, "scale="))) scale = number(word, value);
    else if ((value = after_prefix(word, "repeat="))) repeat = number(word, value);
    else if ((value = after_prefix(word, "only="))) {
      only = value;
      int found = 0;
      for (int i = 0; i < KERNELS; i++) found |= selected(&kernels[i]);
      if (!found) usage(word);
    } else if ((value = after_prefix(word, "list")) && ends_word(*value)) list = 1;
    else usage(word);
    while (!ends_word(*word)) word++;
    while (*word == ' ') word++;
  }
}

static void print_number(const char *name, uint64_t value) {
  print(name);
  print_decimal(value);
}

static uint64_t iterations_of(const struct kernel *k) {
  uint64_t n = k->iterations * scale / 100;
  return n ? n : 1;
}

static void run(const struct kernel *k) {
  const char *reason = k->unavailable ? k->unavailable() : NULL;
  if (reason) {
    print("skip ");
    print(k->name);
    print(" ");
    print(reason);
    print("\n");
    return;
  }
  memory_reset();
  if (k->prepare) k->prepare();
  uint64_t iterations = iterations_of(k);
  for (uint64_t i = 1; i <= repeat; i++) {
    print("begin ");
    print(k->name);
    print("\n");
    uint64_t start = rdtsc();
    uint64_t checksum = k->run(iterations);
    uint64_t ticks = rdtsc() - start;
    print("end ");
    print(k->name);
    print(" checksum=");
    print_hex(checksum, 16);
    print_number(" work=", k->fixed + k->each * iterations);
    print_number(" tsc=", ticks);
    print_number(" run=", i);
    print("\n");
  }
}

void guest_main(void) {
  read_options();
  print_number("nest86-bench scale=", scale);
  print_number(" repeat=", repeat);
  print("\n");
  for (int i = 0; i < KERNELS; i++) {
    const struct kernel *k = &kernels[i];
    if (!selected(k)) continue;
    if (list) {
      print("kernel ");
      print(k->name);
      print_number(" work=", k->fixed + k->each * iterations_of(k));
      print("\n");
    } else {
      run(k);
    }
  }
  print("done\n");
}
