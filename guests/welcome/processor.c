#include "processor.h"

#include "cpu.h"
#include "say.h"

#define LAST_COLUMN 96

/** Leaves come in ranges, whose first leaf tells the last. */
static int has_leaf(uint32_t leaf) { return cpuid(leaf & 0xffff0000, 0).eax >= leaf; }

static uint32_t part(const struct cpuid_result *r, enum cpuid_register which) {
  return which == EAX ? r->eax : which == EBX ? r->ebx : which == ECX ? r->ecx : r->edx;
}

int cpuid_bit(uint32_t leaf, enum cpuid_register which, int bit) {
  if (!has_leaf(leaf)) return 0;
  struct cpuid_result r = cpuid(leaf, 0);
  return part(&r, which) >> bit & 1;
}

struct feature {
  uint32_t leaf;
  enum cpuid_register which;
  int bit;
  const char *name;
};

// Terminated by a null name. The manuals list all bits: SDM 2A "CPUID", APM 3 appendix E.
static const struct feature calculation[] = {
    {1, EDX, 26, "SSE2"},       {1, ECX, 0, "SSE3"},         {1, ECX, 9, "SSSE3"},
    {1, ECX, 19, "SSE4.1"},     {1, ECX, 20, "SSE4.2"},      {1, ECX, 28, "AVX"},
    {7, EBX, 5, "AVX2"},        {7, EBX, 16, "AVX-512"},     {1, ECX, 12, "fused multiply-add"},
    {1, ECX, 29, "half floats"}, {1, ECX, 23, "POPCNT"},      {7, EBX, 3, "BMI1"},
    {7, EBX, 8, "BMI2"},        {7, EBX, 19, "ADX"},         {1, ECX, 22, "MOVBE"},
    {1, ECX, 13, "CMPXCHG16B"}, {1, ECX, 25, "AES"},         {1, ECX, 1, "PCLMULQDQ"},
    {7, EBX, 29, "SHA"},        {1, ECX, 30, "RDRAND"},      {7, EBX, 18, "RDSEED"},
    {7, EBX, 9, "fast REP MOVSB"}, {0, EAX, 0, 0},
};
static const struct feature system_side[] = {
    {0x80000001, EDX, 29, "64-bit mode"}, {0x80000001, EDX, 20, "no-execute"}, {0x80000001, EDX, 26, "1 GiB pages"},
    {1, EDX, 13, "global pages"},         {1, ECX, 17, "PCID"},                {7, EBX, 10, "INVPCID"},
    {7, EBX, 7, "SMEP"},                  {7, EBX, 20, "SMAP"},                {7, ECX, 2, "UMIP"},
    {7, ECX, 3, "protection keys"},       {7, ECX, 16, "5-level paging"},      {1, ECX, 26, "XSAVE"},
    {7, EBX, 0, "FSGSBASE"},              {1, EDX, 9, "local APIC"},           {1, ECX, 21, "x2APIC"},
    {1, ECX, 24, "TSC deadline"},         {0x80000007, EDX, 8, "invariant TSC"}, {0x80000001, EDX, 27, "RDTSCP"},
    {1, ECX, 5, "VT-x"},                  {0x80000001, ECX, 2, "AMD-V"},       {0, EAX, 0, 0},
};

/** Names with commas between; goes on below where the line is full. */
static void say_features(const char *name, const struct feature *features) {
  say_name(name);
  int column = 0;
  for (; features->name; features++) {
    if (!cpuid_bit(features->leaf, features->which, features->bit)) continue;
    int width = 2;
    for (const char *c = features->name; *c; c++) width++;
    if (column && column + width > LAST_COLUMN - 17) {
      say(",\n");
      say_name("");
      column = 0;
    }
    say("%s%s", column ? ", " : "", features->name);
    column += width;
  }
  say("\n");
}

/** Four letters of a register, the first in its low byte. */
static char *put_letters(char *to, uint32_t letters) {
  for (int i = 0; i < 4; i++) *to++ = (char)(letters >> 8 * i);
  return to;
}

static void say_brand(void) {
  char brand[49], *end = brand;
  for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
    struct cpuid_result r = cpuid(leaf, 0);
    end = put_letters(put_letters(put_letters(put_letters(end, r.eax), r.ebx), r.ecx), r.edx);
  }
  *end = 0;
  const char *text = brand;
  while (*text == ' ') text++; // some processors fill it on the left
  say("%s", text);
}

void processor_report(void) {
  say_title("Processor");

  char text[13];
  struct cpuid_result r = cpuid(0, 0);
  *put_letters(put_letters(put_letters(text, r.ebx), r.edx), r.ecx) = 0;
  say_name("vendor");
  say("%s\n", text);

  if (has_leaf(0x80000004)) {
    say_name("brand");
    say_brand();
    say("\n");
  }

  // Family and model grew beyond their four bits: see "CPUID" in the SDM for when the extended fields count.
  uint32_t signature = cpuid(1, 0).eax;
  uint32_t family = signature >> 8 & 15, model = signature >> 4 & 15;
  if (family == 6 || family == 15) model += (signature >> 16 & 15) << 4;
  if (family == 15) family += signature >> 20 & 255;
  say_name("family");
  say("%u, model %u, stepping %u\n", family, model, signature & 15);

  say_features("computes with", calculation);
  say_features("system side", system_side);

  if (has_leaf(0x80000008)) {
    uint32_t bits = cpuid(0x80000008, 0).eax;
    say_name("addresses");
    say("%u bits physical, %u bits linear\n", bits & 255, bits >> 8 & 255);
  }

  // Bit 31 of ECX is never set by a real processor.
  if (cpuid_bit(1, ECX, 31)) {
    r = cpuid(0x40000000, 0);
    *put_letters(put_letters(put_letters(text, r.ebx), r.ecx), r.edx) = 0;
    say_name("hypervisor");
    say("%s\n", r.eax >> 16 == 0x4000 ? text : "yes, without a name");
  }
}
