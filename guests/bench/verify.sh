#!/bin/bash
# Compares the benchmark guest with real processors: expected.txt, made by `verify.sh --write` from the Linux
# program in native/, against QEMU. Takes about a minute. Needs gcc, qemu-system-x86_64 and a processor with
# AVX2.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
. ./flags.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

objects=()
for source in bench/*.c bench/blocks_enter.S; do
  case $source in bench/tlb_miss.c | bench/page_fault.c | bench/system_call.c) continue ;; esac
  objects+=("$work/${source//\//-}.o")
  # shellcheck disable=SC2046
  "$CC" "${CODE_FLAGS[@]}" $(flags_of "$source") -c "$source" -o "${objects[-1]}"
done
"$CC" -O2 -std=gnu11 -Wall -Wextra -Werror -Ilib -no-pie bench/native/native.c "${objects[@]}" \
  -o "$work/native"

# "end NAME checksum=C work=W tsc=T run=R" -> "SCALE NAME C W"
table() { sed -n "s/^end \([^ ]*\) checksum=\([^ ]*\) work=\([^ ]*\) .*/$1 \1 \2 \3/p"; }

native=$work/native.txt
for scale in 0 1 10 100; do "$work/native" scale=$scale | table $scale; done >"$native"
if [ "${1:-}" = --write ]; then
  echo "# scale kernel checksum work: from a real processor (see native/native.c) by verify.sh --write" >bench/expected.txt
  cat "$native" >>bench/expected.txt
fi

status=0
report() { # report WHAT FILE FILE
  if diff "$2" "$3" >"$work/diff"; then
    echo "$1: ok"
  else
    echo "$1: differs"
    cat "$work/diff"
    status=1
  fi
}
grep -v '^#' bench/expected.txt >"$work/expected.txt"
report "this processor" "$work/expected.txt" "$native"

qemu() { # qemu ELF "COMMAND LINE" ARGUMENTS...; prints the output, fails unless the guest ends well
  local elf=$1 line=$2 rc=0
  shift 2
  qemu-system-x86_64 -accel tcg "$@" -m 256 -display none -monitor none -serial stdio -no-reboot \
    -device isa-debug-exit,iobase=0xf4,iosize=0x04 -kernel "$elf" -append "$line" </dev/null || rc=$?
  [ $rc = 33 ] || { echo "QEMU ended with $rc" >&2; return 1; }
}
expect() { grep "^$1 " "$work/expected.txt" | grep -v "${2:-^$}"; }

qemu bench/bench.elf scale=100 -cpu max | table 100 >"$work/out"
report "QEMU -cpu max, scale=100" <(expect 100) "$work/out"

qemu bench/bench.elf scale=10 -cpu qemu64 | table 10 >"$work/out"
report "QEMU -cpu qemu64, scale=10, no avx2" <(expect 10 ' avx2 ') "$work/out"

# Without the multiboot magic QEMU takes the PVH note.
sed 's/\x02\xb0\xad\x1b/\x02\xb0\xad\x1c/' bench/bench.elf >"$work/pvh.elf"
cmp -s bench/bench.elf "$work/pvh.elf" && { echo "no multiboot header found"; status=1; }
qemu "$work/pvh.elf" "scale=0 only=alu,x87,page-fault,system-call" -cpu max | table 0 >"$work/out"
report "QEMU by PVH, scale=0" <(expect 0 | grep -E ' (alu|x87|page-fault|system-call) ') "$work/out"

# With -icount shift=0 QEMU's TSC counts instructions. It counts one more for each REP: 0.4 % of rep-movs.
qemu bench/bench.elf scale=10 -cpu max -icount shift=0 |
  awk '/^end / { split($4, work, "="); split($5, tsc, "="); difference = tsc[2] - work[2]
                 if (difference < 0 || difference > ($2 == "rep-movs" ? 0.004 * work[2] : 0))
                   print $2, "work", work[2], "counted", tsc[2] }' >"$work/out"
report "QEMU's instruction count, scale=10" /dev/null "$work/out"

exit $status
