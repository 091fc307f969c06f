import type { EntryState } from './boot-plan.ts';

/** Selectors that Linux' protocol fixes (__BOOT_CS, __BOOT_DS); the other protocols leave them open. */
const codeSelector = 0x10;
const dataSelector = 0x18;
const taskSelector = 0x20;

/** Bytes of {@link flatDescriptors}. */
export const descriptorTableBytes = 40;

/** Descriptors at the selectors of the entry state: two empty, code, data, a TSS at 0 that nobody uses. */
export function flatDescriptors(mode: 'protected' | 'long'): Uint8Array {
  const table = new Uint8Array(descriptorTableBytes);
  const view = new DataView(table.buffer);
  view.setUint32(codeSelector, 0xffff, true);
  view.setUint32(codeSelector + 4, mode === 'long' ? 0xaf_9b00 : 0xcf_9b00, true);
  view.setUint32(dataSelector, 0xffff, true);
  view.setUint32(dataSelector + 4, 0xcf_9300, true);
  view.setUint32(taskSelector, 0x67, true);
  view.setUint32(taskSelector + 4, 0x8b00, true);
  return table;
}

const data = { selector: dataSelector, base: 0, limit: -1, attributes: 0xc093 } as const;
const task = { selector: taskSelector, base: 0, limit: 0x67, attributes: 0x8b } as const;

/** In protected mode, flat, paging off: registers that are not given are 0. */
export function protectedEntry(
  rip: number,
  registers: { readonly eax?: number; readonly ebx?: number; readonly esi?: number },
  gdtr: EntryState['gdtr'],
): EntryState {
  const { eax = 0, ebx = 0, esi = 0 } = registers;
  const code = { selector: codeSelector, base: 0, limit: -1, attributes: 0xc09b };
  return { rip, eax, ebx, esi, cr0: 0x11, cr3: 0, cr4: 0, efer: 0, code, data, task, gdtr };
}

/** In 64-bit mode with identity-mapped pages. */
export function longEntry(rip: number, esi: number, cr3: number, gdtr: EntryState['gdtr']): EntryState {
  const code = { selector: codeSelector, base: 0, limit: -1, attributes: 0xa09b };
  // PE, ET, PG; PAE; LME, LMA.
  const control = { cr0: 0x8000_0011, cr3, cr4: 0x20, efer: 0x500 };
  return { rip, eax: 0, ebx: 0, esi, ...control, code, data, task, gdtr };
}

/** Bytes of {@link identityTables}: PML4, one PDPT, four page directories. */
export const identityTableBytes = 24576;

/** Page tables at a page's address that map the first 4 GiB to themselves in pages of 2 MiB (SDM vol. 3 §4.5). */
export function identityTables(address: number): Uint8Array {
  const tables = new Uint8Array(identityTableBytes);
  const view = new DataView(tables.buffer);
  const presentWritable = 3;
  const largePage = 0x80;
  view.setUint32(0, (address + 4096) | presentWritable, true);
  for (let i = 0; i < 4; i++)
    view.setUint32(4096 + 8 * i, (address + 8192 + 4096 * i) | presentWritable, true);
  for (let i = 0; i < 2048; i++)
    view.setUint32(8192 + 8 * i, ((i << 21) | largePage | presentWritable) >>> 0, true);
  return tables;
}
