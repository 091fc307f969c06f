import { lowRamLimit, memoryMap } from '../firmware/memory-map.ts';
import type { BootImage } from './boot-image.ts';
import { planBoot } from './boot-plan.ts';
import { ImageError } from './elf.ts';

export { type BootImage, readBootImage } from './boot-image.ts';

/** What a loader puts into memory and registers beside the image. */
export interface BootInformation {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly eax: number;
  readonly ebx: number;
}

/** The one structure that images without modules find, for the bare machine. @throws ImageError if there is no room, or for a Linux kernel */
export function bootInformation(
  image: BootImage,
  { memory, commandLine }: { readonly memory: number; readonly commandLine: string },
): BootInformation {
  if (image.protocol === 'linux') throw new ImageError('a Linux kernel needs more than a bare machine');
  const { writes, entry } = planBoot(image, {
    map: memoryMap(Math.min(memory, lowRamLimit)),
    commandLine,
  });
  const { address, bytes } = writes[image.segments.length];
  return { address, bytes, eax: entry.eax | 0, ebx: entry.ebx };
}
