import type { InterruptLine } from '../interrupt-line.ts';
import type { BytePorts } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import { I8259Chip } from './chip.ts';
import { levelCapable } from './registers.ts';
import type { I8259State } from './state.ts';

export interface I8259Ports {
  /** The master's INT: to the processor's INTR or to LINT0. */
  readonly output: InterruptLine;
}

/** The input of the master that the slave is wired to. */
const cascade = 2;

/** The two 8259A interrupt controllers of a PC: the slave's INT at the master's input 2. */
export class I8259Pair {
  /** At 20h, two ports. */
  readonly master: BytePorts;
  /** At A0h, two ports. */
  readonly slave: BytePorts;
  /** ELCR1 and ELCR2 at 4D0h, two ports. */
  readonly triggers: BytePorts;
  private readonly masterChip: I8259Chip;
  private readonly slaveChip: I8259Chip;
  private readonly lines: readonly InterruptLine[];
  private level = false;

  constructor(private readonly ports: I8259Ports) {
    const master = new I8259Chip(true, levelCapable.master, () => this.updateOutput());
    const slave = new I8259Chip(false, levelCapable.slave, () => master.setInput(cascade, slave.isPending));
    this.masterChip = master;
    this.slaveChip = slave;
    this.master = master;
    this.slave = slave;
    this.triggers = {
      read: (offset) => ((offset & 1) === 0 ? master : slave).readElcr(),
      write: (offset, value) => ((offset & 1) === 0 ? master : slave).writeElcr(value),
    };
    this.lines = Array.from({ length: 16 }, (_, irq) => ({
      set: (level) => (irq < 8 ? master : slave).setInput(irq & 7, level),
    }));
  }

  /** Whether the output is raised. */
  get isPending(): boolean {
    return this.masterChip.isPending;
  }

  /** @param irq 0 to 15 but 2, which is the cascade @throws RangeError */
  line(irq: number): InterruptLine {
    const line = this.lines[irq];
    if (line === undefined || irq === cascade) throw new RangeError(`IRQ ${irq}: 0 to 15 but 2 are allowed`);
    return line;
  }

  /** The processor's INTA cycles. @returns the vector, 0 to 255; if nothing waits any more that of IRQ 7 or 15, and no ISR bit is set for it */
  acknowledge(): number {
    const { masterChip, slaveChip } = this;
    const level = masterChip.acknowledge();
    let vector = masterChip.vectorOf(level);
    if (level === cascade && masterChip.hasSlaveAt(cascade)) {
      vector = slaveChip.vectorOf(slaveChip.acknowledge());
      // INT falls during INTA, so that what else waits is a new edge for the master.
      masterChip.setInput(cascade, false);
      masterChip.setInput(cascade, slaveChip.isPending);
    }
    this.updateOutput();
    return vector;
  }

  /** As after power-up: nothing masked, nothing initialized; the inputs stay as they are. */
  reset(): void {
    this.slaveChip.reset();
    this.masterChip.reset();
  }

  save(): I8259State {
    return { version: 1, master: this.masterChip.save(), slave: this.slaveChip.save() };
  }

  /** @throws SnapshotVersionError */
  restore(state: I8259State): void {
    requireVersion('8259', state, 1);
    this.masterChip.restore(state.master);
    this.slaveChip.restore(state.slave);
    this.level = this.isPending;
    this.ports.output.set(this.level);
  }

  private updateOutput(): void {
    const level = this.isPending;
    if (level === this.level) return;
    this.level = level;
    this.ports.output.set(level);
  }
}
