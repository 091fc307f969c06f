# Compiler and flags; build.sh and bench/verify.sh read this file, in the folder guests.
# shellcheck shell=bash disable=SC2034

CC=${CC:-gcc}
LD=${LD:-ld}
OBJCOPY=${OBJCOPY:-objcopy}

CODE_FLAGS=(-m64 -march=x86-64 -mtune=generic -O2 -std=gnu11 -ffreestanding -fno-builtin -mno-red-zone
  -fno-pic -fno-pie -mcmodel=small -fno-stack-protector -fcf-protection=none -fno-strict-aliasing
  -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -fno-ident -ffp-contract=off
  -Wall -Wextra -Werror -Ilib)

LINK_FLAGS=(-static -nostdlib --build-id=none -z noexecstack -z max-page-size=0x1000 --no-warn-rwx-segments)

# No exception handler saves vector registers, so a file uses them only if it asks for them here.
flags_of() {
  case $1 in
    bench/memcpy.c | bench/nbody.c | bench/saxpy.c | bench/avx2.c) echo -msse2 -mfpmath=sse ;;
    welcome/test_sse2.c | welcome/test_avx2.c) echo -msse2 -mfpmath=sse ;;
    bench/x87.c) echo -mfpmath=387 ;;
    bench/call.c) echo -mgeneral-regs-only -fno-optimize-sibling-calls ;;
    *) echo -mgeneral-regs-only ;;
  esac
}

# What a program asks of lib; what others do not ask for leaves their bytes as they are.
program_flags() {
  case $1 in
    welcome) echo -DKEEP_MEMORY_MAP ;;
  esac
}
