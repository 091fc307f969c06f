import type { MemoryMap } from '../firmware/memory-map.ts';
import type { BootImage } from './boot-image.ts';
import { planLinux } from './linux-boot.ts';
import { planMultiboot } from './multiboot1.ts';
import { planMultiboot2 } from './multiboot2.ts';
import { checkPlacement } from './placement.ts';
import { planPvh } from './pvh.ts';

/** Bytes that a loader puts into RAM. */
export interface BootWrite {
  /** Guest-physical address. */
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Bytes in memory; those behind `bytes` are 0. */
  readonly memorySize: number;
}

/** A file handed to the kernel: an initrd, or a multiboot module. */
export interface BootModule {
  readonly bytes: Uint8Array;
  /** The module's own text; Linux' protocol has none. */
  readonly commandLine: string;
}

/** What a kernel is started with. */
export interface BootRequest {
  readonly map: MemoryMap;
  /** ASCII. Multiboot kernels expect a file name as the first word; it is passed as it stands. */
  readonly commandLine: string;
  /** Linux and PVH take one (the initrd). */
  readonly modules?: readonly BootModule[];
  /** The ACPI root pointer, which lies in memory already. */
  readonly rsdp?: { readonly address: number; readonly bytes: Uint8Array };
  /** `long`: through the 64-bit entry of a bzImage that has one. Default `protected`. */
  readonly entry?: 'protected' | 'long';
}

/** A segment register's content, attributes as in a descriptor's bits 55:40 without limit bits. */
interface EntrySegment {
  readonly selector: number;
  readonly base: number;
  /** In bytes, as int32: -1 is 4 GiB. */
  readonly limit: number;
  readonly attributes: number;
}

/** The processor at the kernel's first instruction. What is not named here is as after RESET; interrupts are off. */
export interface EntryState {
  readonly rip: number;
  readonly eax: number;
  readonly ebx: number;
  /** The whole of RSI in long mode. */
  readonly esi: number;
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly code: EntrySegment;
  /** DS, ES, FS, GS and SS. */
  readonly data: EntrySegment;
  /** TR: a busy 32-bit TSS, as PVH demands. */
  readonly task: EntrySegment;
  readonly gdtr: { readonly base: number; readonly limit: number };
}

/** What starts a kernel: writes to RAM, then the processor's state. */
export interface BootPlan {
  /** None overlaps another, all lie in RAM. */
  readonly writes: readonly BootWrite[];
  readonly entry: EntryState;
}

/** Where everything goes. @throws ImageError if it does not fit the machine's memory, or the image does not take what is asked */
export function planBoot(image: BootImage, request: BootRequest): BootPlan {
  const plan = planOf(image, request);
  checkPlacement(plan.writes, request.map);
  return plan;
}

function planOf(image: BootImage, request: BootRequest): BootPlan {
  switch (image.protocol) {
    case 'linux':
      return planLinux(image, request);
    case 'multiboot':
      return planMultiboot(image, request);
    case 'multiboot2':
      return planMultiboot2(image, request);
    case 'pvh':
      return planPvh(image, request);
  }
}
