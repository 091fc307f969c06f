/**
 * iced-x86 as the oracle for what instructions use: registers, memory, flags, stack, control flow, features.
 */
import {
  CodeExt,
  CpuidFeature,
  Decoder,
  type FlowControl,
  ConditionCode as IcedCondition,
  Instruction as IcedInstruction,
  Register as IcedRegister,
  InstructionInfoFactory,
  MemorySizeExt,
  OpAccess,
} from 'iced-x86';
import {
  type DecoderFeature,
  DecodeStatus,
  decode,
  Instruction,
  operandCount,
  RegisterClass,
  registerName,
} from '../../src/index.ts';
import {
  Access,
  ConditionCode,
  conditionCode,
  controlFlow,
  cpuidFeatures,
  ElementKind,
  fpuIsConditional,
  fpuTopIncrement,
  fpuWritesTop,
  InstructionInfo,
  isPrivileged,
  isStackInstruction,
  isString,
  MemoryElement,
  memoryElement,
  readInfo,
  stackPointerIncrement,
  Trait,
  traits,
} from '../../src/info/index.ts';
import { codeNames, encodingOfCode, type OraclePair, oracleOptions, records, registers } from './iced.ts';
import { samplesOf } from './samples.ts';

const accessOf: Record<number, number> = {
  [OpAccess.None]: Access.none,
  [OpAccess.Read]: Access.read,
  [OpAccess.CondRead]: Access.conditionalRead,
  [OpAccess.Write]: Access.write,
  [OpAccess.CondWrite]: Access.conditionalWrite,
  [OpAccess.ReadWrite]: Access.readWrite,
  [OpAccess.ReadCondWrite]: Access.readConditionalWrite,
  [OpAccess.NoMemAccess]: Access.none,
};

const accessNames = ['r', 'cr', 'w', 'cw'];

function accessName(access: number): string {
  return accessNames.filter((_, bit) => (access >> bit) & 1).join('+') || 'none';
}

function merged(access: number): number {
  if ((access & Access.read) !== 0) access &= ~Access.conditionalRead;
  if ((access & Access.write) !== 0) access &= ~Access.conditionalWrite;
  return access;
}

const hex = (value: bigint) => value.toString(16);

/** iced's list, with one entry per register as ours has. */
function theirRegisters(info: ReturnType<InstructionInfoFactory['info']>): string {
  const access = new Map<number, number>();
  for (const used of info.usedRegisters()) {
    const register = registers[used.register];
    access.set(register, merged((access.get(register) ?? 0) | accessOf[used.access]));
    used.free();
  }
  return describeRegisters([...access]);
}

function ourRegisters(info: InstructionInfo): string {
  return describeRegisters(
    Array.from({ length: info.registerCount }, (_, i): [number, number] => [
      info.registers[i],
      info.registerAccess[i],
    ]),
  );
}

function describeRegisters(uses: [number, number][]): string {
  return uses
    .sort((a, b) => a[0] - b[0])
    .map(([register, access]) => `${registerName(register)}:${accessName(access)}`)
    .join(' ');
}

/** Accesses by place; iced lists a place that is read and written conditionally twice. */
class MemoryUses {
  private readonly access = new Map<string, number>();

  add(access: number, place: string): void {
    this.access.set(place, (this.access.get(place) ?? 0) | access);
  }

  text(): string {
    return [...this.access]
      .map(([place, access]) => `${accessName(access)} ${place}`)
      .sort()
      .join('; ');
  }
}

function theirMemory(
  info: ReturnType<InstructionInfoFactory['info']>,
  isRelative: boolean,
  relativeBase: number,
): string {
  const uses = new MemoryUses();
  for (const used of info.usedMemory()) {
    const base = isRelative && used.base === IcedRegister.None ? relativeBase : registers[used.base];
    uses.add(
      accessOf[used.access],
      describeMemory(
        MemorySizeExt.size(used.memorySize),
        registers[used.segment],
        base,
        registers[used.index],
        used.index === 0 ? 1 : used.scale,
        used.displacement,
      ),
    );
    used.free();
  }
  return uses.text();
}

function ourMemory(info: InstructionInfo, length: number): string {
  const uses = new MemoryUses();
  for (let i = 0; i < info.memoryCount; i++) {
    const base = info.memoryBase[i];
    const displacement =
      (BigInt(info.memoryDisplacementHigh[i]) << 32n) | BigInt(info.memoryDisplacement[i] >>> 0);
    const end = base >> 5 === RegisterClass.instructionPointer ? BigInt(length) : 0n;
    const wrapped = BigInt.asUintN(info.memoryAddressSize[i], displacement + end);
    uses.add(
      info.memoryAccess[i],
      describeMemory(
        info.memorySize[i],
        info.memorySegment[i],
        base,
        info.memoryIndex[i],
        1 << info.memoryScale[i],
        wrapped,
      ),
    );
  }
  return uses.text();
}

function describeMemory(
  size: number,
  segment: number,
  base: number,
  index: number,
  scale: number,
  displacement: bigint,
): string {
  return `${size} ${registerName(segment)}:${registerName(base)}+${registerName(index)}*${scale}+${hex(displacement)}`;
}

const flags = 'oszacpdiAu0123';

function describeFlags(
  read: number,
  written: number,
  cleared: number,
  set: number,
  undefinedBits: number,
): string {
  const letters = (mask: number) => [...flags].filter((_, bit) => (mask >> bit) & 1).join('');
  return `r:${letters(read)} w:${letters(written)} 0:${letters(cleared)} 1:${letters(set)} u:${letters(undefinedBits)}`;
}

/** Compares one instruction that both sides decoded alike. Answers what differs. */
class InfoOracle {
  private readonly factory = new InstructionInfoFactory();
  private readonly info = new InstructionInfo();
  private readonly element = new MemoryElement();

  compare(ours: Instruction, theirs: IcedInstruction, report: (what: string) => void): void {
    const { info } = this;
    readInfo(ours, info);
    const their = this.factory.info(theirs);
    const expect = (name: string, mine: unknown, other: unknown) => {
      if (mine !== other) report(`${name} ${mine}, iced ${other}`);
    };
    expect('registers', ourRegisters(info), theirRegisters(their));
    expect(
      'memory',
      ourMemory(info, ours.length),
      theirMemory(their, theirs.isIpRelMemoryOperand, ours.base),
    );
    their.free();
    expect(
      'flags',
      describeFlags(info.flagsRead, info.flagsWritten, info.flagsCleared, info.flagsSet, info.flagsUndefined),
      describeFlags(
        theirs.rflagsRead,
        theirs.rflagsWritten,
        theirs.rflagsCleared,
        theirs.rflagsSet,
        theirs.rflagsUndefined,
      ),
    );
    expect('stack pointer', stackPointerIncrement(ours), theirs.stackPointerIncrement);
    for (let operand = 0; operand < operandCount(ours); operand++) {
      memoryElement(ours, operand, this.element);
      const { kind, elementBits, count } = this.element;
      // Gathers and scatters: iced tells of one element.
      if (kind === ElementKind.other || theirs.isVsib) continue;
      const { memorySize } = theirs;
      const size = MemorySizeExt.size(memorySize);
      const elementSize = MemorySizeExt.elementSize(memorySize);
      expect('element bytes', (elementBits * count) / 8, size);
      // Pairs (2xBFloat16) and the unit of a broadcast are one element for iced. BOUND's bounds are signed (SDM vol. 2, BOUND).
      if (elementBits > elementSize * 8) report(`element ${elementBits} bits, iced ${elementSize * 8}`);
      if (theirs.isBroadcast || records[ours.encoding - 1].mnemonic === 'BOUND') continue;
      expect('element signed', kind !== ElementKind.unsigned, MemorySizeExt.isSigned(memorySize));
    }
  }

  free(): void {
    this.factory.free();
  }
}

interface Disagreement {
  /** What decides. */
  readonly reason: string;
  matches(mnemonic: string, what: string, ours: Instruction): boolean;
}

/** Where we differ from iced-x86 1.21 on purpose. */
const disagreements: readonly Disagreement[] = [
  {
    reason:
      'RCL and RCR of 8 and 16 bits define OF if the masked count is 1, not if its remainder by 9 or 17 is (SDM vol. 2, RCL/RCR/ROL/ROR, Operation: "IF (COUNT & COUNTMASK) = 1")',
    matches: (mnemonic, what, { immediate }) =>
      /^RC[LR]$/.test(mnemonic) && what.startsWith('flags') && (immediate & 31) > 1,
  },
  {
    reason:
      'MASKMOVQ, MASKMOVDQU, VMASKMOVPS and relatives store only the elements that the mask selects (SDM vol. 2, MASKMOVDQU: "Stores selected bytes")',
    matches: (mnemonic, what) => /^V?P?MASKMOV/.test(mnemonic) && /^memory cw .*iced w /.test(what),
  },
  {
    reason:
      'LOADALL loads the flags, at offset 18h of its area on the 80286, 4 on the 80386 (Collins, "The LOADALL Instruction")',
    matches: (mnemonic, what) => mnemonic === 'LOADALL' && what.startsWith('flags'),
  },
];

/** Decodes as `compareAll` does and compares what both sides decode alike. @returns how many those are */
export function compareInfo(
  buffer: Uint8Array,
  stride: number,
  pair: OraclePair,
  report: (offset: number, what: string) => void,
): number {
  const decoder = new Decoder(pair.ours.mode, buffer, pair.iced);
  const theirs = new IcedInstruction();
  const ours = new Instruction();
  const oracle = new InfoOracle();
  let compared = 0;
  for (let offset = 0; offset < buffer.length; offset += stride) {
    decoder.position = offset;
    decoder.ip = 0n;
    decoder.decodeOut(theirs);
    const { code } = theirs;
    if (
      code === 0 ||
      decode(buffer, offset, pair.ours, ours) !== DecodeStatus.ok ||
      ours.encoding !== encodingOfCode[code]
    )
      continue;
    compared++;
    const { mnemonic } = records[ours.encoding - 1];
    oracle.compare(ours, theirs, (what) => {
      if (!disagreements.some((disagreement) => disagreement.matches(mnemonic, what, ours)))
        report(offset, `${codeNames[code]}: ${what}`);
    });
  }
  theirs.free();
  decoder.free();
  oracle.free();
  return compared;
}

/**
 * The samples of every encoding that both sides can have, by options, each at a multiple of 16.
 *
 * @param every use only one of so many
 */
export function* sampleBuffers(every = 1): Generator<[OraclePair, Uint8Array]> {
  const groups = new Map<string, [OraclePair, Uint8Array[]]>();
  const shared = new Set(encodingOfCode);
  let turn = 0;
  records.forEach(({ attributes }, i) => {
    if (!shared.has(i + 1)) return;
    const named = (prefix: string) =>
      [...attributes]
        .filter((word) => word.startsWith(prefix))
        .map((word) => word.slice(prefix.length) as DecoderFeature);
    const [on, off] = [named('option:'), named('unless:')];
    for (const { mode, bytes } of samplesOf(records[i])) {
      if (turn++ % every !== 0) continue;
      const amd = attributes.has('amd') || (mode === 64 && attributes.has('amd-in-64'));
      const key = [mode, amd, on, off].join();
      let group = groups.get(key);
      if (group === undefined) {
        group = [
          oracleOptions(mode, amd ? 'amd' : 'intel', off.includes('mpx') ? on : ['mpx', ...on], off),
          [],
        ];
        groups.set(key, group);
      }
      group[1].push(bytes);
    }
  });
  for (const [pair, samples] of groups.values()) {
    const buffer = new Uint8Array(samples.length * 16);
    samples.forEach((bytes, i) => {
      buffer.set(bytes.subarray(0, 16), i * 16);
    });
    yield [pair, buffer];
  }
}

const conditionNames = Object.keys(ConditionCode);
const renamedFeatures: Record<string, string> = {
  D3NOW: '3DNOW',
  D3NOWEXT: '3DNOWEXT',

  INTEL8086: '8086',
  INTEL186: '80186',
  INTEL286: '80286',
  INTEL386: '80386',
  INTEL486: '80486',
  X64: 'X86-64',
  INTEL8086_ONLY: '8086-only',
  INTEL286_ONLY: '80286-only',
  INTEL386_ONLY: '80386-only',
  INTEL386_A0_ONLY: '80386-A0-only',
  INTEL486_A_ONLY: '80486-A-only',
};

/** Compares what depends on the encoding alone, for every encoding that iced has too. @returns how many those are */
export function compareProperties(report: (what: string) => void): number {
  const theirs = new IcedInstruction();
  let compared = 0;
  codeNames.forEach((codeName, code) => {
    const encoding = encodingOfCode[code];
    if (encoding === 0) return;
    compared++;
    const expect = (name: string, mine: unknown, other: unknown) => {
      if (mine !== other) report(`${codeName}: ${name} ${mine}, iced ${other}`);
    };
    theirs.code = code;
    const info = CodeExt.opCode(code);
    expect('flow', controlFlow(encoding), theirs.flowControl satisfies FlowControl);
    expect(
      'condition',
      conditionNames[conditionCode(encoding)],
      IcedCondition[theirs.conditionCode].toLowerCase(),
    );
    expect('privileged', isPrivileged(encoding), theirs.isPrivileged);
    expect('stack', isStackInstruction(encoding), theirs.isStackInstruction);
    expect('string', isString(encoding), theirs.isStringInstruction);
    expect('TOP increment', fpuTopIncrement(encoding), theirs.fpuTopIncrement);
    expect('TOP written', fpuWritesTop(encoding), theirs.fpuWritesTop);
    expect('TOP conditional', fpuIsConditional(encoding), theirs.fpuCondWritesTop);
    expect(
      'features',
      cpuidFeatures(encoding).join(' '),
      Array.from(theirs.cpuidFeatures(), (id) => renamedFeatures[CpuidFeature[id]] ?? CpuidFeature[id]).join(
        ' ',
      ),
    );
    const has = (trait: number) => (traits(encoding) & trait) !== 0;
    expect('save/restore', has(Trait.saveRestore), theirs.isSaveRestoreInstruction);
    expect('non-temporal', has(Trait.nonTemporal), info.isNonTemporal);
    expect('serializing on Intel', has(Trait.serializingIntel), info.isSerializingIntel);
    expect('serializing on AMD', has(Trait.serializingAmd), info.isSerializingAmd);
    expect('ports', has(Trait.io), info.isInputOutput);
    expect('no-op', has(Trait.nop), info.isNop);
    expect('reserved no-op', has(Trait.reservedNop), info.isReservedNop);
    expect('no wait', has(Trait.noWait), info.isFpuNoWait);
    expect('LOCK', has(Trait.lock), info.canUseLockPrefix);
    expect('REP', has(Trait.rep) || has(Trait.repe), info.canUseRepPrefix);
    expect('REPNE', has(Trait.repne), info.canUseRepnePrefix);
    expect('XACQUIRE', has(Trait.xacquire), info.canUseXacquirePrefix);
    expect('XRELEASE', has(Trait.xrelease), info.canUseXreleasePrefix);
    expect('BND', has(Trait.bnd), info.canUseBndPrefix);
    expect('NOTRACK', has(Trait.notrack), info.canUseNotrackPrefix);
    expect('hints', has(Trait.branchHint), info.canUseHintTakenPrefix);
    expect('VMX exit', has(Trait.vmxExit), info.intelVmExit);
    expect('VMX may exit', has(Trait.vmxMayExit), info.intelMayVmExit);
    expect('SVM exit', has(Trait.svmExit), info.amdVmExit);
    expect('SVM may exit', has(Trait.svmMayExit), info.amdMayVmExit);
    expect('CET-tracked', has(Trait.cetTracked), info.isCetTracked);
    expect('no segment', has(Trait.noSegment), info.ignoresSegment);
    expect('opmask written', has(Trait.opmaskWritten), info.isOpMaskReadWrite);
    info.free();
  });
  theirs.free();
  return compared;
}
