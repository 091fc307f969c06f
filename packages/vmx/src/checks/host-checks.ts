import { Entry, Exit } from '../capabilities/controls.ts';
import { Cell } from '../vmcs/fields.ts';
import type { EntryChecks } from './findings.ts';
import { isPat } from './values.ts';

const cr4Pae = 0x20;
const cr4Pcide = 0x2_0000;
const cr4Cet = 0x80_0000;
const cr0Wp = 0x1_0000;
/** SCE, LME, LMA, NXE. */
const eferBits = 0xd01;

const selectors: readonly number[] = [
  Cell.hostCsSelector,
  Cell.hostSsSelector,
  Cell.hostDsSelector,
  Cell.hostEsSelector,
  Cell.hostFsSelector,
  Cell.hostGsSelector,
  Cell.hostTrSelector,
];
const bases: readonly number[] = [
  Cell.hostFsBase,
  Cell.hostGsBase,
  Cell.hostGdtrBase,
  Cell.hostIdtrBase,
  Cell.hostTrBase,
];

/** Checks of the host-state area (SDM vol. 3, 27.2.2 to 27.2.4): a violation is VMfailValid with error 8. */
export function checkHost(checks: EntryChecks): void {
  const { vmcs, exit, entry, capabilities, state } = checks;
  checks.begin('host');
  const cr0 = vmcs.low(Cell.hostCr0);
  const cr4 = vmcs.low(Cell.hostCr4);
  const registers = '27.2.2';
  checks.expect(
    (cr0 & capabilities.cr0Fixed0) === capabilities.cr0Fixed0 && vmcs.high(Cell.hostCr0) === 0,
    registers,
    'host CR0: bits as IA32_VMX_CR0_FIXED0 and FIXED1 say',
  );
  checks.expect(
    (cr4 & capabilities.cr4Fixed0) === capabilities.cr4Fixed0 &&
      (cr4 & ~capabilities.cr4Fixed1) === 0 &&
      vmcs.high(Cell.hostCr4) === 0,
    registers,
    'host CR4: bits as IA32_VMX_CR4_FIXED0 and FIXED1 say',
  );
  checks.expect((cr4 & cr4Cet) === 0 || (cr0 & cr0Wp) !== 0, registers, 'host CR4.CET: only with CR0.WP');
  checks.expect(
    checks.isPhysical(Cell.hostCr3),
    registers,
    'host CR3: no bit beyond the physical-address width',
  );
  checks.expect(
    checks.isCanonical(Cell.hostSysenterEsp) && checks.isCanonical(Cell.hostSysenterEip),
    registers,
    'host IA32_SYSENTER_ESP and EIP: canonical',
  );
  if ((exit & Exit.loadPat) !== 0)
    checks.expect(
      isPat(vmcs.low(Cell.hostPat)) && isPat(vmcs.high(Cell.hostPat)),
      registers,
      'host IA32_PAT: each byte one of 0, 1, 4, 5, 6, 7',
    );
  const isLong = (exit & Exit.hostLongMode) !== 0;
  if ((exit & Exit.loadEfer) !== 0) {
    const efer = vmcs.low(Cell.hostEfer);
    const long = isLong ? 0x500 : 0;
    checks.expect(
      (efer & ~eferBits) === 0 && vmcs.high(Cell.hostEfer) === 0 && (efer & 0x500) === long,
      registers,
      'host IA32_EFER: reserved bits 0, LMA and LME equal to host address-space size',
    );
  }

  const segments = '27.2.3';
  for (const cell of selectors)
    checks.expect((vmcs.low(cell) & 7) === 0, segments, 'host selectors: RPL and TI are 0');
  checks.expect(
    (vmcs.low(Cell.hostCsSelector) & 0xffff) !== 0 && (vmcs.low(Cell.hostTrSelector) & 0xffff) !== 0,
    segments,
    'host CS and TR selectors: not 0',
  );
  if (!isLong)
    checks.expect(
      (vmcs.low(Cell.hostSsSelector) & 0xffff) !== 0,
      segments,
      'host SS selector: not 0 without long mode',
    );
  for (const cell of bases) checks.expect(checks.isCanonical(cell), segments, 'host bases: canonical');

  const size = '27.2.4';
  checks.expect(
    state.isLongMode ? isLong : !isLong && (entry & Entry.longMode) === 0,
    size,
    'host address-space size: 1 in long mode; outside it, this and IA-32e mode guest are 0',
  );
  if (isLong) {
    checks.expect((cr4 & cr4Pae) !== 0, size, 'host CR4.PAE: 1 with host address-space size');
    checks.expect(checks.isCanonical(Cell.hostRip), size, 'host RIP: canonical');
  } else {
    checks.expect(
      (entry & Entry.longMode) === 0,
      size,
      'IA-32e mode guest: only with host address-space size',
    );
    checks.expect((cr4 & cr4Pcide) === 0, size, 'host CR4.PCIDE: 0 without host address-space size');
    checks.expect(vmcs.high(Cell.hostRip) === 0, size, 'host RIP: bits 63:32 are 0');
  }
}
