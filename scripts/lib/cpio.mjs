// Archives of cpio's "newc" kind, which Linux takes as an initramfs (kernel documentation, driver-api/early-userspace/buffer-format).
// The same entries give the same bytes: no times, no owners, numbers in the order of the entries.

/** File types of st_mode. */
const types = { file: 0o100000, folder: 0o040000, link: 0o120000, characters: 0o020000 };

/**
 * `entries`: `{ path, type, mode, bytes?, target?, device? }`, folders before what they hold. `path` without a slash in front;
 * `target` is a link's; `device` is `[major, minor]`.
 */
export function cpioArchive(entries) {
  const pieces = entries.map(({ path, type, mode, bytes, target, device }, index) => {
    const data = target === undefined ? (bytes ?? Buffer.alloc(0)) : Buffer.from(target);
    return entry(path, {
      ino: index + 1,
      mode: types[type] | mode,
      nlink: type === 'folder' ? 2 : 1,
      data,
      device,
    });
  });
  const end = entry('TRAILER!!!', { ino: 0, mode: 0, nlink: 1, data: Buffer.alloc(0) });
  return Buffer.concat([...pieces, end]);
}

/** Header of 13 fields of eight hexadecimal digits behind the magic, then name and data, each padded to four bytes. */
function entry(path, { ino, mode, nlink, data, device: [major, minor] = [0, 0] }) {
  const name = Buffer.from(`${path}\0`);
  const fields = [ino, mode, 0, 0, nlink, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return Buffer.concat([padded(Buffer.concat([header, name])), padded(data)]);
}

function padded(bytes) {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
