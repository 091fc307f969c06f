import { describe, expect, test } from 'vitest';
import { memoryMap } from '../src/firmware/memory-map.ts';
import { type BootProtocol, readBootImage } from '../src/load/boot-image.ts';
import { type BootPlan, type BootRequest, planBoot } from '../src/load/boot-plan.ts';
import { ImageError } from '../src/load/elf.ts';
import {
  code,
  elfFile,
  flatMultibootImage,
  kernelAddress,
  linuxImage,
  multiboot2Image,
  multibootImage,
  pvhImage,
} from './harness/images.ts';

const map = memoryMap(32 << 20);
const initrd = { bytes: new Uint8Array(10_000).fill(0x55), commandLine: 'A=1' };
const rsdp = { address: 0xf0000, bytes: new Uint8Array(36).fill(7) };
const request: BootRequest = { map, commandLine: 'console=ttyS0', modules: [initrd], rsdp };

/** RAM as a plan leaves it. */
function memoryOf({ writes }: BootPlan) {
  const bytes = new Uint8Array(32 << 20).fill(0xee);
  for (const write of writes) {
    bytes.fill(0, write.address, write.address + write.memorySize);
    bytes.set(write.bytes, write.address);
  }
  const view = new DataView(bytes.buffer);
  return {
    bytes,
    word: (at: number) => view.getUint32(at, true),
    long: (at: number) => Number(view.getBigUint64(at, true)),
    text: (at: number) => String.fromCharCode(...bytes.subarray(at, bytes.indexOf(0, at))),
  };
}

const kernels: readonly (readonly [name: string, protocol: BootProtocol, file: Uint8Array])[] = [
  ['bzImage', 'linux', linuxImage()],
  ['multiboot 1', 'multiboot', multibootImage()],
  ['flat multiboot 1', 'multiboot', flatMultibootImage()],
  ['multiboot 2', 'multiboot2', multiboot2Image()],
  ['PVH', 'pvh', pvhImage()],
];

describe.each(kernels)('%s', (_name, protocol, file) => {
  test('is understood, and its code lies at the entry', () => {
    const image = readBootImage(file);
    expect(image.protocol).toBe(protocol);
    expect(readBootImage(file, protocol).protocol).toBe(protocol);
    const plan = planBoot(image, request);
    const memory = memoryOf(plan);
    expect(memory.bytes.subarray(plan.entry.rip, plan.entry.rip + code.length)).toEqual(code);
    expect(plan.entry).toMatchObject({ cr0: 0x11, efer: 0, code: { selector: 0x10, attributes: 0xc09b } });
  });

  test('cut off anywhere, it is refused or another image', () => {
    for (let length = 0; length < file.length; length += length < 2000 ? 1 : 97)
      attempt(file.subarray(0, length));
  });

  test('flipped bits never do more than refuse it', () => {
    let random = 12345;
    const next = (below: number): number => {
      random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
      return (random >>> 8) % below;
    };
    const begin = protocol === 'linux' ? 0x1f0 : 0;
    let refused = 0;
    for (let i = 0; i < 4000; i++) {
      const damaged = file.slice();
      for (let j = next(3); j >= 0; j--)
        damaged[Math.min(file.length - 1, begin + next(160))] ^= 1 << next(8);
      if (!attempt(damaged)) refused++;
    }
    expect(refused).toBeGreaterThan(100);
  });

  test('a command line that is too long, or not ASCII', () => {
    const image = readBootImage(file);
    expect(() => planBoot(image, { map, commandLine: 'x'.repeat(9000) })).toThrow('are allowed');
    expect(() => planBoot(image, { map, commandLine: 'über' })).toThrow('character 1 of the command line');
  });

  test('an initrd or module for which there is no room', () => {
    const bytes = new Uint8Array(32 << 20);
    expect(() =>
      planBoot(readBootImage(file), { map, commandLine: '', modules: [{ bytes, commandLine: '' }] }),
    ).toThrow('no room for');
  });
});

/** Whether the file can be started; anything but an ImageError goes on. */
function attempt(file: Uint8Array): boolean {
  try {
    planBoot(readBootImage(file), request);
    return true;
  } catch (error) {
    if (error instanceof ImageError) return false;
    throw error;
  }
}

describe('Linux', () => {
  const image = readBootImage(linuxImage());

  test('finds its parameters', () => {
    const plan = planBoot(image, request);
    const memory = memoryOf(plan);
    const page = plan.entry.esi;
    expect(plan.entry.rip).toBe(0x10_0000);
    expect(memory.word(page + 0x202)).toBe(0x5372_6448);
    expect(memory.bytes[page + 0x210]).toBe(0xff);
    expect(memory.text(memory.word(page + 0x228))).toBe('console=ttyS0');
    const address = memory.word(page + 0x218);
    expect(memory.word(page + 0x21c)).toBe(10_000);
    expect(memory.bytes.subarray(address, address + 10_000)).toEqual(initrd.bytes);
    expect(address).toBe((32 << 20) - 12288);
    expect(memory.long(page + 0x70)).toBe(0xf0000);
    expect(memory.bytes[page + 0x1e8]).toBe(map.ranges.length);
    expect([memory.long(page + 0x2d0), memory.long(page + 0x2d8), memory.word(page + 0x2e0)]).toEqual([
      0, 0x9fc00, 1,
    ]);
    // Descriptors at the selectors of the protocol: flat, code and data.
    const { base } = plan.entry.gdtr;
    expect([memory.word(base + 0x10), memory.word(base + 0x14)]).toEqual([0xffff, 0xcf_9b00]);
    expect([memory.word(base + 0x18), memory.word(base + 0x1c)]).toEqual([0xffff, 0xcf_9300]);
  });

  test('is entered in long mode behind its first 200h bytes, with 4 GiB mapped to themselves', () => {
    const { entry, writes } = planBoot(image, { ...request, entry: 'long' });
    expect(entry).toMatchObject({ rip: 0x10_0200, cr0: 0x8000_0011, cr4: 0x20, efer: 0x500 });
    expect(entry.code.attributes).toBe(0xa09b);
    const memory = memoryOf({ entry, writes });
    for (const address of [0, 0x10_0000, 0x3fff_ffff, 0xc000_0000, 0xffff_f000]) {
      const upper = memory.long(memory.long(entry.cr3) - 3 + 8 * Math.floor(address / 2 ** 30)) - 3;
      const leaf = memory.long(upper + 8 * Math.floor((address % 2 ** 30) / 2 ** 21));
      expect(leaf).toBe(Math.floor(address / 2 ** 21) * 2 ** 21 + 0x83);
    }
  });

  test.each([
    ['cut off', 'cut off', (file: Uint8Array) => file.subarray(0, 4000)],
    [
      'cut off in its header',
      'ends within its Linux setup header',
      (file: Uint8Array) => file.subarray(0, 0x210),
    ],
    ['of an old protocol', 'protocol 2.05', changed(0x206, 5)],
    ['loaded low', 'zImage', changed(0x211, 0)],
    ['without boot flag', 'boot flag', changed(0x1fe, 0)],
    ['with an alignment of 3', 'alignment', changed(0x230, 3)],
    ['that needs too much', 'needs memory up to', changed(0x263, 0x70)],
  ])('a kernel %s', (_name, message, change) => {
    expect(() => planBoot(readBootImage(change(linuxImage())), request)).toThrow(message);
  });

  test('whose last unit of 16 bytes is not full', () => {
    const whole = 1536 + 4096;
    expect(readBootImage(linuxImage().subarray(0, whole - 15)).segments[0].bytes).toHaveLength(4081);
    expect(() => readBootImage(linuxImage().subarray(0, whole - 16))).toThrow('cut off');
  });

  test('without 64-bit entry', () => {
    const old = readBootImage(changed(0x236, 0)(linuxImage()));
    expect(() => planBoot(old, { ...request, entry: 'long' })).toThrow('no 64-bit entry');
  });

  test('takes one initrd', () => {
    expect(() => planBoot(image, { ...request, modules: [initrd, initrd] })).toThrow('takes one initrd');
  });
});

function changed(at: number, value: number) {
  return (file: Uint8Array): Uint8Array => {
    file[at] = value;
    return file;
  };
}

test('PVH: start information of version 1', () => {
  const plan = planBoot(readBootImage(pvhImage()), request);
  const memory = memoryOf(plan);
  const at = plan.entry.ebx;
  expect([memory.word(at), memory.word(at + 4), memory.word(at + 12)]).toEqual([0x336e_c578, 1, 1]);
  const modules = memory.long(at + 16);
  const address = memory.long(modules);
  expect(memory.long(modules + 8)).toBe(10_000);
  expect(memory.bytes.subarray(address, address + 10_000)).toEqual(initrd.bytes);
  expect(memory.text(memory.long(at + 24))).toBe('console=ttyS0');
  expect(memory.long(at + 32)).toBe(0xf0000);
  expect(memory.word(at + 48)).toBe(map.ranges.length);
  const last = memory.long(at + 40) + 24 * 3;
  expect([memory.long(last), memory.long(last + 8), memory.word(last + 16)]).toEqual([
    0x10_0000, 0x1f0_0000, 1,
  ]);
});

test('multiboot 1: modules behind the image, memory map, command line', () => {
  const second = { bytes: code, commandLine: '' };
  const plan = planBoot(readBootImage(multibootImage()), { ...request, modules: [initrd, second] });
  const memory = memoryOf(plan);
  const at = plan.entry.ebx;
  expect(plan.entry.eax).toBe(0x2bad_b002);
  expect(memory.word(at)).toBe(0x24d);
  expect([memory.word(at + 4), memory.word(at + 8)]).toEqual([639, 31 * 1024]);
  expect(memory.text(memory.word(at + 16))).toBe('console=ttyS0');
  expect(memory.word(at + 20)).toBe(2);
  const list = memory.word(at + 24);
  expect([memory.word(list), memory.word(list + 4)]).toEqual([
    kernelAddress + 4096,
    kernelAddress + 4096 + 10_000,
  ]);
  expect(memory.text(memory.word(list + 8))).toBe('A=1');
  expect(memory.word(list + 16)).toBe(kernelAddress + 4096 + 12288);
  expect(memory.text(memory.word(list + 24))).toBe('');
  expect(memory.word(at + 44)).toBe(24 * map.ranges.length);
});

test('multiboot 1: demands that are not known', () => {
  expect(() => readBootImage(multibootImage(8))).toThrow('flags 0x8');
});

test('multiboot 2: tags', () => {
  const plan = planBoot(readBootImage(multiboot2Image()), request);
  const memory = memoryOf(plan);
  const begin = plan.entry.ebx;
  expect(plan.entry.eax).toBe(0x36d7_6289);
  const tags = new Map<number, number>();
  let at = begin + 8;
  for (; memory.word(at) !== 0; at += (memory.word(at + 4) + 7) & ~7) tags.set(memory.word(at), at);
  expect(at + 8 - begin).toBe(memory.word(begin));
  expect([...tags.keys()]).toEqual([1, 2, 3, 4, 6, 15]);
  expect(memory.text((tags.get(1) ?? 0) + 8)).toBe('console=ttyS0');
  const module = tags.get(3) ?? 0;
  expect([memory.word(module + 8), memory.text(module + 16)]).toEqual([kernelAddress + 4096, 'A=1']);
  expect(memory.bytes[(tags.get(15) ?? 0) + 8]).toBe(7);
});

test.each([
  ['a frame buffer', 'header tag 5', [5, 20, 0, 0, 0, 0]],
  ['information that there is not', 'information 8', [1, 12, 8, 0]],
  ['a tag of no size', 'tag 6 of 0 bytes', [6, 0]],
  ['an entry without address', 'tag 3 of 8 bytes', [3, 8]],
  ['an entry outside', 'lies in no segment', [3, 12, 0x20_0000, 0]],
])('multiboot 2: an image that demands %s', (_name, message, tags) => {
  expect(() => readBootImage(multiboot2Image(...tags))).toThrow(message);
});

test('multiboot 2: what is optional may be demanded', () => {
  expect(readBootImage(multiboot2Image(0x1_0005, 20, 0, 0, 0, 0)).protocol).toBe('multiboot2');
});

test('parts that overlap, or lie where there is no RAM', () => {
  const note = pvhImage().slice(-24);
  const image = (address: number) =>
    readBootImage(
      elfFile(kernelAddress, [
        { type: 1, address: kernelAddress, bytes: code, memory: 4096 },
        { type: 1, address, bytes: code },
        { type: 4, bytes: note },
      ]),
    );
  expect(planBoot(image(kernelAddress + 4096), request).writes).toHaveLength(4);
  expect(() => planBoot(image(kernelAddress + 4095), request)).toThrow('overlap at 0x100fff');
  for (const address of [0x9fbff, 0xb8000, 0xf0000, 32 << 20, 0xe000_0000])
    expect(() => planBoot(image(address), request)).toThrow('no free RAM');
});

test('more than 3 GiB: the rest lies above 4 GiB', () => {
  const { lowRam, highRam, ranges } = memoryMap(3584 * 2 ** 20);
  expect([lowRam, highRam]).toEqual([3 * 2 ** 30, 2 ** 29]);
  let end = 0;
  for (const { start, size } of ranges) {
    expect(start).toBeGreaterThanOrEqual(end);
    end = start + size;
  }
  expect(end).toBe(2 ** 32 + 2 ** 29);
});
