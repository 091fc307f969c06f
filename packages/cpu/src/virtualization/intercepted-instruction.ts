import type { Instruction } from '@nest86/decoder';

/** How an instruction reaches a control register (SDM vol. 3, table 28-3). */
export const ControlAccess = {
  write: 0,
  read: 1,
  clearTaskSwitched: 2,
  loadMachineStatus: 3,
  storeMachineStatus: 4,
} as const;

/**
 * What the extension is asked about: one object, filled anew for each question. Which fields mean something depends on the class; the others
 * keep anything. Operands that only an exit's description needs are read from `instruction` by {@link OperandInformation}.
 */
export class InterceptedInstruction {
  /** One bit of `Intercept`. */
  what = 0;
  /** Decoded; not to be kept. */
  instruction!: Instruction;
  /**
   * Control or debug register; MSR, unsigned; port; vector of INT n; for descriptor tables 0 GDTR, 1 IDTR, 6 LDTR, 7 TR; selector of the new
   * task's TSS.
   */
  number = 0;
  /** The register, port, table, MSR is written. */
  isWrite = false;
  /** `ControlAccess`; source of a task switch (`TaskSwitchSource`). */
  kind = 0;
  /** Ports: 1, 2 or 4. */
  bytes = 0;
  /**
   * Written or read value of a control register, MSR or XCR. The extension may change it: `continue` then goes on with the changed value
   * (masks and shadows), and `completed` reads it as the result.
   */
  valueLow = 0;
  valueHigh = 0;
  /** Linear address of INVLPG, INS and OUTS, unchecked. */
  addressLow = 0;
  addressHigh = 0;
  /** INS and OUTS: number of the segment of the operand in memory, else -1. */
  segment = -1;
}
