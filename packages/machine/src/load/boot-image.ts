import { type ElfImage, type ElfSegment, ImageError, isElf, readElf } from './elf.ts';
import { type LinuxImage, readLinux } from './linux-image.ts';
import { readMultiboot } from './multiboot1.ts';
import { readMultiboot2 } from './multiboot2.ts';
import { readPvh } from './pvh.ts';

/** An image that is entered in 32-bit protected mode, flat, with paging off. */
export interface FlatImage {
  readonly protocol: 'multiboot' | 'multiboot2' | 'pvh';
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
}

/** A kernel's file, understood and checked. */
export type BootImage = FlatImage | LinuxImage;

export type BootProtocol = BootImage['protocol'];

/** A file and, if it is ELF, what that says. */
export interface ImageFile {
  readonly bytes: Uint8Array;
  readonly elf: ElfImage | undefined;
}

/** Each answers undefined for a file of another kind. In the order in which a file that is several is taken. */
const readers: readonly (readonly [
  protocol: BootProtocol,
  read: (file: ImageFile) => BootImage | undefined,
])[] = [
  ['linux', readLinux],
  ['multiboot2', readMultiboot2],
  ['multiboot', readMultiboot],
  ['pvh', readPvh],
];

/**
 * Reads a Linux bzImage (boot protocol 2.06 on), a multiboot 1 or 2 image (specifications 0.6.96 and 2.0) or a PVH ELF (Xen's ELF note 18).
 *
 * @param protocol takes only that; default: whatever the file is
 * @throws ImageError for anything else
 */
export function readBootImage(bytes: Uint8Array, protocol?: BootProtocol): BootImage {
  const file = { bytes, elf: isElf(bytes) ? readElf(bytes) : undefined };
  for (const [name, read] of readers) {
    if (protocol !== undefined && name !== protocol) continue;
    const image = read(file);
    if (image !== undefined) return image;
  }
  throw new ImageError(
    protocol === undefined
      ? 'no Linux setup header, no multiboot header, no PVH note: no kind of image that can be started'
      : `not a kernel of protocol ${protocol}`,
  );
}
