/*
 * How far results of transcendental instructions are from the truth. `reference NAME` reads cases (see oracle.c), each followed by the result
 * that is judged (16 bytes, as FSTP tbyte writes it), and writes for each the error in units of the last place of an 80-bit value, a double; NaN where
 * nothing can be said. Arguments of trigonometric functions are reduced by the processor's π of 66 bits. Built by oracle.ts: gcc -O1 -lquadmath.
 */
#include <quadmath.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct judged {
  uint8_t a[16], b[16];
  uint8_t unused[16];
  uint8_t result[16], second[16];
};

static __float128 load(const uint8_t *bytes) {
  uint64_t significand;
  uint16_t exponent;
  memcpy(&significand, bytes, 8);
  memcpy(&exponent, bytes + 8, 2);
  int scale = exponent & 0x7fff;
  if (scale == 0x7fff || (scale != 0 && !(significand >> 63))) return __builtin_nan("");
  __float128 value = ldexpq(significand, (scale ? scale : 1) - 16383 - 63);
  return exponent >> 15 ? -value : value;
}

/* The processor's half π: 66 bits of it. */
static __float128 half_pi(void) { return ldexpq(0x3243F6A8885A308Dp0Q * 16 + 3, -65); }

static __float128 sine(__float128 a, int more) {
  int count;
  __float128 rest = remquoq(a, half_pi(), &count);
  switch ((count + more) & 3) {
    case 0: return sinq(rest);
    case 1: return cosq(rest);
    case 2: return -sinq(rest);
    default: return -cosq(rest);
  }
}

/* Denormals of 128 bits would not do. */
static __float128 log1p_product(__float128 a, __float128 b) {
  if (ilogbq(a) < -10000) return ldexpq(b * (ldexpq(a, 5000) / M_LN2q), -5000);
  return b * (log1pq(a) / M_LN2q);
}

static double error(__float128 right, const uint8_t *bytes) {
  __float128 got = load(bytes);
  if (isnanq(right) || isinfq(right) || isnanq(got) || isinfq(got)) return __builtin_nan("");
  int exponent = ilogbq(right);
  if (right == 0 || exponent < -16382) exponent = -16382;
  return fabsq(ldexpq(got, 63 - exponent) - ldexpq(right, 63 - exponent));
}

int main(int count, char **arguments) {
  const char *name = count == 2 ? arguments[1] : "";
  struct judged t;
  while (fread(&t, sizeof t, 1, stdin) == 1) {
    __float128 a = load(t.a), b = load(t.b);
    double e;
    if (strcmp(name, "f2xm1") == 0) e = error(expm1q(a * M_LN2q), t.result);
    else if (strcmp(name, "yl2x") == 0) e = error(b * log2q(a), t.result);
    else if (strcmp(name, "yl2xp1") == 0) e = error(log1p_product(a, b), t.result);
    else if (strcmp(name, "patan") == 0) e = error(atan2q(b, a), t.result);
    else if (strcmp(name, "sin") == 0) e = error(sine(a, 0), t.result);
    else if (strcmp(name, "cos") == 0) e = error(sine(a, 1), t.result);
    else if (strcmp(name, "ptan") == 0) e = error(sine(a, 0) / sine(a, 1), t.result);
    else if (strcmp(name, "sincos") == 0) {
      e = error(sine(a, 0), t.result);
      double other = error(sine(a, 1), t.second);
      if (!(e > other)) e = other;
    } else return 2;
    fwrite(&e, sizeof e, 1, stdout);
  }
  return 0;
}
