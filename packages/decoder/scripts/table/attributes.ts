import { ConditionCode, ControlFlow, Mode, Privilege, StackChange, Trait } from '../../src/info/constants.ts';
import { options } from './opcode.ts';
import type { EncodingRecord } from './record.ts';

/** What the attribute column says, apart from what only the decoder needs. */
export interface Attributes {
  readonly traits: number;
  readonly modes: number;
  readonly flow: number;
  readonly condition: number;
  readonly privilege: number;
  /** {@link StackChange} and its number of bytes. */
  readonly stack: number;
  readonly stackBytes: number;
  /** Change of x87 TOP (push -1, pop +1), whether it is written, and whether only sometimes. */
  readonly fpuIncrement: number;
  readonly fpuWritesTop: boolean;
  readonly fpuConditional: boolean;
  /** Class of the manuals' exception tables, or ''. */
  readonly exceptionClass: string;
}

const traitWords = new Map<string, number>(
  Object.entries({
    lock: Trait.lock,
    xacquire: Trait.xacquire,
    xrelease: Trait.xrelease,
    rep: Trait.rep,
    repe: Trait.repe,
    repne: Trait.repne,
    bnd: Trait.bnd,
    notrack: Trait.notrack,
    hint: Trait.branchHint,
    'serializing-intel': Trait.serializingIntel,
    'serializing-amd': Trait.serializingAmd,
    'vmx-exit': Trait.vmxExit,
    'vmx-may-exit': Trait.vmxMayExit,
    'svm-exit': Trait.svmExit,
    'svm-may-exit': Trait.svmMayExit,
    io: Trait.io,
    aligned: Trait.aligned,
    nop: Trait.nop,
    'reserved-nop': Trait.reservedNop,
    'non-temporal': Trait.nonTemporal,
    prefetch: Trait.prefetch,
    'save-restore': Trait.saveRestore,
    'cet-tracked': Trait.cetTracked,
    'no-wait': Trait.noWait,
    'no-segment': Trait.noSegment,
    'no-index': Trait.noIndex,
    'z-implied': Trait.impliedZeroing,
    'k-write': Trait.opmaskWritten,
    'k-select': Trait.opmaskSelects,
    zu: Trait.zeroUpper,
    nf: Trait.noFlags,
  }),
);

/** Words that concern the decoder only. */
const decoderWords = new Set([
  'nfx',
  'no66',
  'no67',
  'no-rex2',
  'no-rsp',
  'no-r',
  'd64',
  'f64',
  'f64-intel',
  'wig32',
  'rexb0',
  'any-mod',
  'any-rm',
  'amd-lock-cr8',
  'a32-only',
  'k-required',
  'er-ignored',
  'distinct',
  'distinct-dest',
  'intel',
  'amd',
  'amd-in-64',
]);

const flowWords = new Map<string, number>(
  Object.entries({
    jump: ControlFlow.jump,
    'jump-indirect': ControlFlow.jumpIndirect,
    jcc: ControlFlow.conditionalJump,
    call: ControlFlow.call,
    'call-indirect': ControlFlow.callIndirect,
    return: ControlFlow.return,
    interrupt: ControlFlow.interrupt,
    transaction: ControlFlow.transaction,
    exception: ControlFlow.exception,
  }),
);

const modeWords = new Map<string, number>(
  Object.entries({
    '64': Mode.long64,
    no64: ~Mode.long64,
    'no-compat': ~Mode.compatibility,
    'no-real': ~Mode.real,
    'no-v86': ~Mode.virtual8086,
  }),
);

const conditions = new Map<string, number>(Object.entries(ConditionCode));

const privileges = new Map<string, number>([
  ['cpl0', Privilege.supervisor],
  ['cpl0?', Privilege.controlled],
  ['cpl3', Privilege.user],
  ['iopl', Privilege.ioPrivilege],
  ['smm', Privilege.systemManagement],
  ['unlocked', Privilege.unlocked],
]);

export function readAttributes(record: EncodingRecord): Attributes {
  let traits = 0;
  let modes = Mode.real | Mode.virtual8086 | Mode.protected | Mode.compatibility | Mode.long64;
  let flow: number = ControlFlow.next;
  let condition = 0;
  let privilege: number = Privilege.any;
  let stack: number = StackChange.constant;
  let stackBytes = 0;
  let fpuIncrement = 0;
  let fpuWritesTop = false;
  let fpuConditional = false;
  let exceptionClass = '';
  for (const word of record.attributes) {
    const fail = (): never => {
      throw new Error(`${record.where}: attribute "${word}" is not known`);
    };
    const trait = traitWords.get(word);
    const mode = modeWords.get(word);
    const level = privileges.get(word);
    if (trait !== undefined) traits |= trait;
    else if (mode !== undefined) modes &= mode;
    else if (level !== undefined) privilege = level;
    else if (word.startsWith('flow:')) flow = flowWords.get(word.slice(5)) ?? fail();
    else if (word.startsWith('cc:')) condition = conditions.get(word.slice(3)) ?? fail();
    else if (word.startsWith('fpu-')) {
      const change = /^fpu-(?:(push\??)|(pop2?)|top([+-]1)?)$/.exec(word) ?? fail();
      fpuWritesTop = true;
      fpuConditional = change[1] === 'push?';
      if (change[1] !== undefined) fpuIncrement = -1;
      else if (change[2] !== undefined) fpuIncrement = change[2] === 'pop2' ? 2 : 1;
      else fpuIncrement = Number(change[3] ?? 0);
    } else if (word.startsWith('sp')) {
      const change =
        /^sp(?:(?<constant>[+-]\d+)|\+imm\+(?<immediate>\d+)|-iret:(?<iret>\d)|-enter:(?<enter>\d))$/.exec(
          word,
        ) ?? fail();
      const groups = change.groups ?? fail();
      stack =
        groups.immediate !== undefined
          ? StackChange.immediate
          : groups.iret !== undefined
            ? StackChange.iret
            : groups.enter !== undefined
              ? StackChange.enter
              : StackChange.constant;
      stackBytes = Number(groups.constant ?? groups.immediate ?? groups.iret ?? groups.enter);
    } else if (word.startsWith('E:')) exceptionClass = word.slice(2);
    else if (!decoderWords.has(word) && !/^[Nb]\d+$/.test(word)) {
      const option = /^(?:option|unless):(.+)$/.exec(word) ?? fail();
      if (!options.includes(option[1] as (typeof options)[number])) fail();
    }
  }
  if ((traits & Trait.io) !== 0 && privilege === Privilege.any) privilege = Privilege.ioPrivilege;
  return {
    traits,
    modes,
    flow,
    condition,
    privilege,
    stack,
    stackBytes,
    fpuIncrement,
    fpuWritesTop,
    fpuConditional,
    exceptionClass,
  };
}
