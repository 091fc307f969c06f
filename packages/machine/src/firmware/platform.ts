/*
 * Where the machine's chips answer: what ACPI tells the guest and what the wiring puts there must be the same. Ports and interrupts are a PC's
 * (ACPI 6.5 §4.8 leaves the choice of the power management block to the platform).
 */

/** ACPI fixed hardware (ACPI 6.5 §4.8.3). There is no SMI command: SCI_EN is always 1. */
export const Power = {
  /** PM1a_EVT_BLK: status at +0, enable at +2, 16 bits each. */
  eventPort: 0x600,
  eventBytes: 4,
  /** PM1a_CNT_BLK, 16 bits. */
  controlPort: 0x604,
  controlBytes: 2,
  /** PM_TMR_BLK: 32 bits wide, 3,579,545 Hz. */
  timerPort: 0x608,
  timerBytes: 4,
  /** SCI: level, active high, at this GSI. */
  interrupt: 9,
  /** SLP_TYP of \_S5: with SLP_EN (bit 13) it switches off. */
  sleepTypeS5: 7,
} as const;

/** Writing `value` to this port resets the machine (FADT: RESET_REG, RESET_VALUE). */
export const Reset = { port: 0xcf9, value: 6 } as const;

/** I/O ports of the legacy devices. */
export const Port = {
  keyboardData: 0x60,
  keyboardCommand: 0x64,
  clock: 0x70,
  serial: 0x3f8,
  pciConfiguration: 0xcf8,
} as const;

/** Interrupts of the legacy devices: input of the 8259A pair, and GSI but for the timer's. */
export const Interrupt = { timer: 0, keyboard: 1, serial: 4, clock: 8, mouse: 12 } as const;

/** Global system interrupts, one I/O APIC of 24 inputs from 0. */
export const Gsi = {
  inputs: 24,
  /** The 8254's output, and HPET timer 0 in legacy replacement. */
  timer: 2,
  /** INTA# of device 0; INTx# of device d is at `pci + ((d + x) & 3)`. Level; guests program them active low: the line's "asserted" counts. */
  pci: 16,
} as const;

/** Inputs of the 8259A pair for the four PCI interrupt lines, level: for guests without I/O APIC. */
export const pciIrqs = [11, 10, 11, 10] as const;

/** Offset in CMOS RAM of the century, BCD (FADT: CENTURY). */
export const centuryRegister = 0x32;

/** Register pages and windows of physical memory. */
export const Mmio = {
  /** Configuration space of 256 buses (PCI Express Base 5.0 §7.2.2). */
  ecam: 0xe000_0000,
  ecamBytes: 0x1000_0000,
  ioApic: 0xfec0_0000,
  ioApicBytes: 0x1000,
  hpet: 0xfed0_0000,
  hpetBytes: 0x400,
  localApic: 0xfee0_0000,
  localApicBytes: 0x10_0000,
} as const;

/** Where BARs may lie: below and above the configuration space. */
export const PciWindow = {
  low: 0xc000_0000,
  lowBytes: 0x2000_0000,
  high: 0xf000_0000,
  highBytes: 0xec0_0000,
} as const;

/** Least that HPET timers count per period in periodic mode, in its clock's ticks (HPET table: minimum tick). */
export const hpetMinimumTick = 0x80;

/** Lower half of the HPET's capabilities register: vendor 8086h, legacy replacement, 64-bit counter, 3 timers, revision 1 (IA-PC HPET 1.0a §2.3.4). */
export const hpetCapabilities = 0x8086_a201;
