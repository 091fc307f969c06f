export { AcpiPm, type AcpiPmOptions, type AcpiPmPorts, sleepTypeS5 } from './acpi-pm/device.ts';
export { ResetControl } from './acpi-pm/reset-control.ts';
export type { AcpiPmState, ResetControlState } from './acpi-pm/state.ts';
export type { Clock, Timer } from './clock.ts';
export { DebugExit } from './debug-exit/device.ts';
export { DebugConsole, PostCode } from './debug-ports/device.ts';
export type { PostCodeState } from './debug-ports/state.ts';
export { FwCfg, type FwCfgInit } from './fw-cfg/device.ts';
export { FwCfgKey } from './fw-cfg/registers.ts';
export type { FwCfgState } from './fw-cfg/state.ts';
export { Hpet, type HpetOptions, type HpetPorts } from './hpet/device.ts';
export type { HpetState, HpetTimerState } from './hpet/state.ts';
export { I8042, type I8042Ports } from './i8042/device.ts';
export type { I8042State, Ps2DeviceState, Ps2KeyboardState, Ps2MouseState } from './i8042/state.ts';
export { I8254, type I8254Ports } from './i8254/device.ts';
export type { I8254CounterState, I8254State } from './i8254/state.ts';
export { I8259Pair, type I8259Ports } from './i8259/device.ts';
export type { I8259ChipState, I8259State } from './i8259/state.ts';
export type { InterruptLine } from './interrupt-line.ts';
export { Mc146818, type Mc146818Ports } from './mc146818/device.ts';
export type { Mc146818State } from './mc146818/state.ts';
export { PcTestDevice, type PcTestDevicePorts } from './pc-testdev/device.ts';
export type { PcTestDeviceState } from './pc-testdev/state.ts';
export { EcamRegion, PciBus, type PciBusPorts, type PciWindows } from './pci/bus.ts';
export {
  type BaseAddressRegister,
  type Capability,
  PciFunction,
  type PciFunctionInit,
} from './pci/function.ts';
export { createHostBridge } from './pci/host-bridge.ts';
export { Msix } from './pci/msix.ts';
export type { AddressSpace, MessageSink, MmioHandler } from './pci/ports.ts';
export type { MsixState, PciBusState, PciFunctionState } from './pci/state.ts';
export { type BytePorts, type PortHandler, PortMap } from './port-map.ts';
export { Port92, type Port92Ports } from './port92/device.ts';
export type { Port92State } from './port92/state.ts';
export { PvPanic, type PvPanicPorts } from './pvpanic/device.ts';
export { SnapshotMismatchError } from './snapshot-mismatch.ts';
export { SnapshotVersionError } from './snapshot-version.ts';
export { type ByteSink, Uart16550, type Uart16550Ports } from './uart16550/device.ts';
export type { Uart16550State } from './uart16550/state.ts';
export { VirtioBlock, type VirtioBlockInit } from './virtio/block.ts';
export type { BlockStore, OverlayState } from './virtio/block-store.ts';
export { VirtioConsole, type VirtioConsoleInit } from './virtio/console.ts';
export type { VirtioInit } from './virtio/core.ts';
export type { VirtioDevice } from './virtio/device.ts';
export { type RandomSource, VirtioEntropy } from './virtio/entropy.ts';
export type { GuestMemory } from './virtio/guest-memory.ts';
export { VirtioMmio, type VirtioMmioInit } from './virtio/mmio-transport.ts';
export { CopyOnWriteStore } from './virtio/overlay.ts';
export { VirtioPci, type VirtioPciInit } from './virtio/pci-transport.ts';
export { SeededRandom } from './virtio/seeded-random.ts';
export type {
  CoreState,
  QueueState,
  VirtioDeviceState,
  VirtioMmioState,
  VirtioPciState,
} from './virtio/state.ts';
