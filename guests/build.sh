#!/bin/bash
# Builds the guest programs, which are committed: bench becomes bench/bench.elf, welcome welcome/welcome.elf,
# system/long/NAME.c (64-bit mode) and system/protected/NAME.c (32-bit) become system/NAME.elf.
#   build.sh              builds all
#   build.sh PROGRAM...   builds some: bench, welcome, system, system/long/NAME, system/protected/NAME
#   build.sh --check   says whether the committed binaries are what the sources give; writes nothing
# Needs gcc for x86-64 and binutils. The committed bytes come from the versions that README.md names.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")"

. ./flags.sh

compile() { # compile SOURCE FLAGS...; sets `object`
  local source=$1
  shift
  object=$work/${source//\//-}.o
  # shellcheck disable=SC2046
  "$CC" "${CODE_FLAGS[@]}" $(flags_of "$source") "$@" -c "$source" -o "$object"
}

link_long() { # link_long OUTPUT OBJECTS...; 64-bit code
  local output=$1
  shift
  "$LD" -m elf_x86_64 "${LINK_FLAGS[@]}" -T lib/guest.ld -o "$work/linked" "$@"
  # Multiboot loaders take an ELF32 file only; the code in it is 64-bit all the same.
  "$OBJCOPY" --strip-all -O elf32-i386 "$work/linked" "$output"
  chmod 644 "$output"
}

link_protected() { # link_protected OUTPUT OBJECTS...; 32-bit code
  local output=$1
  shift
  "$LD" -m elf_i386 "${LINK_FLAGS[@]}" --gc-sections -T system/protected/lib/guest.ld -o "$output" "$@"
  "$OBJCOPY" --strip-all "$output"
  chmod 644 "$output"
}

build() { # build PROGRAM OUTPUT
  local program=$1 output=$2 source objects=()
  case $program in
    system/long/*)
      for source in lib/*.S lib/*.c system/common/*.c system/long/lib/*.c "$program".c; do
        compile "$source" -Isystem/common -Isystem/long/lib
        objects+=("$object")
      done
      link_long "$output" "${objects[@]}"
      ;;
    system/protected/*)
      for source in lib/console.c system/common/*.c system/protected/lib/*.S system/protected/lib/*.c "$program".c; do
        compile "$source" -m32 -mcmodel=32 -march=i686 -ffunction-sections -Isystem/common -Isystem/protected/lib
        objects+=("$object")
      done
      link_protected "$output" "${objects[@]}"
      ;;
    *)
      for source in lib/*.S lib/*.c "$program"/*.S "$program"/*.c; do
        [ -e "$source" ] || continue
        # shellcheck disable=SC2046
        compile "$source" $(program_flags "$program")
        objects+=("$object")
      done
      link_long "$output" "${objects[@]}"
      ;;
  esac
}

# The file that a program is built into: bench and welcome have folders, the system guests have one together.
output_of() {
  case $1 in
    system/*) echo "system/${1##*/}.elf" ;;
    *) echo "$1/$1.elf" ;;
  esac
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check=0
if [ "${1:-}" = --check ]; then
  check=1
  shift
fi

programs=()
add_system() {
  local source
  for source in system/long/*.c system/protected/*.c; do programs+=("${source%.c}"); done
}
if [ $# = 0 ]; then
  programs=(bench svm vmx welcome)
  add_system
fi
for name in "$@"; do
  if [ "$name" = system ]; then add_system; else programs+=("$name"); fi
done

status=0
for program in "${programs[@]}"; do
  output=$(output_of "$program")
  if [ $check = 0 ]; then
    build "$program" "$output"
    echo "$output: $(stat -c %s "$output") bytes"
  else
    build "$program" "$work/built.elf"
    if cmp -s "$work/built.elf" "$output"; then
      echo "$output: same bytes"
    else
      echo "$output: differs from what the sources give with $("$CC" --version | head -n 1)"
      status=1
    fi
  fi
done
exit $status
