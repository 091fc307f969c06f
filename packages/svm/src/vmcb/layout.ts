/**
 * The virtual machine control block (APM vol. 2, appendix B): the one place that knows where a field lies. Name, offset, bytes, the clean bit
 * that covers it (15.15.3; -1: none), and what it is.
 */
const fields = [
  // Control area (table B-1).
  ['interceptCr', 0x000, 4, 0, 'intercepted reads (bits 15:0) and writes (31:16) of CR0 to CR15'],
  ['interceptDr', 0x004, 4, 0, 'intercepted reads (bits 15:0) and writes (31:16) of DR0 to DR15'],
  ['interceptExceptions', 0x008, 4, 0, 'intercepted exceptions by vector'],
  ['intercept1', 0x00c, 4, 0, 'intercepts: interrupts, instructions'],
  ['intercept2', 0x010, 4, 0, 'intercepts: SVM instructions and later ones'],
  ['intercept3', 0x014, 4, 0, 'intercepts: INVLPGB and later ones'],
  ['pauseFilterThreshold', 0x03c, 2, 0, 'ticks between PAUSEs that reload the filter'],
  ['pauseFilterCount', 0x03e, 2, 0, 'PAUSEs that are let through'],
  ['iopmBase', 0x040, 8, 1, 'physical address of the I/O permission map'],
  ['msrpmBase', 0x048, 8, 1, 'physical address of the MSR permission map'],
  ['tscOffset', 0x050, 8, 0, 'added to the time stamp counter'],
  ['asid', 0x058, 4, 2, 'address-space identifier of the guest'],
  ['tlbControl', 0x05c, 1, -1, 'flush at VMRUN: 0 none, 1 all, 3 this ASID, 7 this ASID but globals'],
  ['virtualInterrupt', 0x060, 4, 3, 'V_TPR 7:0, V_IRQ 8, V_INTR_PRIO 19:16, V_IGN_TPR 20, V_INTR_MASKING 24'],
  ['virtualVector', 0x064, 4, 3, 'V_INTR_VECTOR'],
  ['interruptShadow', 0x068, 8, -1, 'bit 0: the guest is in an interrupt shadow; bit 1: its IF'],
  ['exitCode', 0x070, 8, -1, 'why the guest was left'],
  ['exitInfo1', 0x078, 8, -1, 'about the exit'],
  ['exitInfo2', 0x080, 8, -1, 'about the exit'],
  ['exitIntInfo', 0x088, 8, -1, 'event whose delivery the exit cut short'],
  ['nestedControl', 0x090, 8, 4, 'bit 0: nested paging'],
  ['avicApicBar', 0x098, 8, 11, 'guest-physical address of the APIC'],
  ['ghcb', 0x0a0, 8, -1, 'guest-physical address of the GHCB'],
  ['eventInjection', 0x0a8, 8, -1, 'event that VMRUN delivers'],
  ['nestedCr3', 0x0b0, 8, 4, 'root of the nested page tables'],
  ['virtualExtensions', 0x0b8, 8, 10, 'bit 0: LBR virtualization, bit 1: virtual VMLOAD and VMSAVE'],
  ['cleanBits', 0x0c0, 4, -1, 'groups that have not changed since the last exit'],
  ['nextRip', 0x0c8, 8, -1, 'RIP behind the intercepted instruction'],
  ['fetchedCount', 0x0d0, 1, -1, 'bytes fetched of the instruction'],
  ['fetchedBytes', 0x0d1, 15, -1, 'these bytes'],
  ['avicBackingPage', 0x0e0, 8, 11, 'physical address of the backing page'],
  ['avicLogicalTable', 0x0f0, 8, 11, 'physical address of the logical table'],
  ['avicPhysicalTable', 0x0f8, 8, 11, 'physical address of the physical table'],
  ['vmsa', 0x108, 8, -1, 'physical address of the VMSA'],

  // State save area (table B-2).
  ['esSelector', 0x400, 2, 8, 'ES'],
  ['esAttributes', 0x402, 2, 8, 'ES: descriptor bits 47:40 in 7:0, 55:52 in 11:8'],
  ['esLimit', 0x404, 4, 8, 'ES, in bytes'],
  ['esBase', 0x408, 8, 8, 'ES'],
  ['csSelector', 0x410, 2, 8, 'CS'],
  ['csAttributes', 0x412, 2, 8, 'CS'],
  ['csLimit', 0x414, 4, 8, 'CS'],
  ['csBase', 0x418, 8, 8, 'CS'],
  ['ssSelector', 0x420, 2, 8, 'SS'],
  ['ssAttributes', 0x422, 2, 8, 'SS'],
  ['ssLimit', 0x424, 4, 8, 'SS'],
  ['ssBase', 0x428, 8, 8, 'SS'],
  ['dsSelector', 0x430, 2, 8, 'DS'],
  ['dsAttributes', 0x432, 2, 8, 'DS'],
  ['dsLimit', 0x434, 4, 8, 'DS'],
  ['dsBase', 0x438, 8, 8, 'DS'],
  ['fsSelector', 0x440, 2, -1, 'FS; VMLOAD and VMSAVE'],
  ['fsAttributes', 0x442, 2, -1, 'FS'],
  ['fsLimit', 0x444, 4, -1, 'FS'],
  ['fsBase', 0x448, 8, -1, 'FS'],
  ['gsSelector', 0x450, 2, -1, 'GS; VMLOAD and VMSAVE'],
  ['gsAttributes', 0x452, 2, -1, 'GS'],
  ['gsLimit', 0x454, 4, -1, 'GS'],
  ['gsBase', 0x458, 8, -1, 'GS'],
  ['gdtrLimit', 0x464, 4, 7, 'GDTR'],
  ['gdtrBase', 0x468, 8, 7, 'GDTR'],
  ['ldtrSelector', 0x470, 2, -1, 'LDTR; VMLOAD and VMSAVE'],
  ['ldtrAttributes', 0x472, 2, -1, 'LDTR'],
  ['ldtrLimit', 0x474, 4, -1, 'LDTR'],
  ['ldtrBase', 0x478, 8, -1, 'LDTR'],
  ['idtrLimit', 0x484, 4, 7, 'IDTR'],
  ['idtrBase', 0x488, 8, 7, 'IDTR'],
  ['trSelector', 0x490, 2, -1, 'TR; VMLOAD and VMSAVE'],
  ['trAttributes', 0x492, 2, -1, 'TR'],
  ['trLimit', 0x494, 4, -1, 'TR'],
  ['trBase', 0x498, 8, -1, 'TR'],
  ['cpl', 0x4cb, 1, 8, 'current privilege level'],
  ['efer', 0x4d0, 8, 5, 'EFER'],
  ['cr4', 0x548, 8, 5, 'CR4'],
  ['cr3', 0x550, 8, 5, 'CR3'],
  ['cr0', 0x558, 8, 5, 'CR0'],
  ['dr7', 0x560, 8, 6, 'DR7'],
  ['dr6', 0x568, 8, 6, 'DR6'],
  ['rflags', 0x570, 8, -1, 'RFLAGS'],
  ['rip', 0x578, 8, -1, 'RIP'],
  ['rsp', 0x5d8, 8, -1, 'RSP'],
  ['sCet', 0x5e0, 8, 12, 'S_CET'],
  ['ssp', 0x5e8, 8, 12, 'SSP'],
  ['interruptSspTable', 0x5f0, 8, 12, 'ISST_ADDR'],
  ['rax', 0x5f8, 8, -1, 'RAX'],
  ['star', 0x600, 8, -1, 'STAR; VMLOAD and VMSAVE'],
  ['lstar', 0x608, 8, -1, 'LSTAR'],
  ['cstar', 0x610, 8, -1, 'CSTAR'],
  ['sfmask', 0x618, 8, -1, 'SFMASK'],
  ['kernelGsBase', 0x620, 8, -1, 'KernelGSBase'],
  ['sysenterCs', 0x628, 8, -1, 'SYSENTER_CS'],
  ['sysenterEsp', 0x630, 8, -1, 'SYSENTER_ESP'],
  ['sysenterEip', 0x638, 8, -1, 'SYSENTER_EIP'],
  ['cr2', 0x640, 8, 9, 'CR2'],
  ['guestPat', 0x668, 8, 4, 'PAT of a guest with nested paging'],
  ['debugControl', 0x670, 8, 10, 'DebugCtl'],
  ['lastBranchFrom', 0x678, 8, 10, 'last branch: from'],
  ['lastBranchTo', 0x680, 8, 10, 'last branch: to'],
  ['lastInterruptFrom', 0x688, 8, 10, 'last interrupt: from'],
  ['lastInterruptTo', 0x690, 8, 10, 'last interrupt: to'],
] as const;

export type VmcbFieldName = (typeof fields)[number][0];

/** A field of the VMCB. */
export interface VmcbField {
  readonly name: VmcbFieldName;
  /** In bytes from the start of the VMCB; fields of 4 and 8 bytes are aligned to 4. */
  readonly offset: number;
  readonly bytes: number;
  /** Number of its clean bit, -1: it is always read. */
  readonly cleanBit: number;
  readonly text: string;
}

/** All fields in order. */
export const vmcbFields: readonly VmcbField[] = fields.map(([name, offset, bytes, cleanBit, text]) => ({
  name,
  offset,
  bytes,
  cleanBit,
  text,
}));

const offsets: Partial<Record<VmcbFieldName, number>> = {};
for (const [name, offset] of fields) offsets[name] = offset;

/** Byte offset of each field. A copy: what is spread is no hash table to V8 (measured in the processor's layout). */
export const vmcbOffset: Readonly<Record<VmcbFieldName, number>> = {
  ...(offsets as Record<VmcbFieldName, number>),
};

/** Bytes of a VMCB. */
export const vmcbSize = 4096;
