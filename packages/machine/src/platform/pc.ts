import { type InterruptFabric, IoApic } from '@nest86/apic';
import {
  AcpiPm,
  type ByteSink,
  createHostBridge,
  DebugExit,
  EcamRegion,
  FwCfg,
  Hpet,
  I8042,
  I8254,
  I8259Pair,
  type InterruptLine,
  Mc146818,
  PciBus,
  type PciFunction,
  PcTestDevice,
  Port92,
  PortMap,
  ResetControl,
  Uart16550,
  type VirtioDevice,
  VirtioPci,
} from '@nest86/devices';
import type { PhysicalMemory } from '@nest86/mmu';
import { Gsi, Interrupt, Mmio, PciWindow, Port, Power, pciIrqs, Reset } from '../firmware/platform.ts';
import { type SnapshotUnit, unit } from '../snapshot/unit.ts';
import type { MachineClock } from '../time/machine-clock.ts';
import { BusSpace } from './bus-space.ts';
import { GuestRam } from './guest-ram.ts';
import { SharedLine, together } from './interrupt-lines.ts';

/** What the guest can ask of whoever owns the machine. */
interface PlatformOwner {
  powerOff(): void;
  reset(): void;
  /** @param value written to the exit port */
  exit(value: number): void;
}

export interface PcInit {
  readonly physical: PhysicalMemory;
  readonly clock: MachineClock;
  readonly fabric: InterruptFabric;
  readonly owner: PlatformOwner;
  readonly serial: ByteSink;
  /** Milliseconds since 1970 (UTC) at the start. */
  readonly wallClock: () => number;
  readonly memory: number;
  readonly processors: number;
  /** At PCI slots from 1 on. */
  readonly devices: readonly VirtioDevice[];
  /** Adds the test device of kvm-unit-tests. */
  readonly testDevice: boolean;
}

/** Ports of what no table of the firmware names. */
const ports = {
  master8259: 0x20,
  timer: 0x40,
  systemControl: 0x61,
  port92: 0x92,
  slave8259: 0xa0,
  exit: 0xf4,
  triggers8259: 0x4d0,
  firmwareConfiguration: 0x510,
  testLatch: 0xe0,
  testFlush: 0xe4,
  testByteLatch: 0xe8,
  testLines: 0x2000,
} as const;

/** I/O ports that base address registers get. */
const ioWindow = { start: 0xc000, end: 0x1_0000 } as const;
const elcrLevel10and11 = 0x0c;
const testMemory = { start: 0xff00_0000, size: 0x1_0000 } as const;
const isaLines = 16;
/** The slave 8259's: nobody else drives it. */
const cascade = 2;

/** The chips of a PC and how they are wired: ISA interrupts reach the 8259s and the I/O APIC, PCI's their own inputs. */
export class Pc {
  readonly ports: PortMap = new PortMap();
  readonly pic: I8259Pair;
  readonly ioApic: IoApic;
  readonly hpet: Hpet;
  readonly timer: I8254;
  readonly clock: Mc146818;
  readonly power: AcpiPm;
  readonly keyboard: I8042;
  readonly serial: Uart16550;
  readonly pci: PciBus;
  readonly virtio: readonly VirtioPci[];
  readonly firmwareConfiguration: FwCfg;
  readonly testDevice: PcTestDevice | undefined;
  private readonly hostBridge: PciFunction;
  private readonly port92: Port92;
  private readonly resetControl: ResetControl;

  /** @param lint0 the bootstrap processor's: it is made later */
  constructor(init: PcInit, lint0: InterruptLine) {
    const { physical, clock, fabric, owner, devices } = init;
    this.pic = new I8259Pair({ output: lint0 });
    this.ioApic = new IoApic({ bus: fabric });
    fabric.addIoApic(this.ioApic);
    physical.addRegion({
      kind: 'mmio',
      start: Mmio.ioApic,
      size: Mmio.ioApicBytes,
      handler: this.ioApic,
      name: 'I/O APIC',
    });

    const isa = (irq: number): InterruptLine =>
      together(this.pic.line(irq), this.ioApic.line(irq === Interrupt.timer ? Gsi.timer : irq));

    const a20 = (isOpen: boolean): void => {
      physical.a20 = isOpen;
    };
    const reset = (): void => owner.reset();
    this.hpet = new Hpet({
      clock,
      irq0: isa(Interrupt.timer),
      irq8: isa(Interrupt.clock),
      route: (input) => this.ioApic.line(input),
    });
    physical.addRegion({ kind: 'mmio', start: Mmio.hpet, size: 4096, handler: this.hpet, name: 'HPET' });
    this.timer = new I8254({ clock, interrupt: this.hpet.pit });
    this.clock = new Mc146818({ clock, wallClock: init.wallClock, interrupt: this.hpet.rtc });
    this.power = new AcpiPm({ clock, sci: isa(Power.interrupt), powerOff: () => owner.powerOff() });
    this.keyboard = new I8042({
      keyboardInterrupt: isa(Interrupt.keyboard),
      mouseInterrupt: isa(Interrupt.mouse),
      a20,
      reset,
    });
    this.port92 = new Port92({ a20, reset });
    this.resetControl = new ResetControl(reset);
    this.serial = new Uart16550({ output: init.serial, interrupt: isa(Interrupt.serial) });

    const map = this.ports;
    map.addBytes(ports.master8259, 2, this.pic.master);
    map.addBytes(ports.slave8259, 2, this.pic.slave);
    map.addBytes(ports.triggers8259, 2, this.pic.triggers);
    map.addBytes(ports.timer, 4, this.timer);
    map.addBytes(ports.systemControl, 1, this.timer.systemControl);
    map.addBytes(Port.keyboardData, 1, this.keyboard.data);
    map.addBytes(Port.keyboardCommand, 1, this.keyboard.command);
    map.addBytes(Port.clock, 2, this.clock);
    map.addBytes(ports.port92, 1, this.port92);
    map.addBytes(Port.serial, 8, this.serial);
    map.addBytes(Reset.port, 1, this.resetControl);
    map.add(Power.eventPort, 64, this.power);
    map.add(ports.exit, 4, new DebugExit((value) => owner.exit(value)));

    const memory = new GuestRam(physical);
    this.firmwareConfiguration = new FwCfg({ ramSize: init.memory, cpus: init.processors, memory });
    map.add(ports.firmwareConfiguration, 12, this.firmwareConfiguration);
    if (init.testDevice) {
      const lines = Array.from({ length: Gsi.inputs }, (_, input) =>
        input < isaLines && input !== cascade ? isa(input) : this.ioApic.line(input),
      );
      this.testDevice = new PcTestDevice({ line: (input) => lines[input] });
      map.add(ports.testLatch, 4, this.testDevice.latch);
      map.add(ports.testFlush, 4, this.testDevice.flush);
      map.addBytes(ports.testByteLatch, 4, this.testDevice.byteLatch);
      map.add(ports.testLines, Gsi.inputs, this.testDevice.lines);
      physical.addRegion({
        kind: 'mmio',
        ...testMemory,
        handler: this.testDevice.memory,
        name: 'test device',
      });
    }

    const irqs = new Map([...new Set(pciIrqs)].map((irq) => [irq, new SharedLine(this.pic.line(irq))]));
    const pin = (line: number): InterruptLine =>
      together(this.ioApic.line(Gsi.pci + line), (irqs.get(pciIrqs[line]) as SharedLine).driver());
    this.pci = new PciBus({
      space: new BusSpace(physical, map),
      interrupts: [pin(0), pin(1), pin(2), pin(3)],
    });
    this.hostBridge = createHostBridge();
    this.pci.add(0, this.hostBridge);
    map.add(Port.pciConfiguration, 1, this.pci.addressPort);
    map.add(Port.pciConfiguration + 4, 4, this.pci.dataPorts);
    const ecam = new EcamRegion(this.pci);
    physical.addRegion({
      kind: 'mmio',
      start: Mmio.ecam,
      size: ecam.size,
      handler: ecam,
      name: 'PCI configuration',
    });
    const messages = {
      message: (address: number, data: number): void => void fabric.deliverMsi(address, data),
    };
    this.virtio = devices.map((device) => new VirtioPci({ device, memory, clock, messages }));
    for (const [i, { pciFunction }] of this.virtio.entries()) this.pci.add(i + 1, pciFunction);
  }

  /** For snapshots, in the order in which they are restored: interrupt controllers last, since others drive their lines on the way. */
  units(): SnapshotUnit[] {
    const { hpet, timer, clock, power, keyboard, serial, port92, resetControl, testDevice, pci } = this;
    return [
      unit('hpet', hpet),
      unit('timer', timer),
      unit('rtc', clock),
      unit('power', power),
      unit('keyboard', keyboard),
      unit('uart', serial),
      unit('port92', port92),
      unit('reset-control', resetControl),
      unit('fw-cfg', this.firmwareConfiguration),
      ...(testDevice === undefined ? [] : [unit('test-device', testDevice)]),
      unit('pci', pci),
      unit('pci/host-bridge', this.hostBridge),
      ...this.virtio.map((device, i) => unit(`virtio/${i}`, device)),
      unit('pic', this.pic),
      unit('io-apic', this.ioApic),
    ];
  }

  /** RESET, and what firmware leaves behind. */
  reset(physical: PhysicalMemory): void {
    const { pic, ioApic, hpet, timer, clock, power, keyboard, serial, port92, resetControl } = this;
    for (const chip of [hpet, timer, clock, power, keyboard, serial, port92, resetControl]) chip.reset();
    physical.a20 = true;
    this.testDevice?.reset();
    this.firmwareConfiguration.reset();
    this.pci.reset();
    for (const device of this.virtio) device.reset();
    // Last, since the others move their lines on the way.
    pic.reset();
    ioApic.reset();
    pic.triggers.write(1, elcrLevel10and11);
    this.pci.assign({
      memory: { start: PciWindow.low, end: PciWindow.low + PciWindow.lowBytes },
      io: ioWindow,
      irqs: pciIrqs,
    });
  }
}
