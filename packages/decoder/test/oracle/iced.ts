/**
 * iced-x86 as the oracle for length, identity and operands. An encoding of ours and one of iced's are the same if opcode and instruction
 * column are equal: both follow the manual's notation.
 */
import { fileURLToPath } from 'node:url';
import {
  Code,
  CodeExt,
  Decoder,
  Instruction as IcedInstruction,
  DecoderOptions as IcedOptions,
  Register as IcedRegister,
  type OpCodeInfo,
  OpKind,
} from 'iced-x86';
import { type EncodingRecord, readTable } from '../../scripts/table/record.ts';
import {
  type DecoderFeature,
  DecoderOptions,
  DecodeStatus,
  decode,
  Instruction,
  memoryBase,
  memoryIndex,
  memorySegment,
  OperandKind,
  operandCount,
  operandImmediate,
  operandImmediateHigh,
  operandImmediateSize,
  operandKind,
  operandRegister,
  registerByName,
} from '../../src/index.ts';

export const isaFolder: string = fileURLToPath(new URL('../../isa', import.meta.url));
export const records: readonly EncodingRecord[] = readTable(isaFolder);

/** Our encoding by iced's code. */
export const encodingOfCode: Int32Array = new Int32Array(6000);
export const codeNames: string[] = [];

function connect(): void {
  const ours = new Map<string, number>();
  records.forEach((record, i) => {
    // Operands in [ ] are those that iced, like the manual, does not write.
    const written = record.instruction
      .replace(/\s*\[[^\]]*\],?/g, '')
      .replace(/,\s*$/, '')
      .trim();
    ours.set(`${record.opcode}|${written.replace(/\s+/g, ' ')}`, i + 1);
  });
  for (const [name, code] of Object.entries(Code)) {
    if (typeof code !== 'number') continue;
    codeNames[code] = name;
    const info: OpCodeInfo = CodeExt.opCode(code);
    encodingOfCode[code] = ours.get(`${info.opCodeString}|${info.instructionString}`) ?? 0;
    info.free();
  }
}
connect();

/**
 * Codes of iced's that no record of ours stands for, apart from these: Knights Corner (its prefixes collide with EVEX), data
 * directives, x87 instructions with a WAIT of their own (assembler forms: a decoder sees two instructions), POP CS of the 8086.
 */
export function unconnectedCodes(): string[] {
  const left = /^(INVALID|Declare.*|Zero_bytes|MVEX_.*|VEX_K(NC|nc).*|Popw_CS)$/;
  return codeNames.filter((name, code) => {
    if (encodingOfCode[code] !== 0 || left.test(name)) return false;
    const info: OpCodeInfo = CodeExt.opCode(code);
    const isWaitForm = info.opCodeString.startsWith('9B ');
    info.free();
    return !isWaitForm;
  });
}

/** Our register by iced's. */
export const registers: Int32Array = new Int32Array(300);
for (const [name, number] of Object.entries(IcedRegister)) {
  if (typeof number !== 'number') continue;
  const lower = name.toLowerCase();
  const ours = /^st\d$/.test(lower) ? `st(${lower[2]})` : lower.replace(/^r(\d+)l$/, 'r$1b');
  registers[number] = registerByName(ours);
}

const nearBranches = new Set([OpKind.NearBranch16, OpKind.NearBranch32, OpKind.NearBranch64]);

export interface OraclePair {
  readonly ours: DecoderOptions;
  readonly iced: number;
}

const icedFlag: Partial<Record<DecoderFeature, number>> = {
  mpx: IcedOptions.MPX,
  cyrix: IcedOptions.Cyrix,
  'cyrix-dmi': IcedOptions.Cyrix_DMI,
  'cyrix-smint-0f7e': IcedOptions.Cyrix_SMINT_0F7E,
  umov: IcedOptions.Umov,
  xbts: IcedOptions.Xbts,
  jmpe: IcedOptions.Jmpe,
  oldfpu: IcedOptions.OldFpu,
  cmpxchg486a: IcedOptions.Cmpxchg486A,
  loadall286: IcedOptions.Loadall286,
  loadall386: IcedOptions.Loadall386,
  movtr: IcedOptions.MovTr,
  udbg: IcedOptions.Udbg,
  cl1invmb: IcedOptions.Cl1invmb,
  pcommit: IcedOptions.Pcommit,
  altinst: IcedOptions.ALTINST,
};
const icedFlagWhenOff: Partial<Record<DecoderFeature, number>> = {
  lzcnt: IcedOptions.NoMPFX_0FBD,
  tzcnt: IcedOptions.NoMPFX_0FBC,
  wbnoinvd: IcedOptions.NoWbnoinvd,
  pause: IcedOptions.NoPause,
};

/** Options for both sides. APX and what is newer than iced 1.21 is off; 3DNow! is on, as iced always decodes it. */
export function oracleOptions(
  mode: 16 | 32 | 64,
  vendor: 'intel' | 'amd' = 'intel',
  enable: DecoderFeature[] = ['mpx'],
  disable: DecoderFeature[] = [],
): OraclePair {
  const always: DecoderFeature[] = ['apx', 'recent'];
  if (!enable.includes('mpx')) always.push('mpx');
  const ours = new DecoderOptions({
    mode,
    vendor,
    enable: ['3dnow', ...enable],
    disable: [...always, ...disable],
  });
  let iced = vendor === 'amd' ? IcedOptions.AMD : 0;
  for (const feature of enable) iced |= icedFlag[feature] ?? 0;
  for (const feature of disable) iced |= icedFlagWhenOff[feature] ?? 0;
  return { ours, iced };
}

/**
 * Decodes the instruction at every multiple of `stride` (at least 16) on both sides and reports what differs.
 *
 * @returns how many of them iced calls valid
 */
export function compareAll(
  buffer: Uint8Array,
  stride: number,
  pair: OraclePair,
  report: (offset: number, what: string) => void,
): number {
  const decoder = new Decoder(pair.ours.mode, buffer, pair.iced);
  const theirs = new IcedInstruction();
  const ours = new Instruction();
  let valid = 0;
  for (let offset = 0; offset < buffer.length; offset += stride) {
    decoder.position = offset;
    decoder.ip = 0n;
    decoder.decodeOut(theirs);
    const status = decode(buffer, offset, pair.ours, ours);
    const { code } = theirs;
    if (code === 0) {
      if (status === DecodeStatus.ok)
        report(
          offset,
          `iced invalid, we ${records[ours.encoding - 1].opcode} ${records[ours.encoding - 1].instruction}`,
        );
      continue;
    }
    valid++;
    if (status !== DecodeStatus.ok) report(offset, `we invalid, iced ${codeNames[code]}`);
    else if (ours.encoding !== encodingOfCode[code])
      report(
        offset,
        `iced ${codeNames[code]}, we ${records[ours.encoding - 1].opcode} ${records[ours.encoding - 1].instruction}`,
      );
    else if (ours.length !== theirs.length)
      report(offset, `length ${ours.length}, iced ${theirs.length}: ${codeNames[code]}`);
    else {
      const what = compareOperands(ours, theirs);
      if (what !== '') report(offset, `${codeNames[code]}: ${what}`);
    }
  }
  theirs.free();
  decoder.free();
  return valid;
}

function compareOperands(ours: Instruction, theirs: IcedInstruction): string {
  const count = operandCount(ours);
  // iced counts the registers that the manual lists in < >; they follow the others.
  for (let i = 0; i < count; i++) {
    const kind = theirs.opKind(i);
    const mine = operandKind(ours, i);
    if (kind === OpKind.Register) {
      if (mine !== OperandKind.register) return `operand ${i} kind ${mine}, iced register`;
      const theirRegister = theirs.opRegister(i);
      if (operandRegister(ours, i) !== registers[theirRegister])
        return `operand ${i} register ${operandRegister(ours, i)}, iced ${IcedRegister[theirRegister]}`;
    } else if (nearBranches.has(kind)) {
      if (mine !== OperandKind.relative && mine !== OperandKind.absolute)
        return `operand ${i} kind ${mine}, iced branch`;
      const width = kind === OpKind.NearBranch16 ? 16 : kind === OpKind.NearBranch32 ? 32 : 64;
      const target = BigInt.asUintN(
        width,
        BigInt(ours.immediate + (mine === OperandKind.relative ? ours.length : 0)),
      );
      if (target !== BigInt.asUintN(width, theirs.nearBranchTarget))
        return `branch to ${target}, iced ${theirs.nearBranchTarget}`;
    } else if (kind === OpKind.FarBranch16 || kind === OpKind.FarBranch32) {
      if (mine !== OperandKind.farPointer || ours.immediate2 !== theirs.farBranchSelector)
        return 'far pointer';
      const offset = kind === OpKind.FarBranch16 ? theirs.farBranch16 : theirs.farBranch32;
      if (ours.immediate >>> 0 !== offset) return 'far pointer offset';
    } else if (kind >= OpKind.Immediate8 && kind <= OpKind.Immediate32to64) {
      if (mine !== OperandKind.immediate) return `operand ${i} kind ${mine}, iced immediate`;
      const what = compareImmediate(ours, theirs, i);
      if (what !== '') return what;
    } else {
      if (mine !== OperandKind.memory) return `operand ${i} kind ${mine}, iced memory`;
      if (kind === OpKind.Memory) {
        const what = compareMemory(ours, theirs, i);
        if (what !== '') return what;
      }
      const segment =
        kind >= OpKind.MemoryESDI && kind <= OpKind.MemoryESRDI ? IcedRegister.ES : theirs.memorySegment;
      if (memorySegment(ours, i) !== registers[segment])
        return `segment ${memorySegment(ours, i)}, iced ${IcedRegister[segment]}`;
    }
  }
  const mask = theirs.opMask;
  if (ours.opmask !== (mask === 0 ? 0 : mask - IcedRegister.K0)) return 'opmask';
  if ((ours.zeroing !== 0) !== theirs.zeroingMasking) return 'zeroing';
  if (ours.modrm < 0xc0 && (ours.broadcast !== 0) !== theirs.isBroadcast) return 'broadcast';
  return '';
}

function compareImmediate(ours: Instruction, theirs: IcedInstruction, operand: number): string {
  const value = theirs.immediate(operand);
  const mine =
    (BigInt(operandImmediateHigh(ours, operand) >>> 0) << 32n) |
    BigInt(operandImmediate(ours, operand) >>> 0);
  const width = 8 * operandImmediateSize(ours, operand);
  return BigInt.asUintN(width, mine) === BigInt.asUintN(width, value)
    ? ''
    : `immediate ${mine}, iced ${value}`;
}

function compareMemory(ours: Instruction, theirs: IcedInstruction, operand: number): string {
  const base = memoryBase(ours, operand);
  if (base !== registers[theirs.memoryBase]) return `base ${base}, iced ${IcedRegister[theirs.memoryBase]}`;
  if (registers[theirs.memoryIndex] !== memoryIndex(ours, operand))
    return `index ${ours.index}, iced ${IcedRegister[theirs.memoryIndex]}`;
  if (theirs.memoryIndexScale !== 1 << ours.scale)
    return `scale ${ours.scale}, iced ${theirs.memoryIndexScale}`;
  let displacement = (BigInt(ours.displacementHigh) << 32n) | BigInt(ours.displacement >>> 0);
  const relative = theirs.memoryBase === IcedRegister.RIP || theirs.memoryBase === IcedRegister.EIP;
  if (relative) displacement += BigInt(ours.length);
  const width = ours.addressSize;
  if (BigInt.asUintN(width, displacement) !== BigInt.asUintN(width, theirs.memoryDisplacement)) {
    return `displacement ${displacement}, iced ${theirs.memoryDisplacement}`;
  }
  return '';
}
