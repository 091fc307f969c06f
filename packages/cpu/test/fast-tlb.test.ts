import { expect, test } from 'vitest';
import { emptyTag, tlbEntries, tlbEntry, tlbEntryOffset } from '../src/memory/fast-tlb.ts';
import { BareProcessor } from './bare-processor.ts';

test('the tag of an empty entry is that of a page which has another entry', () => {
  for (let entry = 0; entry < tlbEntries; entry++)
    expect(tlbEntryOffset(emptyTag(entry).low) / tlbEntry.size).not.toBe(entry);
});

test.each([
  ['the last page', -8n],
  ['the last page, in its middle', -4096n],
  ['the page whose tag the first entry has', 0xffff_8000_0000_1000n],
])('%s is not taken for one that the empty fast TLB has', (_, address) => {
  for (const accel of ['interp', 'jit'] as const) {
    const bare: BareProcessor = new BareProcessor({ accel, heat: 1 });
    // MOV RAX, [RDI]; JMP back: the first time the page is not there either.
    bare.ram.set([0x48, 0x8b, 0x07, 0xeb, 0xfb], 0x1000);
    for (let round = 0; round < 3; round++) {
      bare.rip = 0x1000;
      bare.setRegister(7, 0x1000n);
      bare.processor.run(40);
      expect(bare.register(0)).not.toBe(0n);
      bare.setRegister(7, BigInt.asUintN(64, address));
      bare.processor.run(2);
      expect(bare.seen?.vector).toBe(14);
    }
  }
});
