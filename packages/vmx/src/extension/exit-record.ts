/** How RFLAGS.RF is saved (SDM vol. 3, 28.3.3). */
export const ResumeFlag = { keep: 0, clear: 1, set: 2 } as const;

/** Why the guest is left, noted when the processor asks and written to the VMCS when it has come to rest. One object, filled anew. */
export class ExitRecord {
  reason = 0;
  qualificationLow = 0;
  qualificationHigh = 0;
  /** Interruption information, and the error code if it has one. */
  interruption = 0;
  errorCode = 0;
  instructionLength = 0;
  instructionInformation = 0;
  linearLow = 0;
  linearHigh = 0;
  guestPhysicalLow = 0;
  guestPhysicalHigh = 0;
  /** One of {@link ResumeFlag}. */
  resumeFlag: number = ResumeFlag.keep;
  /** IRET had ended blocking by NMI before it faulted. */
  byNmi = false;

  begin(reason: number): this {
    this.reason = reason;
    this.qualificationLow = 0;
    this.qualificationHigh = 0;
    this.interruption = 0;
    this.errorCode = 0;
    this.instructionLength = 0;
    this.instructionInformation = 0;
    this.linearLow = 0;
    this.linearHigh = 0;
    this.guestPhysicalLow = 0;
    this.guestPhysicalHigh = 0;
    this.resumeFlag = ResumeFlag.keep;
    this.byNmi = false;
    return this;
  }

  /** An instruction that was not executed. */
  instruction(reason: number, length: number): this {
    this.begin(reason);
    this.instructionLength = length;
    this.resumeFlag = ResumeFlag.clear;
    return this;
  }

  qualify(low: number, high = 0): this {
    this.qualificationLow = low;
    this.qualificationHigh = high;
    return this;
  }
}
