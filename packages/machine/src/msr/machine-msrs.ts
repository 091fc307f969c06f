import type { MsrSource } from '@nest86/cpu';
import type { CpuidModel } from '@nest86/cpuid';
import { MachineCheck, type MachineCheckState } from './machine-check.ts';
import { Mtrrs, type MtrrsState } from './mtrrs.ts';
import { Register } from './registers.ts';

export interface MachineMsrsOptions {
  readonly cpuid: CpuidModel;
  /** The processor's time stamp counter: what was added to it, modulo 2⁶⁴. Left out, there is no IA32_TSC_ADJUST. */
  readonly tsc?: { adjustment: bigint };
  /** AMD's TOP_MEM: end of the RAM below 4 GiB. Default: 3 GiB. */
  readonly topOfLowMemory?: number;
  /** AMD's TOP_MEM2: end of the RAM above 4 GiB. Default: there is none. */
  readonly topOfMemory?: number;
}

/** Snapshot of the registers of one processor. Words are low half first. */
export interface MachineMsrsState {
  readonly version: 1;
  readonly mtrrs: MtrrsState;
  readonly machineCheck: MachineCheckState;
  /** By number. */
  readonly stored: readonly (readonly [index: number, low: number, high: number])[];
}

/** A snapshot that is not one of this version. */
export class MsrSnapshotError extends Error {
  override readonly name: string = 'MsrSnapshotError';
}

/** An access to a register that nobody knows. */
export interface UnknownMsr {
  readonly index: number;
  readonly reads: number;
  readonly writes: number;
}

/** A register that is nothing but stored: which bits can be written; others raise #GP. */
interface StoredRegister {
  low: number;
  high: number;
  readonly resetLow: number;
  readonly resetHigh: number;
  readonly writableLow: number;
  readonly writableHigh: number;
}

/** Numbers of registers that are remembered for statistics. */
const mostUnknown = 64;

/** SYSCFG: MtrrFixDramEn, MtrrFixDramModEn, MtrrVarDramEn, MtrrTom2En, Tom2ForceMemTypeWB (APM vol. 2, 7.9 and 3.2.3). */
const syscfgWritable = 0x7c_0000;
const syscfgFixedModify = 0x8_0000;
const syscfgVariable = 0x10_0000;
const syscfgTopMemory2 = 0x60_0000;
/** HWCR: McStatusWrEn; TscFreqSel, which Linux misses if it is not set; CpuidUserDis in the high half. */
const hwcrStatusWritable = 0x4_0000;
const hwcrTscFrequency = 0x100_0000;
const hwcrWritable = 0x4214_1358;
const hwcrCpuidUserDisable = 8;
/** DE_CFG: LFENCE waits for all that is before it. */
const lfenceSerializes = 2;
/** FEATURE_CONTROL: locked, and VMX outside SMX. */
const featureLock = 1;
const featureVmx = 4;
/** PLATFORM_INFO: CPUID can be made to fault outside CPL 0. */
const cpuidFaulting = 0x8000_0000 | 0;

const gigabyte = 2 ** 30;

/**
 * MSRs of one processor that neither its core nor its APIC owns (these are asked before): memory types, machine checks, identification, speculation controls, AMD's
 * system configuration. They follow CPUID (S3-32): what the model does not tell of is not there and raises #GP, as does everything that is not
 * listed here.
 */
export class MachineMsrs implements MsrSource {
  readonly mtrrs: Mtrrs;
  readonly machineCheck: MachineCheck = new MachineCheck();
  /** Accesses to registers that nobody knows. */
  unknownReads = 0;
  unknownWrites = 0;
  private readonly unknown = new Map<number, { reads: number; writes: number }>();
  private readonly stored = new Map<number, StoredRegister>();
  private readonly constants = new Map<number, readonly [low: number, high: number]>();
  private readonly cpuid: CpuidModel;
  private readonly tsc: { adjustment: bigint } | undefined;
  private readonly pair = new Int32Array(2);

  constructor(options: MachineMsrsOptions) {
    const { cpuid, tsc } = options;
    this.cpuid = cpuid;
    this.tsc = cpuid.has('tsc-adjust') ? tsc : undefined;
    this.mtrrs = new Mtrrs(cpuid.physicalBits);
    const speculation = this.speculationBits();
    if (speculation !== 0) this.store(Register.SPEC_CTRL, 0, 0, speculation);
    if (cpuid.has('arch-capabilities'))
      this.constants.set(Register.ARCH_CAPABILITIES, cpuid.archCapabilities);
    if (cpuid.has('waitpkg')) this.store(Register.UMWAIT_CONTROL, 0, 0, ~2);
    if (cpuid.has('mce'))
      for (const index of [Register.P5_MC_ADDR, Register.P5_MC_TYPE]) this.constants.set(index, [0, 0]);
    if (cpuid.vendor === 'intel') this.defineIntel();
    else this.defineAmd(options);
  }

  /** As after RESET. INIT changes nothing here (S2, 3.2). */
  reset(): void {
    this.mtrrs.reset();
    this.machineCheck.reset();
    for (const register of this.stored.values()) {
      register.low = register.resetLow;
      register.high = register.resetHigh;
    }
  }

  read(index: number, out: Int32Array): boolean {
    const register = this.stored.get(index);
    if (register !== undefined) {
      out[0] = register.low;
      out[1] = register.high;
      return true;
    }
    const constant = this.constants.get(index);
    if (constant !== undefined) {
      out[0] = constant[0];
      out[1] = constant[1];
      return true;
    }
    const { cpuid } = this;
    if (cpuid.has('mtrr') && this.mtrrs.read(index, out)) return true;
    if (cpuid.has('mca') && this.machineCheck.read(index, out)) return true;
    if (index === Register.TSC_ADJUST && this.readTscAdjust(out)) return true;
    // Those that can only be written are no strangers.
    if (!this.isCommand(index)) this.count(index, 'reads');
    return false;
  }

  write(index: number, low: number, high: number): boolean {
    const register = this.stored.get(index);
    if (register !== undefined) {
      if ((low & ~register.writableLow & ~register.low) !== 0) return false;
      if ((high & ~register.writableHigh & ~register.high) !== 0) return false;
      register.low = (low & register.writableLow) | (register.low & ~register.writableLow);
      register.high = (high & register.writableHigh) | (register.high & ~register.writableHigh);
      return true;
    }
    if (this.isCommand(index)) return this.command(index, low, high);
    const { cpuid } = this;
    const out = this.pair;
    if (cpuid.has('mtrr') && this.mtrrs.read(index, out))
      return this.mtrrs.write(index, low, high, (this.lowOf(Register.SYSCFG) & syscfgFixedModify) !== 0);
    if (cpuid.has('mca') && this.machineCheck.read(index, out))
      return this.machineCheck.write(
        index,
        low,
        high,
        (this.lowOf(Register.HWCR) & hwcrStatusWritable) !== 0,
      );
    if (index === Register.TSC_ADJUST && this.writeTscAdjust(low, high)) return true;
    // Read-only: software writes 0 there before it asks (SDM vol. 3, 10.11.7.1). AMD's kernels leave it alone.
    if (index === Register.BIOS_SIGN_ID) return true;
    // No bit of CPUID tells of these four, so all software expects them. They never count, and show it: Linux writes, reads and goes without.
    if (cpuid.vendor === 'amd' && index >= Register.PERF_CTL0 && index <= Register.PERF_CTR3) return true;
    if (cpuid.has('mce') && index <= Register.P5_MC_TYPE) return low === 0 && high === 0;
    if (!this.constants.has(index)) this.count(index, 'writes');
    return false;
  }

  /** Unknown registers that were asked for, most often first; the first 64 of them are told apart. */
  unknownAccesses(): UnknownMsr[] {
    return [...this.unknown]
      .map(([index, { reads, writes }]) => ({ index, reads, writes }))
      .sort((a, b) => b.reads + b.writes - a.reads - a.writes);
  }

  save(): MachineMsrsState {
    return {
      version: 1,
      mtrrs: this.mtrrs.save(),
      machineCheck: this.machineCheck.save(),
      stored: [...this.stored].map(([index, { low, high }]) => [index, low, high] as const),
    };
  }

  /** @throws MsrSnapshotError if it is not of this version, or of another model */
  restore(state: MachineMsrsState): void {
    if (state.version !== 1) throw new MsrSnapshotError(`version ${state.version}: 1 is allowed`);
    for (const [index] of state.stored)
      if (!this.stored.has(index))
        throw new MsrSnapshotError(`MSR ${index.toString(16)}: this processor does not have it`);
    this.mtrrs.restore(state.mtrrs);
    this.machineCheck.restore(state.machineCheck);
    for (const [index, low, high] of state.stored) {
      const register = this.stored.get(index) as StoredRegister;
      register.low = low;
      register.high = high;
    }
  }

  private defineIntel(): void {
    const { cpuid, constants } = this;
    constants.set(Register.PLATFORM_ID, [0, 0]);
    constants.set(Register.BIOS_SIGN_ID, [0, cpuid.microcode | 0]);
    const ratio = Math.min(255, Math.round(cpuid.frequencies.tsc / 1e8));
    constants.set(Register.PLATFORM_INFO, [cpuidFaulting | (ratio << 8), ratio << 8]);
    constants.set(Register.FEATURE_CONTROL, [featureLock | (cpuid.has('vmx') ? featureVmx : 0), 0]);
    this.store(Register.MISC_FEATURES_ENABLES, 0, 0, 1);
  }

  private defineAmd({ topOfLowMemory = 3 * gigabyte, topOfMemory = 0 }: MachineMsrsOptions): void {
    const { cpuid, constants } = this;
    constants.set(Register.BIOS_SIGN_ID, [cpuid.microcode | 0, 0]);
    const hasHigh = topOfMemory > 2 ** 32;
    this.store(Register.SYSCFG, syscfgVariable | (hasHigh ? syscfgTopMemory2 : 0), 0, syscfgWritable);
    this.store(
      Register.HWCR,
      hwcrTscFrequency,
      0,
      hwcrWritable,
      cpuid.has('cpuid-user-dis') ? hwcrCpuidUserDisable : 0,
    );
    const highBits = ~(-1 << (cpuid.physicalBits - 32));
    // In steps of 8 MiB.
    this.store(
      Register.TOP_MEM,
      topOfLowMemory | 0,
      Math.floor(topOfLowMemory / 2 ** 32),
      ~0x7f_ffff,
      highBits,
    );
    this.store(Register.TOP_MEM2, topOfMemory | 0, Math.floor(topOfMemory / 2 ** 32), ~0x7f_ffff, highBits);
    this.store(Register.NB_CFG, 0, 0, -1, -1);
    for (let index: number = Register.PERF_CTL0; index <= Register.PERF_CTR3; index++)
      constants.set(index, [0, 0]);
    this.store(Register.DE_CFG, lfenceSerializes, 0, -1, -1);
  }

  private store(index: number, low: number, high: number, writableLow: number, writableHigh = 0): void {
    this.stored.set(index, { low, high, resetLow: low, resetHigh: high, writableLow, writableHigh });
  }

  private lowOf(index: number): number {
    return this.stored.get(index)?.low ?? 0;
  }

  /** Bits of SPEC_CTRL: IBRS, STIBP, SSBD. */
  private speculationBits(): number {
    const hasAny = (...names: string[]): boolean => names.some((name) => this.cpuid.has(name));
    return (
      (hasAny('spec-ctrl', 'ibrs') ? 1 : 0) |
      (hasAny('stibp', 'amd-stibp') ? 2 : 0) |
      (hasAny('ssbd', 'amd-ssbd') ? 4 : 0)
    );
  }

  /** Registers that can only be written. */
  private isCommand(index: number): boolean {
    const { cpuid } = this;
    switch (index) {
      case Register.PRED_CMD:
        return cpuid.has('spec-ctrl') || cpuid.has('ibpb');
      case Register.FLUSH_CMD:
        return cpuid.has('flush-l1d');
      case Register.BIOS_UPDT_TRIG:
        return cpuid.vendor === 'intel';
      case Register.PATCH_LOADER:
        return cpuid.vendor === 'amd';
      default:
        return false;
    }
  }

  /** There is nothing to flush and no microcode to load. */
  private command(index: number, low: number, high: number): boolean {
    if (index === Register.PRED_CMD) return high === 0 && (low & ~(this.cpuid.has('sbpb') ? 0x81 : 1)) === 0;
    if (index === Register.FLUSH_CMD) return high === 0 && (low & ~1) === 0;
    return true;
  }

  /** What was added to the time stamp counter by writing it, or this register (SDM vol. 3, 19.17.3). */
  private readTscAdjust(out: Int32Array): boolean {
    if (this.tsc === undefined) return false;
    const { adjustment } = this.tsc;
    out[0] = Number(BigInt.asIntN(32, adjustment));
    out[1] = Number(BigInt.asIntN(32, adjustment >> 32n));
    return true;
  }

  private writeTscAdjust(low: number, high: number): boolean {
    if (this.tsc === undefined) return false;
    this.tsc.adjustment = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    return true;
  }

  private count(index: number, kind: 'reads' | 'writes'): void {
    if (kind === 'reads') this.unknownReads++;
    else this.unknownWrites++;
    let entry = this.unknown.get(index);
    if (entry === undefined) {
      if (this.unknown.size >= mostUnknown) return;
      entry = { reads: 0, writes: 0 };
      this.unknown.set(index, entry);
    }
    entry[kind]++;
  }
}
