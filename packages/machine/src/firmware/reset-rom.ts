import type { PhysicalMemory } from '@nest86/mmu';

/*
 * What a processor finds at the reset vector, FFFF_FFF0h (SDM vol. 3, 10.1.4). A kernel that the machine was given is started without it; it is there for
 * INIT of the bootstrap processor, for jumps to F000:FFF0 and FFFF:0000, and for a machine without a kernel.
 */

/** CMOS byte: what firmware is to do after the next reset (IBM PC/AT Technical Reference, "shutdown status byte"). */
export const shutdownByte = 0x0f;
/** Values of it that lead through the vector at 40:67; the first after an EOI to the 8259s. */
const Shutdown = { acknowledge: 5, jump: 0x0a } as const;

/** The first of the ROM's copies ends with the first MiB, the second with 4 GiB. Both read the same bytes of RAM, which nobody can write to. */
const romBytes = 0x1000;
export const lowRom: number = 0x10_0000 - romBytes;
const highRom = 2 ** 32 - romBytes;
const resetVector = 0xff0;

/** Instructions of 16-bit code and their bytes; a test holds one against the other. Jump targets are offsets in the ROM. */
export const resetCode: readonly (readonly [text: string, ...bytes: number[]])[] = [
  ['cli', 0xfa],
  ['cld', 0xfc],
  // The shutdown byte counts once. The index goes on with NMIs let through.
  ['mov al, 0x8f', 0xb0, 0x8f],
  ['out 0x70, al', 0xe6, 0x70],
  ['in al, 0x71', 0xe4, 0x71],
  ['mov ah, al', 0x88, 0xc4],
  ['xor al, al', 0x30, 0xc0],
  ['out 0x71, al', 0xe6, 0x71],
  ['mov al, 0xd', 0xb0, 0x0d],
  ['out 0x70, al', 0xe6, 0x70],
  ['cmp ah, 5', 0x80, 0xfc, Shutdown.acknowledge],
  ['je short 0x31', 0x74, 0x1a],
  ['cmp ah, 0xa', 0x80, 0xfc, Shutdown.jump],
  ['je short 0x39', 0x74, 0x1d],
  // INIT leaves CR0.CD as it was, RESET sets it (SDM vol. 3, table 10-1): after a RESET that leads here there is no kernel.
  ['mov eax, cr0', 0x0f, 0x20, 0xc0],
  ['test eax, 0x40000000', 0x66, 0xa9, 0, 0, 0, 0x40],
  ['jne short 0x4d', 0x75, 0x26],
  ['mov dx, 0xcf9', 0xba, 0xf9, 0x0c],
  ['mov al, 6', 0xb0, 0x06],
  ['out dx, al', 0xee],
  // 2Dh:
  ['cli', 0xfa],
  ['hlt', 0xf4],
  ['jmp short 0x2d', 0xeb, 0xfc],
  // 31h: the keyboard's byte and both 8259s.
  ['in al, 0x60', 0xe4, 0x60],
  ['mov al, 0x20', 0xb0, 0x20],
  ['out 0xa0, al', 0xe6, 0xa0],
  ['out 0x20, al', 0xe6, 0x20],
  // 39h: caches on, as firmware leaves them; a later jump here is no RESET.
  ['mov eax, cr0', 0x0f, 0x20, 0xc0],
  ['and eax, 0x9fffffff', 0x66, 0x25, 0xff, 0xff, 0xff, 0x9f],
  ['mov cr0, eax', 0x0f, 0x22, 0xc0],
  ['xor ax, ax', 0x31, 0xc0],
  ['mov ds, ax', 0x8e, 0xd8],
  ['jmp far dword ptr [0x467]', 0xff, 0x2e, 0x67, 0x04],
  // 4Dh: says so on the serial port.
  ['mov si, 0xf05c', 0xbe, 0x5c, 0xf0],
  ['mov dx, 0x3f8', 0xba, 0xf8, 0x03],
  ['lodsb cs:[si]', 0x2e, 0xac],
  ['test al, al', 0x84, 0xc0],
  ['je short 0x2d', 0x74, 0xd4],
  ['out dx, al', 0xee],
  ['jmp short 0x53', 0xeb, 0xf7],
];
const message = 'nest86: nothing to start\r\n\0';
/** jmp F000:F000: the first copy, whatever CS led here. */
const entry: readonly number[] = [0xea, 0x00, 0xf0, 0x00, 0xf0];

/** Whether firmware that finds this shutdown byte goes on where memory says instead of starting a kernel. */
export function resumes(shutdown: number): boolean {
  return shutdown === Shutdown.acknowledge || shutdown === Shutdown.jump;
}

/** Puts the ROM in its places. The page of RAM below 1 MiB that it takes lies in what the memory map calls reserved. */
export function addResetRom(physical: PhysicalMemory): void {
  const rom = new Uint8Array(romBytes);
  const code = resetCode.flatMap(([, ...bytes]) => bytes);
  rom.set(code);
  rom.set(new TextEncoder().encode(message), code.length);
  rom.set(entry, resetVector);
  physical.bytes.set(rom, physical.base + lowRom);
  for (const start of [lowRom, highRom])
    physical.addRegion({
      kind: 'rom',
      start,
      size: romBytes,
      backing: lowRom,
      priority: 1,
      name: 'reset ROM',
    });
}
