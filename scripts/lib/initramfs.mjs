// The initramfs that `npm run linux` boots: busybox, a few device files and an /init.
import { cpioArchive } from './cpio.mjs';

/**
 * The kernel hands words of its command line that it does not know to /init as environment: `run="uname -a; free"` runs that and powers off.
 * cttyhack makes the console the shell's controlling terminal, so that Ctrl-C and job control work. busybox's poweroff, reboot and halt
 * signal process 1, as its own init expects; a shell hears signals while it waits, not while a child has the foreground.
 * `root=/dev/…` on the command line leads to that disk's own init, or the program that `init=` names; what it changes on a squashfs goes to memory.
 */
const init = `#!/bin/busybox sh
export PATH=/bin HOME=/root TERM="\${TERM:-vt100}" PS1='nest86:\\w# '
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
hostname nest86
ip link set lo up
end() { sync; busybox "$1" -f; }
trap 'end halt' USR1
trap 'end poweroff' USR2
trap 'end reboot' TERM
echo "nest86: user space reached"
for module in /modules/*.ko; do
  [ -f "$module" ] && insmod "$module"
done
for word in $(cat /proc/cmdline); do
  case "$word" in
    root=/dev/*) root=\${word#root=} ;;
    init=*) init=\${word#init=} ;;
  esac
done
if [ -n "$root" ]; then
  mount "$root" /disk || exec setsid cttyhack sh
  if grep -q "^$root .* squashfs" /proc/mounts; then
    mount -t tmpfs tmpfs /changes
    mkdir /changes/upper /changes/work
    mount -t overlay -o lowerdir=/disk,upperdir=/changes/upper,workdir=/changes/work overlay /disk
  fi
  trap - USR1 USR2 TERM
  umount /tmp /dev/pts
  for folder in dev proc sys; do mount -o move /$folder /disk/$folder; done
  exec switch_root /disk "\${init:-/sbin/init}"
fi
cd /root
if [ -n "$run" ]; then
  sh -c "$run" </dev/console &
  wait $!
  echo "nest86: run ended with $?"
else
  setsid cttyhack sh &
  wait $!
fi
end poweroff
`;

const folders = ['bin', 'changes', 'dev', 'disk', 'etc', 'proc', 'root', 'sys', 'tmp'];
const devices = { console: [5, 1], null: [1, 3], ttyS0: [4, 64] };

/** @param busybox the program, linked statically */
export function initramfs(busybox) {
  return cpioArchive([
    ...folders.map((path) => ({ path, type: 'folder', mode: 0o755 })),
    ...Object.entries(devices).map(([name, device]) => ({
      path: `dev/${name}`,
      type: 'characters',
      mode: 0o600,
      device,
    })),
    { path: 'bin/busybox', type: 'file', mode: 0o755, bytes: busybox },
    { path: 'bin/sh', type: 'link', mode: 0o777, target: 'busybox' },
    { path: 'etc/passwd', type: 'file', mode: 0o644, bytes: Buffer.from('root::0:0:root:/root:/bin/sh\n') },
    { path: 'init', type: 'file', mode: 0o755, bytes: Buffer.from(init) },
  ]);
}

/** A further archive, to put behind that of {@link initramfs}: modules that /init loads in this order. */
export function moduleArchive(modules) {
  return cpioArchive([
    { path: 'modules', type: 'folder', mode: 0o755 },
    ...modules.map(({ name, bytes }, index) => ({
      path: `modules/${String(index).padStart(2, '0')}-${name}.ko`,
      type: 'file',
      mode: 0o644,
      bytes,
    })),
  ]);
}
