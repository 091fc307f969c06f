import {
  type BlockStore,
  type BootImage,
  CopyOnWriteStore,
  ImageError,
  readBootImage,
  SeededRandom,
  VirtioBlock,
  type VirtioDevice,
  VirtioEntropy,
} from '@nest86/machine';
import { Complaint } from '../errors.ts';
import type { ByteSource, Io } from '../io.ts';

/** What a guest is made of that lies in files. */
export interface GuestFiles {
  readonly image: BootImage;
  readonly initrd: Uint8Array | undefined;
  /** New devices at each call, over the same files. */
  devices(): readonly VirtioDevice[];
  close(): void;
}

export interface FileChoice {
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly disk: string | undefined;
  /** Bytes of the guest's RAM. */
  readonly memory: number;
  readonly seed: number;
}

const sector = 512;

/** @throws Complaint naming the file and what is wrong with it */
export async function openGuestFiles(
  { kernel, initrd, disk, memory, seed }: FileChoice,
  io: Io,
): Promise<GuestFiles> {
  const image = readImage(kernel, await readWhole(kernel, memory, io));
  const ramDisk = initrd === undefined ? undefined : await readWhole(initrd, memory, io);
  const source = disk === undefined ? undefined : await io.openFile(disk);
  if (source !== undefined && (source.size === 0 || source.size % sector !== 0)) {
    source.close();
    throw new Complaint(
      `${disk}: ${source.size} bytes; a raw disk image is a multiple of ${sector}, and not empty`,
    );
  }
  const devices = (): VirtioDevice[] => {
    const entropy = new VirtioEntropy(new SeededRandom(seed));
    if (source === undefined) return [entropy];
    return [new VirtioBlock({ store: new CopyOnWriteStore(diskStore(source)) }), entropy];
  };
  return { image, initrd: ramDisk, devices, close: () => source?.close() };
}

/** Reads fail as I/O errors of the guest's where the file has become shorter than it was. */
function diskStore(source: ByteSource): Pick<BlockStore, 'size' | 'read'> {
  return {
    size: source.size,
    read(offset, target) {
      const count = source.read(target, offset);
      if (count < target.length) throw new Error(`the disk image ends at ${offset + count}`);
    },
  };
}

function readImage(path: string, bytes: Uint8Array): BootImage {
  try {
    return readBootImage(bytes);
  } catch (error) {
    throw error instanceof ImageError ? new Complaint(`${path}: ${error.message}`) : error;
  }
}

async function readWhole(path: string, memory: number, io: Io): Promise<Uint8Array> {
  const source = await io.openFile(path);
  try {
    if (source.size > memory)
      throw new Complaint(`${path}: ${source.size} bytes do not fit the guest's ${memory} (--memory)`);
    const bytes = new Uint8Array(source.size);
    return bytes.subarray(0, source.read(bytes, 0));
  } finally {
    source.close();
  }
}
