// Five bodies under gravity in double precision, leapfrog steps. Only + - * / and square root, which IEEE 754
// defines to the last bit.
#include <emmintrin.h>

#include "kernel.h"

#define BODIES 5
#define STEP 0.01

struct body {
  double x, y, z, vx, vy, vz, mass;
};

// A heavy body and four light ones on nearly circular ways; the unit of mass makes G = 1.
static const struct body start[BODIES] = {{0, 0, 0, 0, 0, 0, 40},
                                          {5, 0.5, -0.1, -0.25, 2.8, 0.05, 0.04},
                                          {-9, 1, 0.4, -0.2, -2.1, 0.03, 0.012},
                                          {1, -19, 0.2, 1.45, 0.1, -0.02, 0.0018},
                                          {-2, 30, -0.7, -1.15, -0.05, 0.025, 0.0021}};

static inline double square_root(double v) {
  __m128d x = _mm_set_sd(v);
  return _mm_cvtsd_f64(_mm_sqrt_sd(x, x));
}

__attribute__((noinline)) static void step(struct body *b) {
  for (int i = 0; i < BODIES; i++) {
    for (int j = i + 1; j < BODIES; j++) {
      double dx = b[i].x - b[j].x, dy = b[i].y - b[j].y, dz = b[i].z - b[j].z;
      double d2 = dx * dx + dy * dy + dz * dz;
      double pull = STEP / (d2 * square_root(d2));
      double mi = b[i].mass * pull, mj = b[j].mass * pull;
      b[i].vx -= dx * mj;
      b[i].vy -= dy * mj;
      b[i].vz -= dz * mj;
      b[j].vx += dx * mi;
      b[j].vy += dy * mi;
      b[j].vz += dz * mi;
    }
  }
  for (int i = 0; i < BODIES; i++) {
    b[i].x += STEP * b[i].vx;
    b[i].y += STEP * b[i].vy;
    b[i].z += STEP * b[i].vz;
  }
}

uint64_t nbody_run(uint64_t iterations) {
  struct body bodies[BODIES];
  for (int i = 0; i < BODIES; i++) bodies[i] = start[i];
  for (uint64_t i = 0; i < iterations; i++) step(bodies);
  return mix_words(1, bodies, sizeof bodies);
}
