import { expect, test } from 'vitest';
import { BareProcessor } from './bare-processor.ts';

test.each(['jit', 'interp'] as const)(
  'INVPCID of everything drops global pages from the fast TLB of a context that has no others (%s)',
  (accel) => {
    const cpu = new BareProcessor({ accel, ramSize: 16 << 20 });
    const { context, ram, processor } = cpu;
    // CR4.PGE and PCIDE; all pages global.
    context.set({ cr4: context.cr4 | 0x20080 });
    const directory = ram.length - 0x6000 + 0x2000;
    const view = new DataView(ram.buffer, ram.byteOffset);
    for (let i = 0; i < 2048; i++)
      view.setUint32(directory + 8 * i, view.getUint32(directory + 8 * i, true) | 0x100, true);
    processor.stateChanged();
    // MOV EAX, [rdi]; MOV EBX, [rdi] at 400000h.
    ram.set([0x8b, 0x07, 0x8b, 0x1f, 0x66, 0x0f, 0x38, 0x82, 0x16, 0x8b, 0x0f], 0x1000);
    view.setUint32(0x40_0000, 4, true);
    view.setUint32(0x60_0000, 6, true);
    cpu.rip = 0x1000;
    cpu.setRegister(7, 0x40_0000n);
    cpu.setRegister(2, 2n);
    cpu.setRegister(6, 0x2000n);
    processor.run(2);
    // What lay at 600000h lies at 400000h now; INVPCID type 2, then MOV ECX, [rdi].
    view.setUint32(directory + 16, 0x60_0187, true);
    processor.run(2);
    expect([cpu.register(0), cpu.register(3), cpu.register(1)]).toEqual([4n, 4n, 6n]);
  },
);
