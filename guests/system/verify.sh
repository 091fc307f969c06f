#!/bin/bash
# Runs the system guests in QEMU's TCG and compares the checks that fail with qemu-differs.txt, where QEMU is wrong.
#   verify.sh           compares
#   verify.sh --write   writes qemu-differs.txt
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")"

run_all() {
  local elf
  for elf in *.elf; do
    { timeout 60 qemu-system-x86_64 -accel tcg -cpu max -m 64 -display none -monitor none -serial stdio -no-reboot \
      -device isa-debug-exit,iobase=0xf4,iosize=0x04 -kernel "$elf" </dev/null || true; } |
      sed -n -e "s/^FAIL \(.*\) got=.*/${elf%.elf}: \1/p" -e "s/^skip /${elf%.elf}: skip /p" \
        -e "s/^[0-9]* passed, .*/${elf%.elf}: ends/p"
  done
}

if [ "${1:-}" = --write ]; then
  run_all >qemu-differs.txt
else
  diff qemu-differs.txt <(run_all) && echo "QEMU: as expected"
fi
