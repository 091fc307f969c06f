import { EventField, Intercept1, Intercept2, Intercept3, VirtualInterrupt } from './bits.ts';
import { ExitCode, exitName } from './exit-codes.ts';
import { vmcbFields, vmcbOffset } from './layout.ts';
import { parseVmcb, type Vmcb, vmcbOf } from './vmcb.ts';

/** What an exit left in the VMCB. */
export interface SvmExit {
  /** Low half of EXITCODE. */
  readonly code: number;
  readonly info1: bigint;
  readonly info2: bigint;
  /** EXITINTINFO. */
  readonly interrupted: bigint;
}

/** The exit fields of a VMCB. */
export function exitOf(vmcb: Vmcb): SvmExit {
  const quad = (offset: number): bigint =>
    (BigInt(vmcb.high(offset) >>> 0) << 32n) | BigInt(vmcb.low(offset) >>> 0);
  return {
    code: vmcb.low(vmcbOffset.exitCode),
    info1: quad(vmcbOffset.exitInfo1),
    info2: quad(vmcbOffset.exitInfo2),
    interrupted: quad(vmcbOffset.exitIntInfo),
  };
}

/** An exit in words: its name, and what EXITINFO1 and 2 say (APM vol. 2, 15.10 to 15.14 and 15.25.6). */
export function explainExit({ code, info1, info2, interrupted }: SvmExit): string {
  const details = detailsOf(code | 0, info1, info2);
  const during = interrupted === 0n ? '' : `, while delivering ${eventText(interrupted)}`;
  return exitName(code) + (details === '' ? '' : `: ${details}`) + during;
}

const hex = (value: bigint | number): string => `${value.toString(16)}h`;

function detailsOf(code: number, info1: bigint, info2: bigint): string {
  const low = Number(info1 & 0xffff_ffffn);
  if (code === ExitCode.ioio) return ioText(low, info2);
  if (code === ExitCode.msr) return (info1 & 1n) === 0n ? 'RDMSR' : 'WRMSR';
  if (code === ExitCode.nestedPageFault)
    return `${nestedText(info1)} at guest-physical ${hex(info2)}, error code ${hex(info1)}`;
  if (code === ExitCode.exception + 14)
    return `${pageFaultText(low)} at ${hex(info2)}, error code ${hex(info1)}`;
  if (code >= ExitCode.exception && code < ExitCode.intr)
    return info1 === 0n ? '' : `error code ${hex(info1)}`;
  if (code >= ExitCode.crRead && code < ExitCode.drRead)
    return info1 >> 63n === 0n ? '' : `general register ${info1 & 15n}`;
  if (code >= ExitCode.drRead && code < ExitCode.exception) return `general register ${info1 & 15n}`;
  if (code === ExitCode.swint) return `vector ${hex(info1 & 0xffn)}`;
  if (code === ExitCode.invlpg || code === ExitCode.invlpga) return `address ${hex(info1)}`;
  if (code === ExitCode.taskSwitch) return taskText(info1, info2);
  if (code === ExitCode.invalid) return 'VMRUN found a state that is not allowed; checkVmcb tells which';
  return '';
}

function ioText(info: number, behind: bigint): string {
  const isString = (info & 4) !== 0;
  const size = (info & 0x10) !== 0 ? 8 : (info & 0x20) !== 0 ? 16 : 32;
  const way = (info & 1) !== 0 ? 'IN' : 'OUT';
  const text = `${(info & 8) !== 0 ? 'REP ' : ''}${way}${isString ? 'S' : ''}`;
  return `${text} port ${hex(info >>> 16)}, ${size} bits, next RIP ${hex(behind)}`;
}

function pageFaultText(error: number): string {
  const kind = (error & 16) !== 0 ? 'fetch' : (error & 2) !== 0 ? 'write' : 'read';
  const why = (error & 8) !== 0 ? 'reserved bits' : (error & 1) !== 0 ? 'not allowed' : 'not present';
  return `${(error & 4) !== 0 ? 'user' : 'supervisor'} ${kind}, ${why}`;
}

function nestedText(info: bigint): string {
  const stage = (info >> 33n) & 1n ? ' of a guest page table' : '';
  const text = pageFaultText(Number(info & 0x1fn));
  return text.slice(text.indexOf(' ') + 1) + stage;
}

function taskText(info1: bigint, info2: bigint): string {
  const source = (info2 >> 36n) & 1n ? 'IRET' : (info2 >> 38n) & 1n ? 'far JMP' : 'CALL or event';
  return `TSS ${hex(info1 & 0xffffn)} by ${source}`;
}

const eventTypes: Readonly<Record<number, string>> = { 0: 'interrupt', 2: 'NMI', 3: 'exception', 4: 'INT n' };

/** EVENTINJ and EXITINTINFO in words (APM vol. 2, 15.20). */
export function eventText(event: bigint): string {
  const low = Number(BigInt.asIntN(32, event));
  if ((low & EventField.valid) === 0) return 'nothing';
  const type = (low >> 8) & 7;
  const error = (low & EventField.errorValid) === 0 ? '' : `, error code ${hex(event >> 32n)}`;
  return `${eventTypes[type] ?? `reserved type ${type}`} ${hex(low & 0xff)}${error}`;
}

type Bits = Readonly<Record<string, number>>;

function bitNames(bits: Bits, value: number): string[] {
  return Object.entries(bits).flatMap(([name, bit]) => ((value & bit) !== 0 ? [name] : []));
}

/** What a VMCB intercepts, in words. */
export function interceptsIn(vmcb: Vmcb): string[] {
  const numbered = (value: number, count: number, name: (i: number) => string): string[] =>
    Array.from({ length: count }, (_, i) => i).flatMap((i) => (((value >>> i) & 1) !== 0 ? [name(i)] : []));
  const accesses =
    (what: string) =>
    (i: number): string =>
      `${i < 16 ? 'read' : 'write'} ${what}${i & 15}`;
  return [
    ...numbered(vmcb.low(vmcbOffset.interceptCr), 32, accesses('CR')),
    ...numbered(vmcb.low(vmcbOffset.interceptDr), 32, accesses('DR')),
    ...numbered(vmcb.low(vmcbOffset.interceptExceptions), 32, (i) => exitName(ExitCode.exception + i)),
    ...bitNames(Intercept1, vmcb.low(vmcbOffset.intercept1)),
    ...bitNames(Intercept2, vmcb.low(vmcbOffset.intercept2)),
    ...bitNames(Intercept3, vmcb.low(vmcbOffset.intercept3)),
  ];
}

/** A VMCB as lines of text: intercepts, the exit, and all fields that are not 0. @throws RangeError if it is too short */
export function explainVmcb(image: Uint8Array): string {
  const vmcb = vmcbOf(image);
  const values = parseVmcb(image);
  const virtual = bitNames(VirtualInterrupt, Number(BigInt.asIntN(32, values.virtualInterrupt)));
  const lines = [
    `exit: ${explainExit(exitOf(vmcb))}`,
    `injects: ${eventText(values.eventInjection)}`,
    `intercepts: ${interceptsIn(vmcb).join(', ') || 'nothing'}`,
    `virtual interrupts: ${virtual.join(', ') || 'none'}`,
  ];
  for (const { name, offset, text } of vmcbFields)
    if (values[name] !== 0n)
      lines.push(`${offset.toString(16).padStart(3, '0')}h ${name} = ${hex(values[name])} (${text})`);
  return `${lines.join('\n')}\n`;
}
