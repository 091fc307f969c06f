#include "acpi.h"

#include "clocks.h"
#include "memory.h"
#include "physical.h"
#include "ports.h"
#include "say.h"

// The root pointer lies in the BIOS area, at a multiple of 16 bytes.
#define SEARCH_FROM 0xe0000ull
#define SEARCH_TO 0x100000ull

#define SLP_TYP_SHIFT 10
#define SLP_EN 0x2000
#define SMALLEST_S5 9 // name, PackageOp, length, count, BytePrefix, value

struct root_pointer {
  char signature[8];
  uint8_t checksum;
  char oem[6];
  uint8_t revision;
  uint32_t rsdt;
  // From revision 2 on:
  uint32_t length;
  uint64_t xsdt;
} __attribute__((packed));
#define ROOT_POINTER_1_BYTES 20

struct table {
  char signature[4];
  uint32_t length;
  uint8_t revision, checksum;
  char oem[14];
  uint32_t oem_revision, creator, creator_revision;
  uint8_t content[];
} __attribute__((packed));

struct fixed_description {
  struct table header;
  uint32_t firmware_control, dsdt;
  uint8_t reserved0[12];
  uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, timer;
  uint8_t reserved1[28];
  uint8_t century;
} __attribute__((packed));
_Static_assert(offsetof(struct fixed_description, timer) == 76, "ACPI 6.5, table 5.9");
_Static_assert(offsetof(struct fixed_description, century) == 108, "ACPI 6.5, table 5.9");

struct interrupt_controllers {
  struct table header;
  uint32_t local_apic, flags;
  uint8_t entries[];
} __attribute__((packed));
#define ENTRY_LOCAL_APIC 0
#define ENTRY_IO_APIC 1
#define PROCESSOR_ENABLED 1

struct event_timer {
  struct table header;
  uint32_t id;
  uint8_t address_space[4];
  uint64_t address;
} __attribute__((packed));

struct acpi acpi = {.revision = -1};

/** All bytes of a table, its checksum among them, add up to 0. */
static int adds_up(const void *bytes, uint32_t count) {
  const uint8_t *p = bytes;
  uint8_t sum = 0;
  while (count--) sum += *p++;
  return sum == 0;
}

static const struct root_pointer *find_root(void) {
  for (uint64_t at = SEARCH_FROM; at < SEARCH_TO; at += 16) {
    const struct root_pointer *root = (const struct root_pointer *)at;
    if (!memcmp(root->signature, "RSD PTR ", 8) && adds_up(root, ROOT_POINTER_1_BYTES)) return root;
  }
  return 0;
}

/** The table at a physical address, or a null pointer if it is damaged. */
static const struct table *table_at(uint64_t address) {
  const struct table *header = physical(address, sizeof *header);
  const struct table *table = physical(address, header->length);
  return adds_up(table, table->length) ? table : 0;
}

/**
 * SLP_TYP from the package \_S5. The DSDT is a program in a byte code, AML. An interpreter of it would be larger than
 * all of this guest, so this looks for what compilers make of `Name (\_S5, Package (4) {N, …})`.
 */
static void find_sleep_type(const struct table *dsdt) {
  const uint8_t *p = dsdt->content, *end = (const uint8_t *)dsdt + dsdt->length;
  for (; p + SMALLEST_S5 <= end; p++) {
    if (memcmp(p, "_S5_", 4) || p[4] != 0x12) continue; // PackageOp
    p += 5;
    p += 1 + (*p >> 6); // its length: two bits say how many bytes follow the first
    p++;                // how many elements
    acpi.sleep_type = (*p == 0x0a ? p[1] : *p) & 7; // BytePrefix and a byte; ZeroOp is 0, OneOp is 1
    return;
  }
}

static void read_fixed(const struct fixed_description *fixed) {
  acpi.timer_port = (uint16_t)fixed->timer;
  acpi.control_port = (uint16_t)fixed->pm1a_control;
  acpi.century = fixed->century;
  const struct table *dsdt = table_at(fixed->dsdt);
  if (dsdt) find_sleep_type(dsdt);
}

static void read_controllers(const struct interrupt_controllers *table) {
  acpi.local_apic = table->local_apic;
  const uint8_t *end = (const uint8_t *)table + table->header.length;
  for (const uint8_t *entry = table->entries; entry + 2 <= end && entry[1]; entry += entry[1]) {
    uint32_t word;
    memcpy(&word, entry + 4, 4);
    if (entry[0] == ENTRY_IO_APIC && !acpi.io_apic) acpi.io_apic = word;
    if (entry[0] == ENTRY_LOCAL_APIC && word & PROCESSOR_ENABLED && acpi.processors < MOST_PROCESSORS) {
      acpi.apic_ids[acpi.processors++] = entry[3];
    }
  }
}

static void read_table(uint64_t address) {
  const struct table *table = table_at(address);
  if (!table) return;
  if (!memcmp(table->signature, "FACP", 4)) read_fixed((const struct fixed_description *)table);
  if (!memcmp(table->signature, "APIC", 4)) read_controllers((const struct interrupt_controllers *)table);
  if (!memcmp(table->signature, "HPET", 4)) acpi.hpet = ((const struct event_timer *)table)->address;
}

void acpi_read(void) {
  const struct root_pointer *root = find_root();
  if (!root) return;
  acpi.revision = root->revision;
  // The root table lists the others: the XSDT by addresses of 64 bits, the older RSDT by 32.
  int is_wide = root->revision >= 2 && root->xsdt;
  const struct table *list = table_at(is_wide ? root->xsdt : root->rsdt);
  if (!list) return;
  uint32_t bytes = is_wide ? 8 : 4;
  for (uint32_t at = 0; at + bytes <= list->length - sizeof *list; at += bytes) {
    uint64_t address = 0;
    memcpy(&address, list->content + at, bytes);
    read_table(address);
  }
}

void acpi_report(void) {
  say_name("ACPI");
  if (acpi.revision < 0) say("no tables\n");
  else if (!acpi.control_port) say("revision %u, no power management\n", (uint32_t)acpi.revision);
  else {
    say("revision %u, timer at port %xh, power control at port %xh\n", (uint32_t)acpi.revision, acpi.timer_port,
        acpi.control_port);
  }
}

void acpi_power_off(void) {
  if (!acpi.control_port) return;
  outw(acpi.control_port, (uint16_t)(acpi.sleep_type << SLP_TYP_SHIFT | SLP_EN));
  wait_microseconds(1000000); // the chipset may take its time
}
