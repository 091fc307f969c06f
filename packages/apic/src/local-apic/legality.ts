import { Command, Lvt, Register, Spurious } from '../registers.ts';

/** How a register may be accessed. */
export const Access = { none: 0, read: 1, write: 2, both: 3 } as const;

interface Kinds {
  readonly hasCmci: boolean;
  readonly hasDeadline: boolean;
  readonly canSuppressBroadcast: boolean;
}

/** Bits of LVT entries that ignore writes, in both modes: delivery status and remote IRR. */
const lvtReadOnly = 0x5000;

/** What software may do with the registers of a local APIC, by offset / 16 (SDM vol. 3, tables 12-1 and 12-6). */
export class Legality {
  /** {@link Access} in xAPIC mode. */
  readonly xapic: Uint8Array = new Uint8Array(64);
  readonly x2apic: Uint8Array = new Uint8Array(64);
  /** Bits that keep what is written. */
  readonly writable: Int32Array = new Int32Array(64);
  /** Bits that raise #GP in x2APIC mode where they are set. */
  readonly reserved: Int32Array = new Int32Array(64);

  constructor({ hasCmci, hasDeadline, canSuppressBroadcast }: Kinds) {
    const { xapic, x2apic, writable, reserved } = this;
    const allow = (offset: number, inXapic: number, inX2apic: number, bits = 0, ignored = 0) => {
      xapic[offset >> 4] = inXapic;
      x2apic[offset >> 4] = inX2apic;
      writable[offset >> 4] = bits;
      reserved[offset >> 4] = ~(bits | ignored);
    };
    const both = (offset: number, bits: number, ignored = 0) =>
      allow(offset, Access.both, Access.both, bits, ignored);
    allow(Register.id, Access.both, Access.read, 0xff00_0000);
    allow(Register.version, Access.read, Access.read);
    both(Register.taskPriority, 0xff);
    allow(Register.processorPriority, Access.read, Access.read);
    allow(Register.endOfInterrupt, Access.write, Access.write);
    allow(Register.logicalDestination, Access.both, Access.read, 0xff00_0000);
    allow(Register.destinationFormat, Access.both, Access.none, 0xf000_0000);
    const suppress = canSuppressBroadcast ? Spurious.suppressBroadcast : 0;
    both(Register.spuriousVector, 0xff | Spurious.enable | Spurious.focusDisabled | suppress);
    for (let index = 0; index < 24; index++)
      allow(Register.inService + (index << 4), Access.read, Access.read);
    both(Register.errorStatus, 0);
    allow(Register.commandLow, Access.both, Access.both, Command.writable, ~Command.reserved);
    allow(Register.commandHigh, Access.both, Access.none, 0xff00_0000);

    const timerMode = Lvt.periodic | (hasDeadline ? Lvt.tscDeadline : 0);
    const plain = Lvt.vector | Lvt.masked;
    const pin = plain | Lvt.deliveryMode | Lvt.polarity | Lvt.level;
    both(Register.lvtTimer, plain | timerMode, lvtReadOnly);
    both(Register.lvtThermal, plain | Lvt.deliveryMode, lvtReadOnly);
    both(Register.lvtPerformance, plain | Lvt.deliveryMode, lvtReadOnly);
    both(Register.lvtLint0, pin, lvtReadOnly);
    both(Register.lvtLint1, pin, lvtReadOnly);
    both(Register.lvtError, plain, lvtReadOnly);
    if (hasCmci) both(Register.lvtCmci, plain | Lvt.deliveryMode, lvtReadOnly);
    both(Register.initialCount, -1);
    allow(Register.currentCount, Access.read, Access.read);
    both(Register.divideConfiguration, 0xb);
    allow(Register.selfIpi, Access.none, Access.write, 0xff);
  }
}
