import {
  type DecoderOptions,
  DecodeStatus,
  decode,
  EncodingSpace,
  Instruction,
  OperandKind,
  operandCount,
  operandKind,
  operandMemorySize,
  operandRegister,
  RegisterClass,
  registerClass,
  registerNumber,
} from '@nest86/decoder';
import { ControlFlow, controlFlow, Flag, flagsUndefined, isLockable, isString } from '@nest86/decoder/info';
import { BaseStates } from './base-state.ts';
import {
  type EncodingTemplates,
  findTemplates,
  hostDecoder,
  isRunnable,
  type Template,
  upperName,
} from './encodings.ts';
import { hostVendor, type Vendor } from './host-processor.ts';
import {
  type Batch,
  type CodeSize,
  codeAddress,
  codeSize,
  type HostCase,
  type HostState,
  landingOffset,
  scratchAddress,
  scratchSize,
  slotSize,
  stateAt,
  statusFlags,
} from './host-state.ts';
import { pick, type Random, randomNumbers } from './random.ts';

const mask64 = (1n << 64n) - 1n;
const rax = 0;
const rcx = 1;
const rdx = 2;
const rbx = 3;
const rsp = 4;
const rbp = 5;
const rsi = 6;
const rdi = 7;

/** Makes batches of random cases: each mnemonic gets the same share, within it each encoding. */
export class CaseGenerator {
  readonly mnemonics: readonly string[];
  private readonly decoder: DecoderOptions;
  private readonly templates: ReadonlyMap<string, readonly EncodingTemplates[]>;
  private readonly instruction: Instruction = new Instruction();
  private readonly bytes: Uint8Array = new Uint8Array(15);
  private random: Random = () => 0;
  private turn = 0;

  /** @param wanted which mnemonics (upper case); those that the host lacks or that cannot be run alone are left out */
  constructor(
    wanted: (mnemonic: string) => boolean,
    readonly mode: CodeSize = 64,
    private readonly vendor: Vendor = hostVendor(),
  ) {
    this.decoder = hostDecoder(vendor, mode);
    this.templates = findTemplates(wanted, mode, vendor);
    this.mnemonics = [...this.templates.keys()].sort();
  }

  /** @throws RangeError if there is no mnemonic, or more cases than slots */
  batch(count: number, seed: number): Batch {
    if (this.mnemonics.length === 0) throw new RangeError('no instruction that the host can run');
    if (count > codeSize / slotSize) throw new RangeError(`${count} cases: at most ${codeSize / slotSize}`);
    const random = randomNumbers(seed);
    this.random = random;
    this.turn = random() % this.mnemonics.length;
    const base = new BaseStates(seed, this.mode);
    const cases: HostCase[] = [];
    while (cases.length < count) {
      const made = this.attempt(cases.length, base);
      if (made !== undefined) cases.push(made);
    }
    return { vendor: this.vendor, mode: this.mode, seed, page: base.page, cases };
  }

  private attempt(index: number, base: BaseStates): HostCase | undefined {
    const address = codeAddress + index * slotSize;
    const { random, instruction, bytes } = this;
    const name = this.mnemonics[this.turn++ % this.mnemonics.length];
    const { memory, register } = pick(random, this.templates.get(name)!);
    const isMemory = memory.length > 0 && (register.length === 0 || (random() & 1) !== 0);
    const template = pick(random, isMemory ? memory : register);
    this.encode(template);
    if (decode(bytes, 0, this.decoder, instruction) !== DecodeStatus.ok) return undefined;
    // Redundant prefixes may have made another instruction of it.
    const mnemonic = upperName(instruction);
    if (!this.templates.has(mnemonic) || !isRunnable(instruction, mnemonic)) return undefined;
    const isBranch = controlFlow(instruction.encoding) !== ControlFlow.next;
    // With 66, AMD's processors cut RIP to 16 bits: nothing is there.
    if (isBranch && instruction.operandSize === 16) return undefined;
    // AMD's processors let F2 and F3 choose the condition of LOOPE and LOOPNE, which no manual says.
    if (/^LOOPN?E$/.test(mnemonic) && instruction.repeat !== 0) return undefined;
    // Found by comparing: with REX.B this is XCHG R8, RAX, and 0F 0D has no register form.
    if (mnemonic === 'PAUSE' && (instruction.rex & 1) !== 0) return undefined;
    if (mnemonic === 'RESERVEDNOP' && instruction.opcode === 0x0d) return undefined;
    // AMD's processors read 32 bits for a 16-bit MOVSXD, Intel's manual says 16.
    if (mnemonic === 'MOVSXD' && instruction.operandSize === 16) return undefined;
    // In 32-bit code Intel's manual ignores VEX.W here; AMD's processors raise #UD.
    if (this.mode === 32 && instruction.w === 1 && /^VP(EXTR|INSR)D$/.test(mnemonic)) return undefined;
    // CALL RSP would push into the code.
    if (isBranch && instruction.modrm >= 0xc0 && instruction.rm === rsp) return undefined;
    const { state, patch } = base.make(index);
    state.view.setBigUint64(stateAt.rip, BigInt(address), true);
    this.prepareRegisters(mnemonic, state);
    const target = this.aim(mnemonic, state, address);
    if (target === undefined) return undefined;
    this.prepareMemory(mnemonic, state, patch);
    if (isBranch) this.prepareBranch(state, patch, address + landingOffset);
    // Outside of the page there is nothing to prepare.
    const start = target - scratchAddress;
    const isInside = start >= 0 && start < scratchSize;
    return {
      code: bytes.slice(0, instruction.length),
      mode: this.mode,
      vendor: this.vendor,
      ...whatIs(instruction),
      address,
      before: state,
      page: base.page,
      patchOffset: isInside ? start : 0,
      patch: isInside ? patch.subarray(0, Math.min(patch.length, scratchSize - start)) : patch.subarray(0, 0),
    };
  }

  // Bytes.

  private encode(template: Template): void {
    const { random, bytes } = this;
    let at = 0;
    const choice = random();
    const { space, prefix, map } = template;
    const isChanceOf = (shift: number, bits: number): boolean =>
      ((choice >>> shift) & ((1 << bits) - 1)) === 0;
    const is64 = this.mode === 64;
    // 16-bit addresses cannot be aimed: nothing is mapped there.
    if (template.isMemory ? is64 && isChanceOf(0, 4) : isChanceOf(0, 6)) bytes[at++] = 0x67;
    if (isChanceOf(4, 5)) bytes[at++] = [0x26, 0x2e, 0x36, 0x3e][(choice >>> 9) & 3];
    // Without REX; in VEX prefixes inverted.
    const rxb = is64 ? random() & 7 : 7;
    if (space === EncodingSpace.legacy) {
      if (isChanceOf(11, 3) && template.isMemory && isLockable(template.encoding)) bytes[at++] = 0xf0;
      if (isChanceOf(14, 4) && prefix !== 0x66) bytes[at++] = 0x66;
      if (prefix !== 0) bytes[at++] = prefix;
      else if (isString(template.encoding) && (choice & (1 << 18)) !== 0)
        bytes[at++] = 0xf2 | ((choice >>> 19) & 1);
      else if (isChanceOf(18, 6)) bytes[at++] = 0xf2 | ((choice >>> 24) & 1);
      if (is64 && (template.w === 1 || isChanceOf(25, 1))) bytes[at++] = 0x40 | (template.w << 3) | rxb;
      if (map > 0) bytes[at++] = 0x0f;
      if (map > 1) bytes[at++] = map === 2 ? 0x38 : 0x3a;
    } else {
      const pp = prefix === 0x66 ? 1 : prefix === 0xf3 ? 2 : prefix === 0xf2 ? 3 : 0;
      const usesVvvv = this.usesVvvv(template);
      const vvvv = is64 ? random() & 15 : 8 | (random() & 7);
      const last = ((usesVvvv ? vvvv : 15) << 3) | (template.l << 2) | pp;
      if (map === 1 && template.w === 0 && isChanceOf(25, 1)) {
        bytes[at++] = 0xc5;
        bytes[at++] = ((rxb & 4) << 5) | last;
      } else {
        bytes[at++] = 0xc4;
        bytes[at++] = (rxb << 5) | map;
        bytes[at++] = (template.w << 7) | last;
      }
    }
    bytes[at++] = template.opcode;
    if (template.modrm >= 0) {
      if (template.isMemory) {
        const shape = random();
        const mod = [0, 1, 1, 2][shape & 3];
        const rm =
          template.isVectorIndex || (shape & 12) === 0 ? 4 : (shape & 0xf0) === 0 ? 5 : (shape >>> 8) & 7;
        const isRelative = rm === 5 && (shape & 0xf0) === 0;
        bytes[at++] = ((isRelative ? 0 : mod) << 6) | (template.modrm & 0x38) | rm;
      } else bytes[at++] = template.modrm;
    }
    for (; at < 15; at++) bytes[at] = random();
  }

  private readonly vvvvUse = new Map<number, boolean>();

  private usesVvvv({ encoding, map, w, l, prefix, opcode, modrm }: Template): boolean {
    const known = this.vvvvUse.get(encoding);
    if (known !== undefined) return known;
    const pp = prefix === 0x66 ? 1 : prefix === 0xf3 ? 2 : prefix === 0xf2 ? 3 : 0;
    const last = (w << 7) | (5 << 3) | (l << 2) | pp;
    const bytes = Uint8Array.of(0xc4, 0xe0 | map, last, opcode, modrm, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8);
    const uses = decode(bytes, 0, this.decoder, new Instruction()) === DecodeStatus.ok;
    this.vvvvUse.set(encoding, uses);
    return uses;
  }

  private prepareRegisters(mnemonic: string, { view }: HostState): void {
    const { random, instruction } = this;
    const set = (number: number, value: bigint): void =>
      view.setBigUint64(8 * number, BigInt.asUintN(this.mode, value), true);
    const get = (number: number): bigint => view.getBigUint64(8 * number, true);
    const choice = random();
    set(rsp, BigInt(this.stackAddress(choice)));
    if (isString(instruction.encoding)) {
      set(rsi, this.looseAddress());
      set(rdi, this.looseAddress());
      const isLong = (choice & 7) === 0;
      set(rcx, (choice & 0xf0) === 0 ? get(rcx) : BigInt((choice >>> 8) % (isLong ? 600 : 20)));
      return;
    }
    switch (mnemonic) {
      case 'DIV':
      case 'IDIV': {
        const sign = mnemonic === 'IDIV' ? BigInt.asIntN(instruction.operandSize, get(rax)) < 0n : false;
        if ((choice & 3) !== 0) set(rdx, sign ? -1n : 0n);
        else if ((choice & 4) !== 0) set(rdx, get(rdx) >> BigInt((choice >>> 3) & 63));
        if (instruction.opcode === 0xf6 && (choice & 3) !== 0) set(rax, BigInt((choice >>> 8) & 0x3ff));
        break;
      }
      case 'LOOP':
      case 'LOOPE':
      case 'LOOPNE':
      case 'JECXZ':
      case 'JRCXZ':
        if ((choice & 3) !== 0) set(rcx, (get(rcx) & ~0xffffffffn) | BigInt((choice >>> 8) % 3));
        if ((choice & 4) !== 0) set(rcx, get(rcx) & 0xffffffffn);
        break;
      case 'CMPXCHG':
        // Equal half of the time; memory gets its share later.
        if (instruction.modrm >= 0xc0 && (choice & 1) !== 0) set(rax, get(instruction.rm));
        break;
      case 'MASKMOVQ':
      case 'MASKMOVDQU':
      case 'VMASKMOVDQU':
        set(rdi, this.looseAddress());
        break;
      case 'LEAVE':
        set(rbp, this.looseAddress());
        break;
      case 'XLATB':
        set(rbx, this.looseAddress());
        break;
      case 'BT':
      case 'BTS':
      case 'BTR':
      case 'BTC':
        if (instruction.modrm < 0xc0 && operandKind(instruction, 1) === OperandKind.register) {
          const isWild = instruction.operandSize === 64 && (choice & 15) === 0;
          // Not so far that it could hit the harness.
          const near = BigInt(random() % 40000) - 20000n;
          set(instruction.reg, isWild ? (BigInt(random()) << 32n) | (1n << 62n) : near);
        }
        break;
    }
    if (registerClass(instruction.index) >= RegisterClass.xmm) this.prepareVectorIndex(view);
  }

  private stackAddress(choice: number): number {
    const place = choice & 15;
    if (place === 0) return scratchAddress + scratchSize - ((choice >>> 4) & 15);
    if (place === 1) return scratchAddress + ((choice >>> 4) & 15);
    if (place === 2) return scratchAddress + 64 + ((choice >>> 4) % (scratchSize - 128));
    return scratchAddress + 64 + (((choice >>> 4) % (scratchSize - 128)) & ~7);
  }

  /** In the scratch memory, seldom at its edges; the upper half of 32-bit addresses does not matter. */
  private looseAddress(): bigint {
    const address = BigInt(this.stackAddress(this.random()));
    return this.instruction.addressSize === 32 && this.mode === 64
      ? address | (BigInt(this.random()) << 32n)
      : address;
  }

  /** Small elements, so that gathers stay in the scratch memory. */
  private prepareVectorIndex(view: DataView): void {
    const { random, instruction } = this;
    const number = registerNumber(instruction.index);
    const isWide = /Q[DPSQ]+$/.test(upperName(instruction));
    const range = 3800 >> instruction.scale;
    for (let i = 0; i < 8; i++) {
      const at = (i < 4 ? stateAt.xmm : stateAt.upper) + 16 * number + 4 * (i & 3);
      const element = (random() % range) - (range >> 1) + ((random() & 63) === 0 ? range : 0);
      view.setInt32(at, isWide && (i & 1) !== 0 ? view.getInt32(at - 4, true) >> 31 : element, true);
    }
  }

  /**
   * Sets the registers or the displacement of the memory operand so that it lies in the scratch memory or, seldom, across its border.
   *
   * @returns its address, or where else prepared bytes go; undefined if the bytes at hand cannot do that
   */
  private aim(mnemonic: string, { view }: HostState, address: number): number | undefined {
    const { random, instruction, bytes } = this;
    const readStack = (): number => Number(view.getBigUint64(8 * rsp, true));
    const absolute = instruction.modrm < 0 && instruction.displacementOffset !== 0;
    const hasModrm = instruction.modrm >= 0 && instruction.modrm < 0xc0;
    if (!absolute && !hasModrm) return readStack();
    const size = this.memorySize();
    let target = this.target(size);
    if (registerClass(instruction.index) >= RegisterClass.xmm) target = scratchAddress + scratchSize / 2;
    if (absolute) {
      const data = new DataView(bytes.buffer);
      data.setUint32(instruction.displacementOffset, target, true);
      if (instruction.displacementSize === 8) data.setUint32(instruction.displacementOffset + 4, 0, true);
      return target;
    }
    const { base, index, scale } = instruction;
    const displacement = BigInt(instruction.displacement);
    if (base === 0 || registerClass(base) === RegisterClass.instructionPointer) {
      // The displacement alone, or with an index.
      const from = base === 0 ? 0 : address + instruction.length;
      let part = 0;
      if (index !== 0 && registerClass(index) < RegisterClass.xmm) {
        const number = registerNumber(index);
        if (number === rsp) return undefined;
        const value = BigInt(random() % 0x1000000);
        const upper = this.mode === 64 && instruction.addressSize === 32 ? BigInt(random()) << 32n : 0n;
        view.setBigUint64(8 * number, upper | value, true);
        part = Number(value) * (1 << scale);
      }
      new DataView(bytes.buffer).setInt32(instruction.displacementOffset, target - from - part, true);
      return target;
    }
    const number = registerNumber(base);
    let rest = BigInt(target) - displacement;
    if (index !== 0 && registerClass(index) < RegisterClass.xmm) {
      const other = registerNumber(index);
      if (other === number) {
        // An odd factor has an inverse; 1 + 1 has none.
        if (scale === 0) rest = rest / 2n;
        else rest *= [0n, 0xaaaaaaaaaaaaaaabn, 0xcccccccccccccccdn, 0x8e38e38e38e38e39n][scale];
        // The target has moved by one if 2 does not divide it.
        if (scale === 0) target = Number((2n * rest + displacement) & mask64);
      } else {
        let value = view.getBigUint64(8 * other, true);
        if (other === rsp) value = 0n;
        rest -= value << BigInt(scale);
      }
    }
    rest &= mask64;
    if (instruction.addressSize === 32) rest &= 0xffffffffn;
    if (instruction.addressSize === 32 && this.mode === 64) rest |= BigInt(random()) << 32n;
    if (number === rsp && this.movesStack(mnemonic) && instruction.addressSize === 32) return undefined;
    view.setBigUint64(8 * number, rest, true);
    return target;
  }

  private movesStack(mnemonic: string): boolean {
    return /^(PUSH|POP|CALL|RET|LEAVE)/.test(mnemonic);
  }

  private memorySize(): number {
    const { instruction } = this;
    const count = operandCount(instruction);
    for (let i = 0; i < count; i++)
      if (operandKind(instruction, i) === OperandKind.memory) return operandMemorySize(instruction, i) || 8;
    return 8;
  }

  private target(size: number): number {
    const { random } = this;
    const choice = random();
    const place = choice & 31;
    const room = scratchSize - Math.min(size, scratchSize / 2);
    // Across the end, across the start, right at the end, anywhere; half of the time aligned.
    if (place === 0 && size > 1) return scratchAddress + scratchSize - 1 - ((choice >>> 5) % (size - 1));
    if (place === 1) return scratchAddress - 1 - ((choice >>> 5) % size);
    if (place === 2) return scratchAddress + room;
    if (place === 3) return scratchAddress + scratchSize + ((choice >>> 5) & 1);
    const at = (choice >>> 5) % room;
    if (place < 20) return scratchAddress + at - (at % (size & (size - 1) ? 16 : size));
    return scratchAddress + at;
  }

  private prepareMemory(mnemonic: string, { view }: HostState, patch: Uint8Array): void {
    const { random } = this;
    const data = new DataView(patch.buffer);
    switch (mnemonic) {
      case 'CMPXCHG':
        if ((random() & 1) !== 0) data.setBigUint64(0, view.getBigUint64(8 * rax, true), true);
        break;
      case 'CMPXCHG8B':
        if ((random() & 1) !== 0) {
          data.setUint32(0, view.getUint32(8 * rax, true), true);
          data.setUint32(4, view.getUint32(8 * rdx, true), true);
        }
        break;
      case 'CMPXCHG16B':
        if ((random() & 1) !== 0) {
          data.setBigUint64(0, view.getBigUint64(8 * rax, true), true);
          data.setBigUint64(8, view.getBigUint64(8 * rdx, true), true);
        }
        break;
      case 'LDMXCSR':
      case 'VLDMXCSR':
        if ((random() & 3) !== 0) data.setUint32(0, random() & 0xffff, true);
        break;
    }
  }

  /** The target of the branch is the slot's landing, seldom a non-canonical address. */
  private prepareBranch({ view }: HostState, patch: Uint8Array, landing: number): void {
    const { instruction, bytes, random } = this;
    const isWild = this.mode === 64 && (random() & 15) === 0;
    const target = isWild ? 0x8000000000000000n | BigInt(landing) : BigInt(landing);
    const data = new DataView(patch.buffer);
    if (operandCount(instruction) === 0) {
      data.setBigUint64(0, target, true);
      return;
    }
    switch (operandKind(instruction, 0)) {
      case OperandKind.relative: {
        const code = new DataView(bytes.buffer);
        const distance = landingOffset - instruction.length;
        if (instruction.immediateSize === 1) code.setInt8(instruction.immediateOffset, distance);
        else code.setInt32(instruction.immediateOffset, distance, true);
        break;
      }
      case OperandKind.register:
        view.setBigUint64(8 * registerNumber(operandRegister(instruction, 0)), target, true);
        break;
      default:
        data.setBigUint64(0, target, true);
    }
  }
}

/** What a case tells of its instruction. */
export function whatIs(
  instruction: Instruction,
): Pick<HostCase, 'mnemonic' | 'encoding' | 'isMemory' | 'definedFlags'> {
  const { encoding, modrm } = instruction;
  return {
    mnemonic: upperName(instruction),
    encoding,
    isMemory: modrm >= 0 && modrm < 0xc0,
    definedFlags: statusFlags & ~undefinedStatusFlags(encoding),
  };
}

/** In their places in RFLAGS. */
function undefinedStatusFlags(encoding: number): number {
  const flags = flagsUndefined(encoding);
  return (
    ((flags & Flag.overflow) !== 0 ? 0x800 : 0) |
    ((flags & Flag.sign) !== 0 ? 0x80 : 0) |
    ((flags & Flag.zero) !== 0 ? 0x40 : 0) |
    ((flags & Flag.auxiliaryCarry) !== 0 ? 0x10 : 0) |
    ((flags & Flag.parity) !== 0 ? 4 : 0) |
    ((flags & Flag.carry) !== 0 ? 1 : 0)
  );
}
