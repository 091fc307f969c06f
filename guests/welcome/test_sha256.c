// SHA-256 (FIPS 180-4), and messages whose digests everybody knows.
#include <stdint.h>

#include "memory.h"
#include "selftest.h"

#define BLOCK 64

/** The fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void compress(uint32_t state[8], const uint8_t block[BLOCK]) {
  uint32_t w[64];
  for (int t = 0; t < 16; t++) {
    memcpy(&w[t], block + 4 * t, 4);
    w[t] = __builtin_bswap32(w[t]);
  }
  for (int t = 16; t < 64; t++) {
    uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
    uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
    w[t] = w[t - 16] + s0 + w[t - 7] + s1;
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int t = 0; t < 64; t++) {
    uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + round_constants[t] + w[t];
    uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d;
  state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

/** The digest of `count` times `text`, of `length` bytes. */
static void sha256(const char *text, uint32_t length, uint32_t count, uint32_t digest[8]) {
  static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(digest, start, sizeof start);
  uint8_t block[BLOCK];
  uint32_t used = 0;
  uint64_t bits = __builtin_bswap64(8ull * length * count);
  for (; count; count--) {
    for (uint32_t i = 0; i < length; i++) {
      block[used++] = (uint8_t)text[i];
      if (used == BLOCK) compress(digest, block), used = 0;
    }
    if ((count & 511) == 0) test_progress();
  }
  // Behind the message: a bit 1, zeros, and in the last eight bytes of a block the length in bits.
  block[used++] = 0x80;
  if (used > BLOCK - 8) {
    memset(block + used, 0, BLOCK - used);
    compress(digest, block);
    used = 0;
  }
  memset(block + used, 0, BLOCK - used);
  memcpy(block + BLOCK - 8, &bits, 8);
  compress(digest, block);
}

// The first two are examples of FIPS 180; `printf 'nest86 %.0s' {1..5120} | sha256sum` gives the third.
static const struct {
  const char *text;
  uint32_t length, count, digest[8];
} messages[] = {
    {"abc", 3, 1,
     {0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223,
      0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad}},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, 1,
     {0x248d6a61, 0xd20638b8, 0xe5c02693, 0x0c3e6039,
      0xa33ce459, 0x64ff2167, 0xf6ecedd4, 0x19db06c1}},
    {"nest86 ", 7, 5120,
     {0xae634a94, 0xce722fa7, 0x1e5a56df, 0x794c2fde,
      0x2a41e8ee, 0x45d36bc0, 0xd68b8d91, 0xe7f29b7d}},
};

enum outcome test_sha256(void) {
  for (unsigned i = 0; i < sizeof messages / sizeof *messages; i++) {
    uint32_t digest[8];
    sha256(messages[i].text, messages[i].length, messages[i].count, digest);
    if (memcmp(digest, messages[i].digest, sizeof digest)) return FAILED;
    test_progress();
  }
  return OK;
}
