/** When an external interrupt is looked at. */
export const InterruptGate = {
  /** As RFLAGS.IF and the interrupt shadow say. */
  flag: 0,
  /** Whatever they say: interrupts are their owner's, not the guest's. */
  open: 1,
  /** Never. */
  closed: 2,
} as const;

/**
 * What holds for the code that runs now. The extension owns the object and writes it at entries, exits and when its instructions change a
 * control; the processor reads it, so that what nobody intercepts costs no call. After a change it wants `controlsChanged` of the unit.
 */
export class GuestControls {
  /** A guest runs. */
  isGuest = false;
  /** Bits of `Intercept`: about these the extension is asked. Host mode may have some too, as CR4.VMXE in VMX operation. */
  intercepts = 0;
  /** Bit per vector: about these exceptions the extension is asked. */
  exceptions = 0;
  /** Bits of `EventSource`: about these it is asked when they are due. Those that are its own are always its. */
  events = 0;
  /** Bits of `EventSource` that are held back: INIT in VMX operation, nearly all with GIF = 0. They stay latched. */
  blocked = 0;
  /** One of `InterruptGate`. */
  interruptGate: number = InterruptGate.flag;
  /** `open`: the state's `nmiBlocked` is that of virtual NMIs and holds no NMI back (SDM vol. 3, 26.5.3). */
  nmiGate: number = InterruptGate.flag;
  /** After each instruction the source `monitorTrap` is due. */
  monitorTrap = false;
  /** Count of retired instructions at which the source `timer` is due, or infinity: the VMX preemption timer. */
  deadline: number = Number.POSITIVE_INFINITY;
  /** What the time stamp counter reads as: (counter × multiplier) >> 48, plus the offset. A multiplier of 0 stands for 1. */
  tscMultiplierLow = 0;
  tscMultiplierHigh = 0;
  tscOffsetLow = 0;
  tscOffsetHigh = 0;

  /** As outside any guest. */
  clear(): void {
    this.isGuest = false;
    this.intercepts = 0;
    this.exceptions = 0;
    this.events = 0;
    this.blocked = 0;
    this.interruptGate = InterruptGate.flag;
    this.nmiGate = InterruptGate.flag;
    this.monitorTrap = false;
    this.deadline = Number.POSITIVE_INFINITY;
    this.tscMultiplierLow = 0;
    this.tscMultiplierHigh = 0;
    this.tscOffsetLow = 0;
    this.tscOffsetHigh = 0;
  }
}
