#!/bin/bash
# Builds the guest programs: each folder here but lib is one, and becomes NAME/NAME.elf, which is committed.
#   build.sh           builds all
#   build.sh NAME...   builds some
#   build.sh --check   says whether the committed binaries are what the sources give; writes nothing
# Needs gcc for x86-64 and binutils. The committed bytes come from the versions that README.md names.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")"

. ./flags.sh

build() { # build NAME OUTPUT
  local name=$1 output=$2 source object objects=()
  for source in lib/*.S lib/*.c "$name"/*.S "$name"/*.c; do
    [ -e "$source" ] || continue
    object=$work/${source//\//-}.o
    # shellcheck disable=SC2046
    "$CC" "${CODE_FLAGS[@]}" $(flags_of "$source") -c "$source" -o "$object"
    objects+=("$object")
  done
  "$LD" -m elf_x86_64 -static -nostdlib --build-id=none -z noexecstack -z max-page-size=0x1000 \
    --no-warn-rwx-segments -T lib/guest.ld -o "$work/$name.elf64" "${objects[@]}"
  # Multiboot loaders take an ELF32 file only; the code in it is 64-bit all the same.
  "$OBJCOPY" --strip-all -O elf32-i386 "$work/$name.elf64" "$output"
  chmod 644 "$output"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check=0
if [ "${1:-}" = --check ]; then
  check=1
  shift
fi
names=("$@")
if [ ${#names[@]} = 0 ]; then
  for folder in */; do
    [ "$folder" = lib/ ] || names+=("${folder%/}")
  done
fi

status=0
for name in "${names[@]}"; do
  if [ $check = 0 ]; then
    build "$name" "$name/$name.elf"
    echo "$name/$name.elf: $(stat -c %s "$name/$name.elf") bytes"
  else
    build "$name" "$work/$name.elf"
    if cmp -s "$work/$name.elf" "$name/$name.elf"; then
      echo "$name/$name.elf: same bytes"
    else
      echo "$name/$name.elf: differs from what the sources give with $("$CC" --version | head -n 1)"
      status=1
    fi
  fi
done
exit $status
