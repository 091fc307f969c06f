import { Icw1, Icw4, Ocw2, Ocw3 } from './registers.ts';
import type { I8259ChipState } from './state.ts';

/** One 8259A interrupt controller. What is wired to its cascade lines is {@link I8259Pair}'s business. */
export class I8259Chip {
  private inputs = 0;
  private latched = 0;
  private imr = 0;
  private isr = 0;
  private elcr = 0;
  private vectorBase = 0;
  private icw3 = 0;
  private icw4 = 0;
  private expects = 0;
  private needsIcw4 = false;
  private isSingle = false;
  private lowestPriority = 7;
  private readsIsr = false;
  private polls = false;
  private specialMask = false;
  private rotatesInAutoEoi = false;

  /**
   * @param isMaster what SP/EN# tells it
   * @param levelCapable inputs that ELCR can make level-triggered
   * @param changed called after anything that may change {@link isPending}
   */
  constructor(
    private readonly isMaster: boolean,
    private readonly levelCapable: number,
    private readonly changed: () => void,
  ) {}

  /** The INT output. */
  get isPending(): boolean {
    return this.pendingLevel() >= 0;
  }

  /** Whether ICW3 has told this master that a slave is at an input. */
  hasSlaveAt(level: number): boolean {
    return this.isMaster && !this.isSingle && ((this.icw3 >> level) & 1) !== 0;
  }

  /** @param level 0 to 7 */
  setInput(level: number, isHigh: boolean): void {
    const bit = 1 << level;
    if (((this.inputs & bit) !== 0) === isHigh) return;
    this.inputs ^= bit;
    // An edge stays latched when its input falls before the acknowledge: what pulses an ISA line relies on it.
    if (isHigh && (this.elcr & bit) === 0) this.latched |= bit;
    this.changed();
  }

  /** The INTA cycle. @returns the level; 7 without a bit in ISR if nothing waits: a spurious interrupt */
  acknowledge(): number {
    const level = this.pendingLevel();
    if (level < 0) return 7;
    const bit = 1 << level;
    this.latched &= ~bit;
    if ((this.icw4 & Icw4.autoEoi) === 0) this.isr |= bit;
    else if (this.rotatesInAutoEoi) this.lowestPriority = level;
    return level;
  }

  vectorOf(level: number): number {
    return this.vectorBase | level;
  }

  /** @param offset A0: 0 or 1 */
  read(offset: number): number {
    if (this.polls) {
      this.polls = false;
      const isPending = this.isPending;
      const level = this.acknowledge();
      this.changed();
      return isPending ? 0x80 | level : 0;
    }
    if ((offset & 1) !== 0) return this.imr;
    return this.readsIsr ? this.isr : this.requests();
  }

  /** @param offset A0: 0 or 1 */
  write(offset: number, value: number): void {
    if ((offset & 1) !== 0) this.writeData(value & 0xff);
    else if ((value & Icw1.initialize) !== 0) this.initialize(value);
    else if ((value & Ocw3.isOcw3) !== 0) this.writeOcw3(value);
    else this.writeOcw2(value & 0xff);
    this.changed();
  }

  readElcr(): number {
    return this.elcr;
  }

  writeElcr(value: number): void {
    this.elcr = value & this.levelCapable;
    this.latched &= ~this.elcr;
    this.changed();
  }

  reset(): void {
    this.initialize(Icw1.needsIcw4);
    this.expects = 0;
    this.elcr = 0;
    this.latched = 0;
    this.vectorBase = 0;
    this.icw3 = 0;
    this.icw4 = 0;
    this.changed();
  }

  save(): I8259ChipState {
    const { inputs, latched, imr, isr, elcr, vectorBase, icw3, icw4, expects, needsIcw4, isSingle } = this;
    const { lowestPriority, readsIsr, polls, specialMask, rotatesInAutoEoi } = this;
    return {
      ...{ inputs, latched, imr, isr, elcr, vectorBase, icw3, icw4, expects, needsIcw4, isSingle },
      ...{ lowestPriority, readsIsr, polls, specialMask, rotatesInAutoEoi },
    };
  }

  restore(state: I8259ChipState): void {
    this.inputs = state.inputs;
    this.latched = state.latched;
    this.imr = state.imr;
    this.isr = state.isr;
    this.elcr = state.elcr;
    this.vectorBase = state.vectorBase;
    this.icw3 = state.icw3;
    this.icw4 = state.icw4;
    this.expects = state.expects;
    this.needsIcw4 = state.needsIcw4;
    this.isSingle = state.isSingle;
    this.lowestPriority = state.lowestPriority;
    this.readsIsr = state.readsIsr;
    this.polls = state.polls;
    this.specialMask = state.specialMask;
    this.rotatesInAutoEoi = state.rotatesInAutoEoi;
  }

  /** IRR: latched edges, and the inputs of what is level-triggered. */
  private requests(): number {
    return this.latched | (this.inputs & this.elcr);
  }

  /** The level that INTA would take, or -1. */
  private pendingLevel(): number {
    const waiting = this.requests() & ~this.imr;
    if (waiting === 0 || this.expects !== 0) return -1;
    // What special mask mode masks does not hold back others.
    const serving = this.specialMask ? this.isr & ~this.imr : this.isr;
    for (let i = 1; i <= 8; i++) {
      const level = (this.lowestPriority + i) & 7;
      const bit = 1 << level;
      const isOpen = (serving & bit) === 0;
      if ((waiting & bit) !== 0 && (isOpen || this.nests(level))) return level;
      if (!isOpen) return -1;
    }
    return -1;
  }

  /** Special fully nested mode: more of a slave's interrupts come through while one of them is served. */
  private nests(level: number): boolean {
    return (this.icw4 & Icw4.specialFullyNested) !== 0 && this.hasSlaveAt(level);
  }

  private initialize(icw1: number): void {
    // LTIM is without effect in PC chipsets: ELCR replaces it.
    this.latched = 0;
    this.imr = 0;
    this.isr = 0;
    this.lowestPriority = 7;
    this.readsIsr = false;
    this.polls = false;
    this.specialMask = false;
    this.rotatesInAutoEoi = false;
    this.needsIcw4 = (icw1 & Icw1.needsIcw4) !== 0;
    this.isSingle = (icw1 & Icw1.single) !== 0;
    if (!this.needsIcw4) this.icw4 = 0;
    this.expects = 2;
  }

  private writeData(value: number): void {
    switch (this.expects) {
      case 2:
        this.vectorBase = value & 0xf8;
        this.expects = this.isSingle ? this.afterIcw3() : 3;
        break;
      case 3:
        this.icw3 = value;
        this.expects = this.afterIcw3();
        break;
      case 4:
        this.icw4 = value;
        this.expects = 0;
        break;
      default:
        this.imr = value;
    }
  }

  private afterIcw3(): number {
    return this.needsIcw4 ? 4 : 0;
  }

  private writeOcw2(value: number): void {
    const level = value & 7;
    switch (value & 0xe0) {
      case Ocw2.eoi:
        this.endHighest();
        break;
      case Ocw2.specificEoi:
        this.isr &= ~(1 << level);
        break;
      case Ocw2.rotateOnEoi: {
        const ended = this.endHighest();
        if (ended >= 0) this.lowestPriority = ended;
        break;
      }
      case Ocw2.rotateOnSpecificEoi:
        this.isr &= ~(1 << level);
        this.lowestPriority = level;
        break;
      case Ocw2.setPriority:
        this.lowestPriority = level;
        break;
      case Ocw2.rotateInAutoEoiSet:
        this.rotatesInAutoEoi = true;
        break;
      case Ocw2.rotateInAutoEoiClear:
        this.rotatesInAutoEoi = false;
        break;
      default:
        // 010: no operation.
        break;
    }
  }

  /** Non-specific EOI. @returns the level that it has ended, or -1 */
  private endHighest(): number {
    const serving = this.specialMask ? this.isr & ~this.imr : this.isr;
    for (let i = 1; i <= 8; i++) {
      const level = (this.lowestPriority + i) & 7;
      if (((serving >> level) & 1) === 0) continue;
      this.isr &= ~(1 << level);
      return level;
    }
    return -1;
  }

  private writeOcw3(value: number): void {
    if ((value & Ocw3.enableSpecialMask) !== 0) this.specialMask = (value & Ocw3.specialMask) !== 0;
    if ((value & Ocw3.poll) !== 0) this.polls = true;
    else if ((value & Ocw3.readRegister) !== 0) this.readsIsr = (value & Ocw3.readIsr) !== 0;
  }
}
