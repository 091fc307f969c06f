import { type ControlWord, Entry, Exit, Pin, Primary, Secondary } from '../capabilities/controls.ts';
import { Cell } from '../vmcs/fields.ts';
import type { EntryChecks } from './findings.ts';

/** Checks of the control fields (SDM vol. 3, 27.2.1): a violation is VMfailValid with error 7. */
export function checkControls(checks: EntryChecks): void {
  checks.begin('controls');
  checkExecutionControls(checks);
  checkExitControls(checks);
  checkEntryControls(checks);
}

function checkWord(checks: EntryChecks, word: ControlWord, value: number, section: string): void {
  const { required, allowed } = checks.capabilities;
  checks.expect(
    (value & required[word]) === required[word] && (value & ~allowed[word]) === 0,
    section,
    `${word} controls: reserved bits as the capability MSR says`,
  );
}

/** 27.2.1.1, in its order. */
function checkExecutionControls(checks: EntryChecks): void {
  const { vmcs, pin, primary, secondary, capabilities } = checks;
  const section = '27.2.1.1';
  checkWord(checks, 'pin', pin, section);
  checkWord(checks, 'primary', primary, section);
  if ((primary & Primary.secondary) !== 0) checkWord(checks, 'secondary', secondary, section);
  checks.expect(
    vmcs.low(Cell.cr3TargetCount) >>> 0 <= capabilities.cr3Targets,
    section,
    'CR3-target count: at most 4',
  );
  if ((primary & Primary.ioBitmaps) !== 0)
    checks.expect(
      checks.isPage(Cell.ioBitmapA) && checks.isPage(Cell.ioBitmapB),
      section,
      'I/O-bitmap addresses: bits 11:0 and those beyond the physical-address width are 0',
    );
  if ((primary & Primary.msrBitmaps) !== 0)
    checks.expect(
      checks.isPage(Cell.msrBitmaps),
      section,
      'MSR-bitmap address: bits 11:0 and those beyond the physical-address width are 0',
    );
  checkTprShadow(checks);
  checks.expect(
    (pin & Pin.virtualNmis) === 0 || (pin & Pin.nmi) !== 0,
    section,
    'virtual NMIs: only with NMI exiting',
  );
  checks.expect(
    (primary & Primary.nmiWindow) === 0 || (pin & Pin.virtualNmis) !== 0,
    section,
    'NMI-window exiting: only with virtual NMIs',
  );
  if ((secondary & Secondary.vpid) !== 0)
    checks.expect((vmcs.low(Cell.vpid) & 0xffff) !== 0, section, 'VPID: not 0');
  if ((secondary & Secondary.ept) !== 0)
    checks.expect(
      capabilities.takesEptp(vmcs.low(Cell.eptPointer), vmcs.high(Cell.eptPointer)),
      section,
      'EPTP: memory type, page-walk length and reserved bits as IA32_VMX_EPT_VPID_CAP says',
    );
  checks.expect(
    (secondary & Secondary.ept) !== 0 || (secondary & Secondary.unrestrictedGuest) === 0,
    section,
    'unrestricted guest: only with EPT',
  );
  checks.expect(
    (secondary & Secondary.ept) !== 0 || (secondary & Secondary.modeBasedExecute) === 0,
    section,
    'mode-based execute control: only with EPT',
  );
  if ((secondary & Secondary.pml) !== 0) {
    checks.expect((secondary & Secondary.ept) !== 0, section, 'PML: only with EPT');
    checks.expect(
      checks.isPage(Cell.pmlAddress),
      section,
      'PML address: bits 11:0 and those beyond the physical-address width are 0',
    );
  }
  if ((secondary & Secondary.vmFunctions) !== 0) {
    const controls = vmcs.low(Cell.vmFunctionControls);
    checks.expect(
      (controls & ~capabilities.vmFunctions) === 0 && vmcs.high(Cell.vmFunctionControls) === 0,
      section,
      'VM-function controls: reserved bits are 0',
    );
    if ((controls & 1) !== 0)
      checks.expect(
        (secondary & Secondary.ept) !== 0 && checks.isPage(Cell.eptpListAddress),
        section,
        'EPTP switching: only with EPT; bits 11:0 of the EPTP-list address and those beyond the physical-address width are 0',
      );
  }
  if ((secondary & Secondary.shadowing) !== 0)
    checks.expect(
      checks.isPage(Cell.vmreadBitmap) && checks.isPage(Cell.vmwriteBitmap),
      section,
      'VMREAD- and VMWRITE-bitmap addresses: bits 11:0 and those beyond the physical-address width are 0',
    );
  if ((secondary & Secondary.violationException) !== 0)
    checks.expect(
      checks.isPage(Cell.virtualizationExceptionAddress),
      section,
      'virtualization-exception information address: bits 11:0 and those beyond the physical-address width are 0',
    );
}

function checkTprShadow(checks: EntryChecks): void {
  const { vmcs, primary, secondary } = checks;
  const section = '27.2.1.1';
  if ((primary & Primary.tprShadow) === 0) {
    checks.expect(
      (secondary & (Secondary.x2apicMode | Secondary.apicRegisters | Secondary.virtualInterrupts)) === 0,
      section,
      'virtualize x2APIC mode, APIC-register virtualization, virtual-interrupt delivery: only with TPR shadow',
    );
    return;
  }
  const isPage = checks.isPage(Cell.virtualApicAddress);
  checks.expect(
    isPage,
    section,
    'virtual-APIC address: bits 11:0 and those beyond the physical-address width are 0',
  );
  if ((secondary & Secondary.virtualInterrupts) !== 0) return;
  const threshold = vmcs.low(Cell.tprThreshold);
  checks.expect((threshold & ~15) === 0, section, 'TPR threshold: bits 31:4 are 0');
  if ((secondary & Secondary.apicAccesses) !== 0 || !isPage) return;
  const low = vmcs.low(Cell.virtualApicAddress) | 0x80;
  const priority = (checks.state.readPhysical(low, vmcs.high(Cell.virtualApicAddress)) >>> 4) & 15;
  checks.expect(
    (threshold & 15) <= priority,
    section,
    'TPR threshold: not above bits 7:4 of the virtual TPR',
  );
}

/** 27.2.1.2. */
function checkExitControls(checks: EntryChecks): void {
  const { pin, exit } = checks;
  const section = '27.2.1.2';
  checkWord(checks, 'exit', exit, section);
  checks.expect(
    (exit & Exit.saveTimer) === 0 || (pin & Pin.preemptionTimer) !== 0,
    section,
    'saving the preemption timer: only with the timer',
  );
  checkList(checks, Cell.exitMsrStoreCount, Cell.exitMsrStoreAddress, section, 'VM-exit MSR-store');
  checkList(checks, Cell.exitMsrLoadCount, Cell.exitMsrLoadAddress, section, 'VM-exit MSR-load');
}

/** Lists of MSRs: 16-byte aligned, and first and last byte inside the physical-address width. */
function checkList(
  checks: EntryChecks,
  countCell: number,
  addressCell: number,
  section: string,
  name: string,
): void {
  const { vmcs, capabilities } = checks;
  const count = vmcs.low(countCell) >>> 0;
  if (count === 0) return;
  const low = vmcs.low(addressCell);
  const high = vmcs.high(addressCell);
  checks.expect(
    (low & 15) === 0 && capabilities.isPhysical(high),
    section,
    `${name} address: bits 3:0 and those beyond the physical-address width are 0`,
  );
  const carried = Math.floor(((low >>> 0) + count * 16 - 1) / 2 ** 32);
  checks.expect(
    capabilities.isPhysical((high + carried) | 0),
    section,
    `${name} area: its last byte is inside the physical-address width`,
  );
}

/** 27.2.1.3. */
function checkEntryControls(checks: EntryChecks): void {
  const { vmcs, entry, secondary } = checks;
  const section = '27.2.1.3';
  checkWord(checks, 'entry', entry, section);
  const information = vmcs.low(Cell.entryInterruption);
  if (information < 0) checkInjection(checks, information, secondary, section);
  checkList(checks, Cell.entryMsrLoadCount, Cell.entryMsrLoadAddress, section, 'VM-entry MSR-load');
  checks.expect(
    (entry & (Entry.toSmm | Entry.endDualMonitor)) === 0,
    section,
    'entry to SMM, deactivate dual-monitor treatment: 0 outside SMM',
  );
}

/** Hardware exceptions with an error code (SDM vol. 3, 27.2.1.3): #DF #TS #NP #SS #GP #PF #AC. */
const withErrorCode = 0x27d00;

function checkInjection(checks: EntryChecks, information: number, secondary: number, section: string): void {
  const { vmcs } = checks;
  const type = (information >>> 8) & 7;
  const vector = information & 0xff;
  checks.expect(type !== 1, section, 'VM-entry interruption type: not the reserved 1');
  if (type === 2) checks.expect(vector === 2, section, 'injected NMI: vector 2');
  if (type === 3) checks.expect(vector <= 31, section, 'injected hardware exception: vector 0 to 31');
  if (type === 7) checks.expect(vector === 0, section, 'injected other event: vector 0 (pending MTF)');
  const delivers = (information & 0x800) !== 0;
  const isProtected = (secondary & Secondary.unrestrictedGuest) === 0 || (vmcs.low(Cell.guestCr0) & 1) !== 0;
  if (!isProtected) checks.expect(!delivers, section, 'deliver error code: not into real-address mode');
  if (type !== 3) checks.expect(!delivers, section, 'deliver error code: with a hardware exception alone');
  else if (isProtected) {
    const has = vector <= 31 && ((withErrorCode >>> vector) & 1) !== 0;
    checks.expect(delivers === has, section, 'deliver error code: as the vector has one');
  }
  checks.expect(
    (information & 0x7fff_f000) === 0,
    section,
    'VM-entry interruption information: bits 30:12 are 0',
  );
  if (delivers)
    checks.expect(
      (vmcs.low(Cell.entryErrorCode) & ~0x7fff) === 0,
      section,
      'VM-entry exception error code: bits 31:15 are 0',
    );
  if (type >= 4 && type <= 6)
    checks.expect(
      vmcs.low(Cell.entryInstructionLength) >>> 0 <= 15,
      section,
      'VM-entry instruction length: 0 to 15',
    );
}
