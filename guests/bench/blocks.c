// Dispersed code: 2,000 or 20,000 basic blocks in random places of 192 KB or 1.9 MB. The code is generated
// before the clock starts and never changes afterwards.
//
// A round goes through many levels. Each level has two blocks. One to three bits of a register select the one
// that is executed: the first if any of them is set, so with probability 1/2 to 7/8. The blocks of every
// second level also call one of the leaf blocks, which are a tenth of all. Which way is taken does not change
// the number of instructions: the first block is reached by TEST, JNZ and has one instruction more than the
// second, reached by TEST, JNZ, JMP.
#include "console.h"
#include "kernel.h"
#include "layout.h"
#include "memory.h"

#define SLOT_BYTES 96 // room for the longest block
#define BODY 8        // instructions, besides the ends
#define LEAF_BODY 6
#define TABLE_BYTES 16384

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11 };

// RCX counts rounds, RBP holds the table.
static const uint8_t data_registers[] = {RAX, RDX, RBX, RSI, RDI, R8, R9, R10, R11};

static uint8_t *code, *table;
static uint32_t *slots;
static uint8_t *at;
static uint64_t seed;
static uint32_t round_block;

uint64_t blocks_enter(const void *entry, void *table, uint64_t rounds);

static uint32_t below(uint32_t limit) { return (uint32_t)(next_random(&seed) >> 33) % limit; }
static int any_register(void) { return data_registers[below(sizeof data_registers)]; }

static uint8_t *address(uint32_t block) { return code + (uint64_t)slots[block] * SLOT_BYTES; }

static void byte(uint32_t v) { *at++ = (uint8_t)v; }
static void dword(uint32_t v) {
  for (int i = 0; i < 32; i += 8) byte(v >> i);
}

static void rex_w(int reg, int index, int base) {
  byte(0x48u | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3);
}

// 64-bit instruction with two registers; `reg` may be an opcode extension.
static void op_rr(uint32_t opcode, int reg, int rm) {
  rex_w(reg, 0, rm);
  byte(opcode);
  byte(0xc0u | (reg & 7) << 3 | (rm & 7));
}

// 64-bit instruction with a register and a quadword of the table.
static void op_rm(uint32_t opcode, int reg) {
  rex_w(reg, 0, RBP);
  byte(opcode);
  byte(0x80u | (reg & 7) << 3 | RBP);
  dword(below(TABLE_BYTES / 8) * 8);
}

static void branch(uint8_t *target) { dword((uint32_t)(target - (at + 4))); }
static void jump(uint32_t block) {
  byte(0xe9);
  branch(address(block));
}

// One instruction that cannot fault and leaves RCX, RBP and RSP alone.
static void random_instruction(void) {
  int a = any_register(), b = any_register();
  if (a == b) b = a == RAX ? RDX : RAX;
  switch (below(15)) {
    case 0: op_rr(0x01, b, a); break; // ADD
    case 1: op_rr(0x29, b, a); break; // SUB
    case 2: op_rr(0x31, b, a); break; // XOR
    case 3: op_rr(0x11, b, a); break; // ADC
    case 4: op_rr(0x19, b, a); break; // SBB
    case 5:
      op_rr(0x81, 0, a); // ADD imm32
      dword((uint32_t)next_random(&seed));
      break;
    case 6:
      op_rr(0x81, 6, a); // XOR imm32
      dword((uint32_t)next_random(&seed));
      break;
    case 7:
      op_rr(0xc1, 0, a); // ROL imm8
      byte(1 + below(63));
      break;
    case 8:
      op_rr(0x69, a, b); // IMUL imm32
      dword((uint32_t)next_random(&seed) | 1);
      break;
    case 9: // LEA a, [a + b * scale + disp8]
      rex_w(a, b, a);
      byte(0x8d);
      byte(0x44u | (a & 7) << 3);
      byte(below(4) << 6 | (b & 7) << 3 | (a & 7));
      byte(below(256));
      break;
    case 10: op_rm(0x8b, a); break; // MOV load
    case 11: op_rm(0x89, a); break; // MOV store
    case 12: op_rm(0x03, a); break; // ADD load
    case 13: op_rm(0x31, a); break; // XOR to memory
    case 14:
      op_rr(0xf7, 2, a); // NOT
      break;
  }
}

// TEST a register against one to three bits, then to one block of a level.
static void choose(uint32_t level) {
  uint32_t mask = 0;
  for (uint32_t bits = 1 + below(3); bits; bits--) mask |= 1u << below(31);
  op_rr(0xf7, 0, any_register());
  dword(mask);
  byte(0x0f);
  byte(0x85); // JNZ
  branch(address(2 * level));
  jump(2 * level + 1);
}

static void generate(uint32_t blocks) {
  uint32_t leaves = blocks / 10, levels = (blocks - leaves) / 2, first_leaf = 2 * levels;
  round_block = blocks;
  slots = memory_take(4 * ((size_t)blocks + 1), 64);
  table = memory_take(TABLE_BYTES, 4096);
  code = memory_take(SLOT_BYTES * ((size_t)blocks + 1), 4096);
  seed = blocks;
  for (uint32_t i = 0; i <= blocks; i++) slots[i] = i;
  for (uint32_t i = blocks; i; i--) {
    uint32_t j = below(i + 1), t = slots[i];
    slots[i] = slots[j];
    slots[j] = t;
  }

  for (uint32_t block = 0; block <= blocks; block++) {
    at = address(block);
    if (block == round_block) {
      op_rr(0xff, 1, RCX); // DEC
      byte(0x75);          // JNZ over the RET
      byte(1);
      byte(0xc3);
      choose(0);
    } else if (block >= first_leaf) {
      for (int i = 0; i < LEAF_BODY; i++) random_instruction();
      byte(0xc3);
    } else {
      uint32_t level = block / 2;
      int body = BODY + (block % 2 == 0);
      for (int i = 0; i < body; i++) {
        if (level % 2 == 0 && i == BODY / 2) {
          byte(0xe8);
          branch(address(first_leaf + below(leaves)));
        }
        random_instruction();
      }
      if (level + 1 == levels) jump(round_block);
      else choose(level + 1);
    }
    if (at > address(block) + SLOT_BYTES) {
      print("error block too long\n");
      machine_exit(EXIT_FAILED);
    }
  }
}

void blocks_2000_prepare(void) { generate(2000); }
void blocks_20000_prepare(void) { generate(20000); }

uint64_t blocks_run(uint64_t iterations) {
  fill_random(table, TABLE_BYTES, 99);
  // The round block counts before the first round.
  return mix_words(blocks_enter(address(round_block), table, iterations + 1), table, TABLE_BYTES);
}
