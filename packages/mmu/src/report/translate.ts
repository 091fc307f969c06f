import { PagingOptionError } from '../errors.ts';
import { Access } from '../paging/access.ts';
import { isCanonical } from '../paging/checks.ts';
import { PagingContext, type PagingRegisters } from '../paging/context.ts';
import { PagingModel, type PagingModelInit } from '../paging/model.ts';
import { Cr0, Cr4, Efer, PagingMode } from '../paging/registers.ts';
import { PhysicalMemory } from '../physical-memory/physical-memory.ts';
import { pageSize } from '../physical-memory/regions.ts';
import { PageWalker } from '../walk/page-walker.ts';
import type { SecondStage } from '../walk/second-stage.ts';
import { Fault, Translation } from '../walk/translation.ts';
import { explain, flagsOf } from './explain.ts';

export interface TranslateOptions {
  /** Memory from physical address 0 on, as dumps have it, or a memory with a map of its own. Neither is changed. */
  readonly memory: Uint8Array | PhysicalMemory;
  /**
   * Registers. Those that choose the mode may be left out: then it is 4-level paging with NXE and WP, as of an operating system, and `cr3` is
   * all that is needed.
   */
  readonly registers: PagingRegisters;
  readonly linear: number | bigint;
  /** Words out of read, write, execute, user, supervisor, implicit, shadow-stack. Default `supervisor read`. */
  readonly access?: string;
  readonly model?: PagingModelInit;
  /** `eptFrom(eptp)`, or an NPT. */
  readonly secondStage?: SecondStage;
}

/** An entry that the walk read. */
export interface WalkStep {
  /** PML4E, PTE …; those of a second stage begin with EPT or N. */
  readonly name: string;
  /** Whether it belongs to the second stage. */
  readonly secondStage: boolean;
  readonly level: number;
  /** Physical address of the entry (of the guest, if it has a second stage); undefined for a PDPTE register. */
  readonly address: bigint | undefined;
  readonly value: bigint;
  /** Its bits in words, such as `present write user`. */
  readonly flags: string;
}

export interface TranslationReport {
  readonly ok: boolean;
  readonly linear: bigint;
  /** Where the address leads, if it does. */
  readonly physical: bigint | undefined;
  /** Bytes of the page that a TLB could hold. */
  readonly pageBytes: number | undefined;
  readonly steps: readonly WalkStep[];
  /** `#PF`, `EPT violation`, … if there is one. */
  readonly fault: string | undefined;
  /** Error code of a page fault, exit qualification, or EXITINFO1. */
  readonly code: bigint | undefined;
  /** Why, in words. */
  readonly reason: string | undefined;
  /** The whole story, a line for each entry and one for the result. */
  toString(): string;
}

const faultNames: Readonly<Record<number, string>> = {
  [Fault.page]: '#PF',
  [Fault.eptViolation]: 'EPT violation',
  [Fault.eptMisconfiguration]: 'EPT misconfiguration',
  [Fault.nestedPage]: '#NPF',
  [Fault.nonCanonical]: 'not canonical',
};

const levelNames = ['', 'PTE', 'PDE', 'PDPTE', 'PML4E', 'PML5E'];

/**
 * Dissects one translation over a memory image: what each entry says, where it ends or why it fails. Sets no A or D bit.
 *
 * @throws PagingOptionError for an access or model that does not exist
 */
export function translate(options: TranslateOptions): TranslationReport {
  const { registers, secondStage } = options;
  const memory = options.memory instanceof PhysicalMemory ? options.memory : memoryOf(options.memory);
  const linear = BigInt.asUintN(64, BigInt(options.linear));
  const access = parseAccess(options.access ?? 'supervisor read');
  const context = new PagingContext({
    cr0: Cr0.pe | Cr0.pg | Cr0.wp,
    cr4: Cr4.pae | Cr4.pge,
    efer: Efer.lme | Efer.lma | Efer.nxe,
    ...registers,
  });
  context.secondStage = secondStage ?? null;
  const walker = new PageWalker(memory, new PagingModel(options.model));
  const steps: WalkStep[] = [];
  walker.observer = {
    entry(stage, level, page, offset, low, high) {
      const prefix = stage === 1 ? '' : secondStage?.kind === 'ept' ? 'EPT ' : 'N';
      const wide = stage === 2 || context.mode !== PagingMode.legacy;
      const value = BigInt.asUintN(wide ? 64 : 32, (BigInt(high) << 32n) | BigInt(low >>> 0));
      const step: Omit<WalkStep, 'flags'> = {
        name: prefix + levelNames[level],
        secondStage: stage === 2,
        level,
        address: page < 0 ? undefined : BigInt(page) * 4096n + BigInt(offset),
        value,
      };
      steps.push({ ...step, flags: flagsOf(step, context) });
    },
  };
  const out = new Translation();
  const low = Number(BigInt.asIntN(32, linear));
  const high = context.mode >= PagingMode.level4 ? Number(BigInt.asIntN(32, linear >> 32n)) : 0;
  let fault: number = Fault.nonCanonical;
  if (isCanonical(context, low, high)) fault = walker.walk(context, low, high, access, true, true, out);
  const ok = fault === Fault.none;
  const coded = fault === Fault.page || fault === Fault.eptViolation || fault === Fault.nestedPage;
  const report = {
    ok,
    linear,
    physical: ok ? BigInt(out.page) * 4096n + (linear & 0xfffn) : undefined,
    pageBytes: ok ? 2 ** out.shift : undefined,
    steps,
    fault: faultNames[fault],
    code: coded ? (BigInt(out.errorCodeHigh) << 32n) | BigInt(out.errorCode) : undefined,
    reason: ok ? undefined : explain(fault, out, access, context, steps),
  };
  return { ...report, toString: () => describe(report) };
}

function describe(report: Omit<TranslationReport, 'toString'>): string {
  const lines = report.steps.map(({ name, address, value, flags, secondStage }) => {
    const where = address === undefined ? 'register' : hex(address);
    return `${secondStage ? '  ' : ''}${name} ${where}: ${hex(value)} ${flags}`;
  });
  if (report.ok)
    lines.push(`${hex(report.linear)} is ${hex(report.physical!)}, in a page of ${bytes(report.pageBytes!)}`);
  else {
    const code = report.code === undefined ? '' : `(${hex(report.code)})`;
    lines.push(`${hex(report.linear)}: ${report.fault}${code}: ${report.reason}`);
  }
  return lines.join('\n');
}

function memoryOf(image: Uint8Array): PhysicalMemory {
  const size = Math.ceil(image.length / pageSize) * pageSize;
  const buffer = new ArrayBuffer(size);
  new Uint8Array(buffer).set(image);
  const memory = new PhysicalMemory({ buffer });
  if (size > 0) memory.addRegion({ kind: 'ram', start: 0, size, backing: 0 });
  return memory;
}

const accessWords: Readonly<Record<string, number>> = {
  read: Access.read,
  write: Access.write,
  execute: Access.execute,
  user: Access.user,
  supervisor: 0,
  implicit: Access.implicit,
  'shadow-stack': Access.shadowStack,
};

function parseAccess(text: string): number {
  let access = 0;
  for (const word of text.split(' ').filter((part) => part !== '')) {
    if (!Object.hasOwn(accessWords, word))
      throw new PagingOptionError(
        `access "${word}": words out of ${Object.keys(accessWords).join(', ')} are allowed`,
      );
    access |= accessWords[word];
  }
  return access;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

function bytes(size: number): string {
  if (size >= 2 ** 30) return `${size / 2 ** 30} GiB`;
  return size >= 2 ** 20 ? `${size / 2 ** 20} MiB` : `${size / 1024} KiB`;
}
