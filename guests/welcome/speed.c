#include "speed.h"

#include "clocks.h"
#include "cpu.h"
#include "say.h"

void speed_report(uint64_t milliseconds) {
  uint64_t least = clocks.tsc / 1000 * milliseconds / 2;
  uint64_t instructions = 1000000, ticks;
  // Twice as much work until it takes long enough: the last time is after caches and compilers have warmed up.
  for (;;) {
    uint64_t begin = rdtsc();
    speed_loop(instructions);
    ticks = rdtsc() - begin;
    if (ticks > least) break;
    instructions *= 2;
  }
  uint64_t thousands = instructions * (clocks.tsc / 1000) / ticks; // per second
  say_name("speed");
  say("%lu million instructions per second (%lu million in %lu ms)%s\n", (thousands + 500) / 1000,
      instructions / 1000000, ticks * 1000 / clocks.tsc, clocks.is_known ? "" : ", if the counter runs at 1 GHz");
}
