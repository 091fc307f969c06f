import {
  DecoderOptions,
  DecodeStatus,
  decode,
  EncodingSpace,
  Instruction,
  OperandKind,
  operandCount,
  operandKind,
  operandRegister,
  RegisterClass,
  registerClass,
} from '@nest86/decoder';
import { cpuidFeatures } from '@nest86/decoder/info';
import { mnemonic, mnemonicName } from '@nest86/decoder/mnemonic';
import { hostHas, type Vendor } from './host-processor.ts';
import type { CodeSize } from './host-state.ts';

const decoders = new Map<string, DecoderOptions>();

/** The decoder of a host: without what neither host can have. */
export function hostDecoder(vendor: Vendor, mode: CodeSize): DecoderOptions {
  const key = `${vendor}${mode}`;
  let options = decoders.get(key);
  if (options === undefined) {
    options = new DecoderOptions({ mode, vendor, disable: ['apx', 'mpx'] });
    decoders.set(key, options);
  }
  return options;
}

/** Bytes that select an encoding, without the operands that may be chosen freely. */
export interface Template {
  readonly encoding: number;
  /** {@link EncodingSpace}: legacy or VEX. */
  readonly space: number;
  readonly map: number;
  /** 0, 0x66, 0xf2 or 0xf3. */
  readonly prefix: number;
  readonly w: number;
  readonly l: number;
  readonly opcode: number;
  /** -1 if there is none; of the memory form, only the `reg` field counts. */
  readonly modrm: number;
  readonly isMemory: boolean;
  readonly isVectorIndex: boolean;
}

/** Templates of one encoding: those with a memory operand, and the others. */
export interface EncodingTemplates {
  readonly memory: readonly Template[];
  readonly register: readonly Template[];
}

/** Mnemonics that are not run one at a time, and why. */
const excluded: Readonly<Record<string, string>> = {
  RDFSBASE: 'of the harness',
  RDGSBASE: 'of the harness',
  WRFSBASE: 'the harness needs its own',
  WRGSBASE: 'the harness needs its own',
  WRPKRU: 'the harness needs its own',
  LFS: 'the harness needs its own',
  LGS: 'the harness needs its own',
  LSS: 'loads a segment',
  RDTSC: 'time',
  RDTSCP: 'time',
  RDPID: 'the host decides',
  RDPRU: 'the host decides',
  CPUID: 'the host decides',
  XGETBV: 'the host decides',
  RDRAND: 'random',
  RDSEED: 'random',
  SLDT: 'the host decides',
  STR: 'the host decides',
  SMSW: 'the host decides',
  SGDT: 'the host decides',
  SIDT: 'the host decides',
  LAR: 'the host decides',
  LSL: 'the host decides',
  VERR: 'the host decides',
  VERW: 'the host decides',
  SYSCALL: 'calls the kernel',
  SYSENTER: 'calls the kernel',
  INT: 'calls the kernel',
  INT1: 'a debug trap of the harness',
  INT3: 'a debug trap of the harness',
  XBEGIN: 'transactions abort as they like',
  XABORT: 'transactions abort as they like',
  XRSTOR: 'needs an area of its own',
  XSAVE: 'needs an area of its own',
  FXRSTOR: 'needs an area of its own',
  POPF: 'TF and AC would hit the harness',
  POPFD: 'TF and AC would hit the harness',
  POPFQ: 'TF and AC would hit the harness',
  IRET: 'needs a frame',
  IRETD: 'needs a frame',
  IRETQ: 'needs a frame',
};

const names: string[] = [];

/** As definitions are named. */
export function upperName(instruction: Instruction): string {
  const number = mnemonic(instruction);
  names[number] ??= mnemonicName(number).toUpperCase();
  return names[number];
}

/** Far branches are system instructions; segment registers and FS, GS are the harness's. */
export function isRunnable(instruction: Instruction, name: string): boolean {
  if (instruction.segmentOverride > 4) return false;
  if ((name === 'JMP' || name === 'CALL') && instruction.opcode === 0xff && (instruction.reg & 1) !== 0)
    return false;
  const count = operandCount(instruction);
  for (let i = 0; i < count; i++) {
    const kind = operandKind(instruction, i);
    if (kind === OperandKind.farPointer || kind === OperandKind.absolute) return false;
    if (kind === OperandKind.register) {
      const group = registerClass(operandRegister(instruction, i));
      if (group === RegisterClass.segment || group > RegisterClass.x87) return false;
    }
  }
  return true;
}

/**
 * Every legacy and VEX encoding of the wanted mnemonics that the host can run: by mnemonic, its encodings.
 */
export function findTemplates(
  wanted: (mnemonic: string) => boolean,
  mode: CodeSize,
  vendor: Vendor,
): ReadonlyMap<string, readonly EncodingTemplates[]> {
  const byEncoding = new Map<number, Template[]>();
  const nameOfEncoding = new Map<number, string>();
  const instruction = new Instruction();
  const bytes = new Uint8Array(15);
  const decoder = hostDecoder(vendor, mode);

  const attempt = (
    head: readonly number[],
    partial: Omit<Template, 'encoding' | 'isMemory' | 'isVectorIndex'>,
  ): void => {
    // SIB: [rax + rcx].
    bytes.fill(0x08);
    bytes.set(head);
    if (decode(bytes, 0, decoder, instruction) !== DecodeStatus.ok) return;
    const { encoding } = instruction;
    let list = byEncoding.get(encoding);
    if (list === undefined) {
      const name = upperName(instruction);
      if (!wanted(name) || name in excluded || !cpuidFeatures(encoding).every(hostHas)) return;
      list = [];
      byEncoding.set(encoding, list);
      nameOfEncoding.set(encoding, name);
    }
    if (!isRunnable(instruction, nameOfEncoding.get(encoding)!)) return;
    const modrm = instruction.modrm < 0 ? -1 : partial.modrm;
    // Without ModRM all bytes of it mean the same.
    if (modrm < 0 && partial.modrm !== 4) return;
    list.push({
      ...partial,
      encoding,
      modrm,
      isMemory: modrm >= 0 && modrm < 0xc0,
      isVectorIndex: registerClass(instruction.index) >= RegisterClass.xmm,
    });
  };

  const modrms: number[] = [];
  for (let reg = 0; reg < 8; reg++) {
    modrms.push((reg << 3) | 4);
    for (let rm = 0; rm < 8; rm++) modrms.push(0xc0 | (reg << 3) | rm);
  }
  const maps = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
  for (const prefix of [0, 0x66, 0xf2, 0xf3]) {
    for (const w of mode === 64 ? [0, 1] : [0]) {
      for (let map = 0; map < 4; map++) {
        const head = [...(prefix === 0 ? [] : [prefix]), ...(w === 0 ? [] : [0x48]), ...maps[map]];
        for (let opcode = 0; opcode < 256; opcode++) {
          for (const modrm of modrms)
            attempt([...head, opcode, modrm], {
              space: EncodingSpace.legacy,
              map,
              prefix,
              w,
              l: 0,
              opcode,
              modrm,
            });
        }
      }
    }
  }
  for (const [pp, prefix] of [0, 0x66, 0xf3, 0xf2].entries()) {
    for (const w of [0, 1]) {
      for (const l of [0, 1]) {
        for (const map of [1, 2, 3]) {
          for (let opcode = 0; opcode < 256; opcode++) {
            for (const modrm of modrms) {
              const head = [0xc4, 0xe0 | map, (w << 7) | 0x78 | (l << 2) | pp, opcode, modrm];
              attempt(head, { space: EncodingSpace.vex, map, prefix, w, l, opcode, modrm });
            }
          }
        }
      }
    }
  }
  const found = new Map<string, EncodingTemplates[]>();
  for (const [encoding, list] of byEncoding) {
    if (list.length === 0) continue;
    const name = nameOfEncoding.get(encoding)!;
    let encodings = found.get(name);
    if (encodings === undefined) {
      encodings = [];
      found.set(name, encodings);
    }
    encodings.push({
      memory: list.filter(({ isMemory }) => isMemory),
      register: list.filter(({ isMemory }) => !isMemory),
    });
  }
  return found;
}
