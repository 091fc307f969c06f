import type { ImageFile } from './boot-image.ts';
import { type ElfSegment, ImageError } from './elf.ts';

/** Offsets into a bzImage, and into the zero page, of the setup header's fields (kernel documentation, arch/x86/boot). */
export const SetupField = {
  begin: 0x1f1,
  setupSectors: 0x1f1,
  /** In units of {@link systemUnit}. */
  systemSize: 0x1f4,
  videoMode: 0x1fa,
  bootFlag: 0x1fe,
  /** A short jump; its second byte tells where the header ends. */
  jump: 0x200,
  magic: 0x202,
  version: 0x206,
  loader: 0x210,
  loadFlags: 0x211,
  codeStart: 0x214,
  ramdiskAddress: 0x218,
  ramdiskSize: 0x21c,
  commandLine: 0x228,
  ramdiskLimit: 0x22c,
  alignment: 0x230,
  isRelocatable: 0x234,
  extendedFlags: 0x236,
  commandLineSize: 0x238,
  preferredAddress: 0x258,
  initSize: 0x260,
  /** The zero page has room up to here. */
  end: 0x290,
} as const;

/** A Linux kernel that decompresses itself. */
export interface LinuxImage {
  readonly protocol: 'linux';
  /** Of the 32-bit entry. */
  readonly entry: number;
  /** The protected-mode part. */
  readonly segments: readonly ElfSegment[];
  /** The file's setup header, as it goes into the zero page at 1F1h. */
  readonly setupHeader: Uint8Array;
  /** Major × 256 + minor. */
  readonly version: number;
  /** Whether there is a 64-bit entry, 200h bytes behind the 32-bit one. */
  readonly hasLongEntry: boolean;
  /** Highest address that the initrd may use. */
  readonly ramdiskLimit: number;
  /** Longest command line, in bytes without the 0 behind it. */
  readonly commandLineSize: number;
  /** What the kernel uses while it decompresses itself, from {@link workStart} on. */
  readonly workBytes: number;
  readonly workStart: number;
}

const systemUnit = 16;
const oldest = 0x206;
/** Where kernels of this kind are loaded. */
const loadAddress = 0x10_0000;
const loadedHigh = 1;
/** XLF_KERNEL_64 */
const kernel64 = 1;

/** A bzImage, or undefined. @throws ImageError if it is damaged, too old, or a zImage */
export function readLinux({ bytes: file }: ImageFile): LinuxImage | undefined {
  if (file.length < SetupField.version + 2) return undefined;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  // "HdrS"
  if (view.getUint32(SetupField.magic, true) !== 0x5372_6448) return undefined;
  if (view.getUint16(SetupField.bootFlag, true) !== 0xaa55)
    throw new ImageError('Linux kernel without the boot flag AA55h: not a bzImage, or damaged');
  const version = view.getUint16(SetupField.version, true);
  if (version < oldest)
    throw new ImageError(`Linux boot protocol ${versionText(version)}: 2.06 or later is allowed`);
  const end = SetupField.magic + file[SetupField.jump + 1];
  if (end < SetupField.commandLineSize + 4 || end > SetupField.end)
    throw new ImageError(`Linux setup header that ends at 0x${end.toString(16)}`);
  if (end > file.length) throw new ImageError('the file ends within its Linux setup header');
  if ((file[SetupField.loadFlags] & loadedHigh) === 0)
    throw new ImageError('Linux kernel that is loaded low (zImage): a bzImage is allowed');

  const start = (((file[SetupField.setupSectors] || 4) + 1) * 512) | 0;
  const size = view.getUint32(SetupField.systemSize, true) * systemUnit;
  if (end > start) throw new ImageError('the Linux setup header is longer than its sectors');
  if (size === 0) throw new ImageError('the Linux kernel has no code');
  // Behind it there may be a signature; the last unit need not be full.
  if (start + size - file.length >= systemUnit)
    throw new ImageError(
      `the Linux kernel is cut off: ${file.length} bytes of ${start + size}, as its header says`,
    );

  const setupHeader = file.slice(SetupField.begin, end);
  const has = (field: number, bytes: number): boolean => field + bytes <= end;
  const word = (field: number): number => (has(field, 4) ? view.getUint32(field, true) : 0);
  const preferred = word(SetupField.preferredAddress) + word(SetupField.preferredAddress + 4) * 2 ** 32;
  const isRelocatable = file[SetupField.isRelocatable] !== 0;
  const alignment = word(SetupField.alignment);
  if (isRelocatable && (alignment === 0 || (alignment & (alignment - 1)) !== 0))
    throw new ImageError(`Linux kernel alignment ${alignment}: a power of 2 is allowed`);
  // A relocatable kernel moves up to its preferred address, never down.
  const aligned = isRelocatable ? Math.ceil(loadAddress / alignment) * alignment : 0;
  const hasExtendedFlags = version >= 0x20c && has(SetupField.extendedFlags, 2);
  return {
    protocol: 'linux',
    entry: loadAddress,
    segments: [{ address: loadAddress, bytes: file.subarray(start, start + size), memorySize: size }],
    setupHeader,
    version,
    hasLongEntry: hasExtendedFlags && (view.getUint16(SetupField.extendedFlags, true) & kernel64) !== 0,
    ramdiskLimit: word(SetupField.ramdiskLimit),
    commandLineSize: word(SetupField.commandLineSize),
    workStart: preferred === 0 ? loadAddress : Math.max(preferred, aligned),
    workBytes: version >= 0x20a ? Math.max(size, word(SetupField.initSize)) : size,
  };
}

function versionText(version: number): string {
  return `${version >> 8}.${(version & 0xff).toString().padStart(2, '0')}`;
}
