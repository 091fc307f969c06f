/*
 * Every field of the VMCS that there is here, with its encoding (SDM vol. 3, appendix B). The encoding says width (bits 14:13: 0 16 bits, 1 64,
 * 2 32, 3 natural) and kind (11:10: 0 control, 1 exit information, 2 guest, 3 host). Where a field lies in our region follows from its place in
 * the table.
 */
const fields = [
  ['vpid', 0x0000],
  ['postedInterruptVector', 0x0002],
  ['eptpIndex', 0x0004],
  ['guestEsSelector', 0x0800],
  ['guestCsSelector', 0x0802],
  ['guestSsSelector', 0x0804],
  ['guestDsSelector', 0x0806],
  ['guestFsSelector', 0x0808],
  ['guestGsSelector', 0x080a],
  ['guestLdtrSelector', 0x080c],
  ['guestTrSelector', 0x080e],
  ['guestInterruptStatus', 0x0810],
  ['pmlIndex', 0x0812],
  ['hostEsSelector', 0x0c00],
  ['hostCsSelector', 0x0c02],
  ['hostSsSelector', 0x0c04],
  ['hostDsSelector', 0x0c06],
  ['hostFsSelector', 0x0c08],
  ['hostGsSelector', 0x0c0a],
  ['hostTrSelector', 0x0c0c],

  ['ioBitmapA', 0x2000],
  ['ioBitmapB', 0x2002],
  ['msrBitmaps', 0x2004],
  ['exitMsrStoreAddress', 0x2006],
  ['exitMsrLoadAddress', 0x2008],
  ['entryMsrLoadAddress', 0x200a],
  ['executiveVmcs', 0x200c],
  ['pmlAddress', 0x200e],
  ['tscOffset', 0x2010],
  ['virtualApicAddress', 0x2012],
  ['apicAccessAddress', 0x2014],
  ['postedInterruptDescriptor', 0x2016],
  ['vmFunctionControls', 0x2018],
  ['eptPointer', 0x201a],
  ['eoiExitBitmap0', 0x201c],
  ['eoiExitBitmap1', 0x201e],
  ['eoiExitBitmap2', 0x2020],
  ['eoiExitBitmap3', 0x2022],
  ['eptpListAddress', 0x2024],
  ['vmreadBitmap', 0x2026],
  ['vmwriteBitmap', 0x2028],
  ['virtualizationExceptionAddress', 0x202a],
  ['xssExitingBitmap', 0x202c],
  ['enclsExitingBitmap', 0x202e],
  ['tscMultiplier', 0x2032],
  ['guestPhysicalAddress', 0x2400],
  ['linkPointer', 0x2800],
  ['guestDebugControl', 0x2802],
  ['guestPat', 0x2804],
  ['guestEfer', 0x2806],
  ['guestPerfGlobalControl', 0x2808],
  ['guestPdpte0', 0x280a],
  ['guestPdpte1', 0x280c],
  ['guestPdpte2', 0x280e],
  ['guestPdpte3', 0x2810],
  ['guestBndcfgs', 0x2812],
  ['hostPat', 0x2c00],
  ['hostEfer', 0x2c02],
  ['hostPerfGlobalControl', 0x2c04],

  ['pinControls', 0x4000],
  ['primaryControls', 0x4002],
  ['exceptionBitmap', 0x4004],
  ['pageFaultMask', 0x4006],
  ['pageFaultMatch', 0x4008],
  ['cr3TargetCount', 0x400a],
  ['exitControls', 0x400c],
  ['exitMsrStoreCount', 0x400e],
  ['exitMsrLoadCount', 0x4010],
  ['entryControls', 0x4012],
  ['entryMsrLoadCount', 0x4014],
  ['entryInterruption', 0x4016],
  ['entryErrorCode', 0x4018],
  ['entryInstructionLength', 0x401a],
  ['tprThreshold', 0x401c],
  ['secondaryControls', 0x401e],
  ['pauseLoopGap', 0x4020],
  ['pauseLoopWindow', 0x4022],
  ['instructionError', 0x4400],
  ['exitReason', 0x4402],
  ['exitInterruption', 0x4404],
  ['exitErrorCode', 0x4406],
  ['idtVectoring', 0x4408],
  ['idtVectoringErrorCode', 0x440a],
  ['exitInstructionLength', 0x440c],
  ['exitInstructionInformation', 0x440e],
  ['guestEsLimit', 0x4800],
  ['guestCsLimit', 0x4802],
  ['guestSsLimit', 0x4804],
  ['guestDsLimit', 0x4806],
  ['guestFsLimit', 0x4808],
  ['guestGsLimit', 0x480a],
  ['guestLdtrLimit', 0x480c],
  ['guestTrLimit', 0x480e],
  ['guestGdtrLimit', 0x4810],
  ['guestIdtrLimit', 0x4812],
  ['guestEsRights', 0x4814],
  ['guestCsRights', 0x4816],
  ['guestSsRights', 0x4818],
  ['guestDsRights', 0x481a],
  ['guestFsRights', 0x481c],
  ['guestGsRights', 0x481e],
  ['guestLdtrRights', 0x4820],
  ['guestTrRights', 0x4822],
  ['guestInterruptibility', 0x4824],
  ['guestActivity', 0x4826],
  ['guestSmbase', 0x4828],
  ['guestSysenterCs', 0x482a],
  ['preemptionTimer', 0x482e],
  ['hostSysenterCs', 0x4c00],

  ['cr0Mask', 0x6000],
  ['cr4Mask', 0x6002],
  ['cr0Shadow', 0x6004],
  ['cr4Shadow', 0x6006],
  ['cr3Target0', 0x6008],
  ['cr3Target1', 0x600a],
  ['cr3Target2', 0x600c],
  ['cr3Target3', 0x600e],
  ['exitQualification', 0x6400],
  ['ioRcx', 0x6402],
  ['ioRsi', 0x6404],
  ['ioRdi', 0x6406],
  ['ioRip', 0x6408],
  ['guestLinearAddress', 0x640a],
  ['guestCr0', 0x6800],
  ['guestCr3', 0x6802],
  ['guestCr4', 0x6804],
  ['guestEsBase', 0x6806],
  ['guestCsBase', 0x6808],
  ['guestSsBase', 0x680a],
  ['guestDsBase', 0x680c],
  ['guestFsBase', 0x680e],
  ['guestGsBase', 0x6810],
  ['guestLdtrBase', 0x6812],
  ['guestTrBase', 0x6814],
  ['guestGdtrBase', 0x6816],
  ['guestIdtrBase', 0x6818],
  ['guestDr7', 0x681a],
  ['guestRsp', 0x681c],
  ['guestRip', 0x681e],
  ['guestRflags', 0x6820],
  ['guestPendingDebug', 0x6822],
  ['guestSysenterEsp', 0x6824],
  ['guestSysenterEip', 0x6826],
  ['hostCr0', 0x6c00],
  ['hostCr3', 0x6c02],
  ['hostCr4', 0x6c04],
  ['hostFsBase', 0x6c06],
  ['hostGsBase', 0x6c08],
  ['hostTrBase', 0x6c0a],
  ['hostGdtrBase', 0x6c0c],
  ['hostIdtrBase', 0x6c0e],
  ['hostSysenterEsp', 0x6c10],
  ['hostSysenterEip', 0x6c12],
  ['hostRsp', 0x6c14],
  ['hostRip', 0x6c16],
] as const;

export type VmcsField = (typeof fields)[number][0];

/** All fields, in the order of their encodings. */
export const vmcsFields: readonly (readonly [name: VmcsField, encoding: number])[] = fields;

/** Width of a field by its encoding: bits 14:13. */
export const FieldWidth = { bits16: 0, bits64: 1, bits32: 2, natural: 3 } as const;

/** Kind of a field by its encoding: bits 11:10. */
export const FieldKind = { control: 0, exitInformation: 1, guest: 2, host: 3 } as const;

export function widthOf(encoding: number): number {
  return (encoding >>> 13) & 3;
}

/*
 * The region: revision at byte 0, abort indicator at 4 (SDM vol. 3, table 25-1), fields of 8 bytes from 40h on, and the launch state in the last
 * bytes, since VMCLEAR must leave bytes 0 to 3FFh alone (requirements 12.10).
 */
export const regionBytes = 4096;
const firstCell = 0x10;
/** Word of the region that is 1 while the VMCS is launched. */
export const launchCell = 0x3fc;
/** Word that holds the VMX-abort indicator. */
export const abortCell = 1;

const cells: Partial<Record<VmcsField, number>> = {};
const cellOfIndex = new Int16Array(0x400).fill(-1);
for (const [place, [name, encoding]] of fields.entries()) {
  const cell = firstCell + 2 * place;
  cells[name] = cell;
  cellOfIndex[indexOf(encoding)] = cell;
}

/** Word of the region at which a field begins; its high half, if it has one, follows. */
export const Cell: Readonly<Record<VmcsField, number>> = { ...(cells as Record<VmcsField, number>) };

/** Width, kind and the lower bits of the index. No index has more than six bits. */
function indexOf(encoding: number): number {
  return (((encoding >>> 13) & 3) << 8) | (((encoding >>> 10) & 3) << 6) | ((encoding >>> 1) & 0x3f);
}

/**
 * Word of a field by an encoding as VMREAD and VMWRITE have it, -1 if there is none. For the high half of a 64-bit field (bit 0) the word of its
 * low half.
 */
export function cellOfEncoding(encoding: number): number {
  // Bits 31:15 and 12 are reserved; indices end at 3Fh here, and a high half is there of 64-bit fields only.
  if ((encoding & ~0x6fff) !== 0 || (encoding & 0x380) !== 0) return -1;
  if ((encoding & 1) !== 0 && widthOf(encoding) !== FieldWidth.bits64) return -1;
  return cellOfIndex[indexOf(encoding)];
}

/** Highest index of any encoding, as IA32_VMX_VMCS_ENUM has it (SDM vol. 3, A.9). */
export const highestIndex: number = fields.reduce(
  (most, [, encoding]) => Math.max(most, (encoding >>> 1) & 0x1ff),
  0,
);
