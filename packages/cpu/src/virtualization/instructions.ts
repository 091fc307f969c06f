import { Exception } from '../semantics/operation.ts';
import { guestFault } from '../system/fault.ts';
import type { Service, Services } from '../system/unit.ts';
import { Answer, OwnInstruction } from './extension.ts';

/** Gives an instruction to the extension. */
function own(which: number): Service {
  return (unit, instruction) => {
    const { interception } = unit;
    if (interception === undefined || interception.execute(which, instruction) === Answer.continue)
      throw guestFault(Exception.invalidOpcode);
  };
}

/**
 * VMCALL and VMMCALL: a guest's is the extension's; outside guests a paravirtual interface goes first, if there is one (virtualization.md D9).
 */
function hypercall(which: number): Service {
  const extensions = own(which);
  return (unit, instruction) => {
    const isGuest = unit.interception?.controls.isGuest === true;
    if (!isGuest && unit.hypercall?.() === true) return;
    extensions(unit, instruction);
  };
}

/** Instructions that belong to the extension; without one they raise #UD. */
export const extensionServices: Services = {
  VMCALL: hypercall(OwnInstruction.vmcall),
  VMMCALL: hypercall(OwnInstruction.vmmcall),
  VMLAUNCH: own(OwnInstruction.vmlaunch),
  VMRESUME: own(OwnInstruction.vmresume),
  VMXOFF: own(OwnInstruction.vmxoff),
  VMXON: own(OwnInstruction.vmxon),
  VMCLEAR: own(OwnInstruction.vmclear),
  VMPTRLD: own(OwnInstruction.vmptrld),
  VMPTRST: own(OwnInstruction.vmptrst),
  VMREAD: own(OwnInstruction.vmread),
  VMWRITE: own(OwnInstruction.vmwrite),
  VMFUNC: own(OwnInstruction.vmfunc),
  INVEPT: own(OwnInstruction.invept),
  INVVPID: own(OwnInstruction.invvpid),
  VMRUN: own(OwnInstruction.vmrun),
  VMLOAD: own(OwnInstruction.vmload),
  VMSAVE: own(OwnInstruction.vmsave),
  STGI: own(OwnInstruction.stgi),
  CLGI: own(OwnInstruction.clgi),
  INVLPGA: own(OwnInstruction.invlpga),
  SKINIT: own(OwnInstruction.skinit),
  VMGEXIT: own(OwnInstruction.vmgexit),
};
