/*
 * x87 instructions on the host processor. `oracle NAME` runs one instruction for each case on standard input (struct test_case, little-endian)
 * and writes struct result. Operands: a in ST(0), b in ST(1); or memory operands: b's first bytes beside ST(0), else a's. Built by oracle.ts: gcc -O1.
 *
 * Exceptions may be unmasked: FNSAVE reads the state without waiting, so none is delivered.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct test_case {
  uint8_t a[16], b[16];
  uint16_t control;
  /* Condition codes C0 to C3 before the instruction, in their places in the status word. */
  uint16_t conditions;
  uint8_t unused[12];
};

struct result {
  uint8_t top[16], next[16], memory[16];
  /* Status word after the instruction, tag word. */
  uint16_t status, tags;
  uint8_t unused[12];
};

struct environment {
  uint32_t control, status, tags, pointers[4];
};

struct image {
  struct environment environment;
  uint8_t registers[8][10];
} __attribute__((packed));

static struct environment environment(const struct test_case *t, int operands) {
  struct environment e = {.control = 0xffff0000 | t->control};
  e.status = 0xffff0000 | ((-operands & 7) << 11) | (t->conditions & 0x4700);
  e.tags = 0xffff0000 | (0xffff >> (2 * operands));
  return e;
}

typedef void operation(const struct test_case *, struct result *, struct image *);

#define TWO "fninit\n\tfldt %[b]\n\tfldt %[a]\n\tfldenv %[before]\n\t", 2
#define ONE "fninit\n\tfldt %[a]\n\tfldenv %[before]\n\t", 1
#define NONE "fninit\n\tfldenv %[before]\n\t", 0
#define DEFINE(name, ...) DEFINE_(name, __VA_ARGS__)
#define DEFINE_(name, load, operands, text)                                                               \
  static void run_##name(const struct test_case *t, struct result *r, struct image *image) {              \
    struct environment before = environment(t, operands);                                                 \
    __asm__ volatile(load text "\n\tfnsave %[image]"                                                      \
                     : [image] "=m"(*image), [memory] "+m"(r->memory)                                     \
                     : [a] "m"(t->a), [b] "m"(t->b), [before] "m"(before)                                 \
                     : "memory", "cc");                                                                   \
  }

#define OPERATIONS                                                                                        \
  OP(add, TWO, "fadd %%st(1), %%st") OP(sub, TWO, "fsub %%st(1), %%st") OP(mul, TWO, "fmul %%st(1), %%st") \
  OP(div, TWO, "fdiv %%st(1), %%st") OP(sqrt, ONE, "fsqrt") OP(rndint, ONE, "frndint")                    \
  OP(scale, TWO, "fscale") OP(xtract, ONE, "fxtract") OP(prem, TWO, "fprem") OP(prem1, TWO, "fprem1")     \
  OP(com, TWO, "fcom %%st(1)") OP(ucom, TWO, "fucom %%st(1)") OP(xam, ONE, "fxam")                        \
  OP(ld32, NONE, "flds %[a]") OP(ld64, NONE, "fldl %[a]")                                                 \
  OP(add32, ONE, "fadds %[b]") OP(sub64, ONE, "fsubl %[b]") OP(divr32, ONE, "fdivrs %[b]")                \
  OP(mul64, ONE, "fmull %[b]") OP(com32, ONE, "fcoms %[b]") OP(com64, ONE, "fcoml %[b]")                  \
  OP(st32, ONE, "fsts %[memory]") OP(st64, ONE, "fstl %[memory]")                                         \
  OP(ild16, NONE, "filds %[a]") OP(ild32, NONE, "fildl %[a]") OP(ild64, NONE, "fildll %[a]")              \
  OP(ist16, ONE, "fistps %[memory]") OP(ist32, ONE, "fistpl %[memory]") OP(ist64, ONE, "fistpll %[memory]") \
  OP(istt16, ONE, "fisttps %[memory]") OP(istt32, ONE, "fisttpl %[memory]")                               \
  OP(istt64, ONE, "fisttpll %[memory]") OP(bld, NONE, "fbld %[a]") OP(bstp, ONE, "fbstp %[memory]")       \
  OP(ld1, NONE, "fld1") OP(ldl2t, NONE, "fldl2t") OP(ldl2e, NONE, "fldl2e") OP(ldpi, NONE, "fldpi")       \
  OP(ldlg2, NONE, "fldlg2") OP(ldln2, NONE, "fldln2")                                                     \
  OP(f2xm1, ONE, "f2xm1") OP(yl2x, TWO, "fyl2x") OP(yl2xp1, TWO, "fyl2xp1") OP(sin, ONE, "fsin")          \
  OP(cos, ONE, "fcos") OP(sincos, ONE, "fsincos") OP(ptan, ONE, "fptan") OP(patan, TWO, "fpatan")

#define OP DEFINE
OPERATIONS
#undef OP

static const struct {
  const char *name;
  operation *run;
} operations[] = {
#define OP(name, ...) {#name, run_##name},
  OPERATIONS
};

int main(int count, char **arguments) {
  operation *run = 0;
  for (unsigned i = 0; count == 2 && i < sizeof operations / sizeof operations[0]; i++)
    if (strcmp(operations[i].name, arguments[1]) == 0) run = operations[i].run;
  if (run == 0) return 2;
  static char input[1 << 16], output[1 << 16];
  setvbuf(stdin, input, _IOFBF, sizeof input);
  setvbuf(stdout, output, _IOFBF, sizeof output);
  struct test_case t;
  while (fread(&t, sizeof t, 1, stdin) == 1) {
    struct result r;
    struct image image;
    memset(&r, 0, sizeof r);
    memset(r.memory, 0xa5, sizeof r.memory);
    run(&t, &r, &image);
    memcpy(r.top, image.registers[0], 10);
    memcpy(r.next, image.registers[1], 10);
    r.status = image.environment.status;
    r.tags = image.environment.tags;
    fwrite(&r, sizeof r, 1, stdout);
  }
  return 0;
}
