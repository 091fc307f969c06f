import { ExitReason, exitReasonText } from './exit-reasons.ts';

/** Fields of the exit information (SDM vol. 3, 28.2). */
export interface ExitInformation {
  readonly reason: number;
  readonly qualification?: bigint;
  /** VM-exit interruption information. */
  readonly interruption?: number;
  readonly errorCode?: number;
  readonly guestPhysicalAddress?: bigint;
  readonly guestLinearAddress?: bigint;
}

const eventTypes = [
  'external interrupt',
  'reserved type',
  'NMI',
  'hardware exception',
  'software interrupt',
  'privileged software exception',
  'software exception',
  'other event',
];
const registers = 'RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15'.split(' ');

/** Interruption information, of an exit, an entry or IDT vectoring, in words (SDM vol. 3, tables 25-17 and 25-19). */
export function explainInterruption(information: number, errorCode = 0): string {
  if (information >= 0 && information >>> 31 === 0) return 'no event';
  const type = eventTypes[(information >>> 8) & 7];
  const code = (information & 0x800) !== 0 ? `, error code ${hex(errorCode >>> 0)}` : '';
  return `${type}, vector ${information & 0xff}${code}`;
}

/** Why a guest was left, in a line: the reason, and its qualification as it is meant for that reason (SDM vol. 3, 28.2.1). */
export function explainExit(exit: ExitInformation): string {
  const failed = (exit.reason & 0x8000_0000) !== 0;
  const detail = detailOf(exit);
  const name = exitReasonText(exit.reason);
  const prefix = failed && !name.startsWith('VM entry failed') ? `VM entry failed: ${name}` : name;
  return detail === '' ? prefix : `${prefix}: ${detail}`;
}

function detailOf(exit: ExitInformation): string {
  const { qualification = 0n } = exit;
  const low = Number(BigInt.asUintN(32, qualification));
  switch (exit.reason & 0xffff) {
    case ExitReason.exceptionOrNmi: {
      const event = explainInterruption(exit.interruption ?? 0, exit.errorCode);
      return ((exit.interruption ?? 0) & 0xff) === 14 ? `${event}, address ${hex(qualification)}` : event;
    }
    case ExitReason.externalInterrupt:
      return (exit.interruption ?? 0) < 0 ? `vector ${(exit.interruption ?? 0) & 0xff}` : 'not acknowledged';
    case ExitReason.startUp:
      return `vector ${hex(low & 0xff)}`;
    case ExitReason.taskSwitch:
      return `${['CALL', 'IRET', 'JMP', 'task gate'][low >>> 30]}, TSS ${hex(low & 0xffff)}`;
    case ExitReason.controlRegister:
      return controlRegister(low);
    case ExitReason.movDr: {
      const [dr, gpr] = [`DR${low & 7}`, registers[(low >>> 8) & 15]];
      return (low & 16) === 0 ? `${dr} from ${gpr}` : `${gpr} from ${dr}`;
    }
    case ExitReason.io: {
      const parts = [(low & 8) !== 0 ? 'in' : 'out', `port ${hex(low >>> 16)}`, `${(low & 7) + 1} bytes`];
      if ((low & 16) !== 0) parts.push((low & 32) !== 0 ? 'REP string' : 'string');
      return parts.join(', ');
    }
    case ExitReason.invlpg:
    case ExitReason.vmclear:
      return hex(qualification);
    case ExitReason.invalidGuestState:
      return { 2: 'PDPTEs', 3: 'NMI under blocking', 4: 'VMCS link pointer' }[low] ?? '';
    case ExitReason.msrLoading:
      return `entry ${low} of the list`;
    case ExitReason.apicAccess:
      return `offset ${hex(low & 0xfff)}`;
    case ExitReason.eptViolation:
      return eptViolation(low, exit);
    case ExitReason.eptMisconfiguration:
      return `guest-physical ${hex(exit.guestPhysicalAddress ?? 0n)}`;
    default:
      return '';
  }
}

function controlRegister(low: number): string {
  const number = low & 15;
  const gpr = registers[(low >>> 8) & 15];
  switch ((low >>> 4) & 3) {
    case 0:
      return `CR${number} from ${gpr}`;
    case 1:
      return `${gpr} from CR${number}`;
    case 2:
      return 'CLTS';
    default:
      return `LMSW ${hex(low >>> 16)}`;
  }
}

function eptViolation(low: number, exit: ExitInformation): string {
  const kinds = ['read', 'write', 'fetch'].filter((_, bit) => ((low >>> bit) & 1) !== 0).join(' and ');
  const rights = ['r', 'w', 'x'].map((name, bit) => (((low >>> (3 + bit)) & 1) !== 0 ? name : '-')).join('');
  const place = `guest-physical ${hex(exit.guestPhysicalAddress ?? 0n)}`;
  if ((low & 128) === 0) return `${kinds} at ${place} (${rights})`;
  const linear = `linear ${hex(exit.guestLinearAddress ?? 0n)}`;
  return `${kinds} at ${place} (${rights}), ${linear}${(low & 256) !== 0 ? '' : ', walking its page tables'}`;
}

function hex(value: number | bigint): string {
  return `${value.toString(16).toUpperCase()}h`;
}
