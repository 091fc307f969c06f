#include "boot.h"

#include "console.h"
#include "cpu.h"
#include "exceptions.h"
#include "layout.h"

#define MIB 0x100000ull

#define CPUID_1_ECX_XSAVE (1u << 26)
#define CPUID_1_ECX_AVX (1u << 28)
#define XCR0_X87_SSE 3ull
#define XCR0_AVX 4ull

// Multiboot 1 information (specification 0.6.96, 3.3); the fields used here.
struct multiboot_info {
  uint32_t flags, mem_lower, mem_upper, boot_device, command_line;
#ifdef KEEP_MEMORY_MAP
  uint32_t modules[2], symbols[4], map_bytes, map;
#endif
};
#define MULTIBOOT_HAS_MEMORY 0x1u
#define MULTIBOOT_HAS_COMMAND_LINE 0x4u
#define MULTIBOOT_HAS_MEMORY_MAP 0x40u

// PVH start information (Xen public/arch-x86/hvm/start_info.h describes the layout).
struct pvh_start_info {
  uint32_t magic, version, flags, module_count;
  uint64_t modules, command_line, rsdp, memory_map;
  uint32_t memory_map_entries, reserved;
};
struct pvh_memory_map_entry {
  uint64_t address, size;
  uint32_t type, reserved;
};
#define PVH_MAGIC 0x336ec578u
#define PVH_RAM 1u

struct boot boot;

static void copy_command_line(const char *text, int first_word_may_be_a_file) {
  if (first_word_may_be_a_file) {
    const char *end = text;
    int file = 0;
    for (; *end && *end != ' '; end++) file |= *end == '/' || *end == '.';
    if (file) text = end;
  }
  while (*text == ' ') text++;
  int i = 0;
  while (text[i] && i < COMMAND_LINE_BYTES - 1) {
    boot.command_line[i] = text[i];
    i++;
  }
  boot.command_line[i] = 0;
}

#ifdef KEEP_MEMORY_MAP
struct multiboot_range {
  uint32_t bytes; // of what follows
  uint64_t address, size;
  uint32_t type;
} __attribute__((packed));

static void add_memory_range(uint64_t address, uint64_t size, uint32_t type) {
  if (boot.memory_ranges == MEMORY_RANGES) return;
  boot.memory_map[boot.memory_ranges++] = (struct memory_range){address, size, type};
}

static void copy_multiboot_map(uint64_t at, uint32_t bytes) {
  for (uint64_t end = at + bytes; at + sizeof(struct multiboot_range) <= end;) {
    const struct multiboot_range *range = (const struct multiboot_range *)at;
    add_memory_range(range->address, range->size, range->type);
    at += sizeof range->bytes + range->bytes;
  }
}
#endif

// Loaders may put their information anywhere in free RAM, so all of it is copied before RAM is used.
static void read_multiboot(const struct multiboot_info *info) {
  if (info->flags & MULTIBOOT_HAS_MEMORY) boot.memory_end = MIB + 1024ull * info->mem_upper;
  if (info->flags & MULTIBOOT_HAS_COMMAND_LINE) {
    copy_command_line((const char *)(uint64_t)info->command_line, 1);
  }
#ifdef KEEP_MEMORY_MAP
  if (info->flags & MULTIBOOT_HAS_MEMORY_MAP) copy_multiboot_map(info->map, info->map_bytes);
#endif
}

static void read_pvh(const struct pvh_start_info *info) {
  if (info->magic != PVH_MAGIC) return;
  if (info->version >= 1) {
    const struct pvh_memory_map_entry *map = (const struct pvh_memory_map_entry *)info->memory_map;
    for (uint32_t i = 0; i < info->memory_map_entries; i++) {
#ifdef KEEP_MEMORY_MAP
      add_memory_range(map[i].address, map[i].size, map[i].type);
#endif
      uint64_t end = map[i].address + map[i].size;
      if (map[i].type == PVH_RAM && map[i].address <= MIB && end > MIB) boot.memory_end = end;
    }
  }
  if (info->command_line) copy_command_line((const char *)info->command_line, 0);
}

// The state of the x87 and SSE units after RESET; a loader may have left another.
static void reset_floating_point(void) {
  static const uint32_t mxcsr = 0x1f80;
  __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
}

static void enable_avx(void) {
  uint32_t features = cpuid(1, 0).ecx;
  if (!(features & CPUID_1_ECX_XSAVE)) return;
  write_cr4(read_cr4() | CR4_OSXSAVE);
  uint64_t xcr0 = XCR0_X87_SSE;
  if (features & CPUID_1_ECX_AVX && cpuid(13, 0).eax & XCR0_AVX) xcr0 |= XCR0_AVX;
  xsetbv(0, xcr0);
  boot.xcr0 = xcr0;
}

void guest_start(uint32_t loader, uint64_t info) {
  console_init();
  exceptions_init();
  reset_floating_point();
  boot.loader = (int)loader;
  if (loader == BOOTED_BY_MULTIBOOT) read_multiboot((const struct multiboot_info *)info);
  if (loader == BOOTED_BY_PVH) read_pvh((const struct pvh_start_info *)info);
  enable_avx();
  guest_main();
  machine_exit(EXIT_DONE);
}
