import {
  type Aml,
  device,
  eisaId,
  firstArgument,
  integer,
  method,
  name,
  packageOf,
  reference,
  returned,
  scope,
  store,
  text,
  whenTrue,
} from './aml.ts';
import { Gsi, Interrupt, Mmio, PciWindow, Port, Power, pciIrqs, Reset } from './platform.ts';
import {
  busWindow,
  fixedMemory,
  ioPorts,
  ioWindow,
  isaInterrupt,
  memoryWindow,
  resourceTemplate,
} from './resources.ts';

/** Definition block of the DSDT, without the table's header: the devices that cannot be found by looking for them. */
export function differentiatedDescription(processors: number): Aml {
  return [
    // \_PIC: the system tells which interrupt controllers it uses (0: the 8259As).
    ...name('\\PICM', integer(0)),
    ...method('\\_PIC', 1, store(firstArgument, reference('\\PICM'))),
    ...scope('\\_SB', ...processorDevices(processors), hostBridge(), board(), eventTimer()),
    // \_S5: SLP_TYP for PM1a and PM1b, two reserved.
    ...name('\\_S5', packageOf(integer(Power.sleepTypeS5), integer(0), integer(0), integer(0))),
  ];
}

/** One per MADT entry; _UID ties them together. */
function processorDevices(count: number): Aml[] {
  return Array.from({ length: count }, (_, i) =>
    device(
      `C${i.toString(16).toUpperCase().padStart(3, '0')}`,
      name('_HID', text('ACPI0007')),
      name('_UID', integer(i)),
    ),
  );
}

function hostBridge(): Aml {
  const { pciConfiguration } = Port;
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A08')),
    name('_CID', eisaId('PNP0A03')),
    name('_SEG', integer(0)),
    name('_BBN', integer(0)),
    name('_UID', integer(0)),
    name(
      '_CRS',
      resourceTemplate(
        busWindow(0, 255),
        ioPorts(pciConfiguration, 8),
        ioWindow(0, pciConfiguration - 1),
        ioWindow(pciConfiguration + 8, 0xffff),
        memoryWindow(PciWindow.low, PciWindow.low + PciWindow.lowBytes - 1),
        memoryWindow(PciWindow.high, PciWindow.high + PciWindow.highBytes - 1),
      ),
    ),
    name(
      'PRTA',
      interruptRouting((line) => Gsi.pci + line),
    ),
    name(
      'PRTP',
      interruptRouting((line) => pciIrqs[line]),
    ),
    method(
      '_PRT',
      0,
      whenTrue(reference('\\PICM'), returned(reference('PRTA'))),
      returned(reference('PRTP')),
    ),
    serialPort(),
    realTimeClock(),
    keyboard(),
    mouse(),
  );
}

/** The interrupt of every device's four pins, without link devices between: line is (slot + pin) mod 4. */
function interruptRouting(interruptOfLine: (line: number) => number): Aml {
  const routes: Aml[] = [];
  for (let slot = 0; slot < 32; slot++)
    for (let pin = 0; pin < 4; pin++)
      routes.push(
        packageOf(
          integer(slot * 0x1_0000 + 0xffff),
          integer(pin),
          integer(0),
          integer(interruptOfLine((slot + pin) & 3)),
        ),
      );
  return packageOf(...routes);
}

function serialPort(): Aml {
  const resources = resourceTemplate(ioPorts(Port.serial, 8), isaInterrupt(Interrupt.serial));
  return device('COM1', name('_HID', eisaId('PNP0501')), name('_UID', integer(1)), name('_CRS', resources));
}

function realTimeClock(): Aml {
  const resources = resourceTemplate(ioPorts(Port.clock, 2), isaInterrupt(Interrupt.clock));
  return device('RTC', name('_HID', eisaId('PNP0B00')), name('_CRS', resources));
}

function keyboard(): Aml {
  const { keyboardData, keyboardCommand } = Port;
  const resources = resourceTemplate(
    ioPorts(keyboardData, 1),
    ioPorts(keyboardCommand, 1),
    isaInterrupt(Interrupt.keyboard),
  );
  return device('KBD', name('_HID', eisaId('PNP0303')), name('_CRS', resources));
}

function mouse(): Aml {
  const resources = resourceTemplate(isaInterrupt(Interrupt.mouse));
  return device('MOU', name('_HID', eisaId('PNP0F13')), name('_CRS', resources));
}

/** What no driver owns, so that nobody puts anything else there. */
function board(): Aml {
  const resources = resourceTemplate(
    ioPorts(Power.eventPort, 0x40),
    ioPorts(Reset.port, 1),
    fixedMemory(Mmio.ecam, Mmio.ecamBytes),
  );
  return device('MBRD', name('_HID', eisaId('PNP0C02')), name('_UID', integer(0)), name('_CRS', resources));
}

function eventTimer(): Aml {
  const resources = resourceTemplate(fixedMemory(Mmio.hpet, Mmio.hpetBytes));
  return device('HPET', name('_HID', eisaId('PNP0103')), name('_UID', integer(0)), name('_CRS', resources));
}
