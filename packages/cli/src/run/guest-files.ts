import {
  type BlockStore,
  type BootImage,
  CopyOnWriteStore,
  ImageError,
  readBootImage,
  SeededRandom,
  type Snapshot,
  VirtioBlock,
  type VirtioDevice,
  VirtioEntropy,
} from '@nest86/machine';
import { Complaint } from '../errors.ts';
import type { ByteSource, Io } from '../io.ts';

/** What a machine starts from. */
export type Beginning =
  | { readonly image: BootImage; readonly initrd: Uint8Array | undefined }
  | { readonly snapshot: Snapshot };

/** Reads kernel and initial RAM disk. @param memory bytes of the guest's RAM @throws Complaint naming the file and what is wrong with it */
export async function openKernel(
  kernel: string,
  initrd: string | undefined,
  memory: number,
  io: Io,
): Promise<Beginning> {
  const image = readImage(kernel, await readWhole(kernel, memory, io));
  return { image, initrd: initrd === undefined ? undefined : await readWhole(initrd, memory, io) };
}

/** What a guest finds at its PCI slots. */
export interface GuestDevices {
  /** New devices at each call, over the same disk. */
  devices(): readonly VirtioDevice[];
  /** Closes the disk's file. */
  close(): void;
}

const sector = 512;

/** @throws Complaint naming the file and what is wrong with it */
export async function openDevices(disk: string | undefined, seed: number, io: Io): Promise<GuestDevices> {
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
  return { devices, close: () => source?.close() };
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
