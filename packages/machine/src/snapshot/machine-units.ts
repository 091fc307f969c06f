import type { RandomNumbers } from '@nest86/cpu';
import type { PhysicalMemory, TlbSnapshot } from '@nest86/mmu';
import type { MachineEnd } from '../machine-end.ts';
import type { Pc } from '../platform/pc.ts';
import type { Scheduler } from '../processors/scheduler.ts';
import type { VirtualProcessor } from '../processors/virtual-processor.ts';
import type { MachineClock } from '../time/machine-clock.ts';
import { type SnapshotUnit, unit } from './unit.ts';

export interface MachineUnits {
  readonly clock: MachineClock;
  readonly physical: PhysicalMemory;
  readonly pc: Pc;
  readonly processors: readonly VirtualProcessor[];
  readonly scheduler: Scheduler;
  readonly random: RandomNumbers;
}

/**
 * All of a machine but its RAM, in the order in which it is restored: time first, on which timers depend; then who drives interrupt lines, before who
 * receives them; what wakes processors before the scheduler. So nobody's messages on the way change what comes later.
 */
export function machineUnits(machine: MachineUnits): SnapshotUnit[] {
  const { clock, physical, pc, processors, scheduler, random } = machine;
  const each = (
    make: (processor: VirtualProcessor, name: string) => SnapshotUnit | [],
    kind: string,
  ): SnapshotUnit[] => processors.flatMap((processor, i) => make(processor, `${kind}/${i}`));
  return [
    unit('clock', clock),
    ...pc.units(),
    unit('physical', {
      save: () => ({ version: 1, a20: physical.a20 }),
      restore: ({ a20 }) => {
        physical.a20 = a20;
      },
    }),
    ...each(({ msrs }, name) => unit(name, msrs), 'msrs'),
    ...each(({ tsc }, name) => unit(name, tsc), 'tsc'),
    ...each(({ apic }, name) => unit(name, apic), 'apic'),
    ...each(tlbUnit, 'tlb'),
    // Which context a processor's registers belong to goes before these.
    ...processors.flatMap(({ svm }, i) => (svm === undefined ? [] : [unit(`svm/${i}`, svm)])),
    ...each(({ vmx }, name) => (vmx === undefined ? [] : unit(name, vmx)), 'vmx'),
    ...each(({ processor }, name) => unit(name, processor), 'processor'),
    ...each((virtual, name) => (virtual.vmx === undefined ? [] : unit(name, alarmOf(virtual))), 'alarm'),
    unit('random', {
      save: () => ({ version: 1, state: random.state }),
      restore: ({ state }) => {
        random.state = state;
      },
    }),
    unit('scheduler', scheduler),
  ];
}

/** Follows from the rest. */
function alarmOf(virtual: VirtualProcessor): { save(): { version: 1 }; restore(): void } {
  return { save: () => ({ version: 1 }), restore: () => virtual.setAlarm() };
}

/** Without a snapshot it is empty, which is always legal (T-06), but not what a run without interruption would find. */
function tlbUnit({ mmu: { tlb } }: VirtualProcessor, name: string): SnapshotUnit {
  return {
    name,
    save: () => tlb.save(),
    mismatch: (state) => {
      const shape = (state as Partial<TlbSnapshot> | null)?.shape;
      const own = tlb.save().shape;
      return shape === own || typeof shape !== 'string'
        ? undefined
        : `TLB "${shape}" in the snapshot, "${own}" here`;
    },
    restore: (state) => tlb.restore(state as TlbSnapshot | undefined),
  };
}

/** How a run has ended for good, if it has. */
export function endUnit(
  get: () => MachineEnd | undefined,
  set: (end: MachineEnd | undefined) => void,
): SnapshotUnit {
  return unit('end', {
    save: () => {
      const end = get();
      return { version: 1, reason: end?.reason ?? '', exitCode: end?.reason === 'exit' ? end.exitCode : 0 };
    },
    restore: ({ reason, exitCode }) => {
      if (reason === 'exit') set({ reason, exitCode });
      else set(reason === 'poweroff' || reason === 'reset' ? { reason } : undefined);
    },
  });
}
