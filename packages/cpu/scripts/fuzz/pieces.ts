import {
  DecodeStatus,
  decode,
  Instruction,
  RegisterClass,
  registerClass,
  registerNumber,
} from '@nest86/decoder';
import { ControlFlow, controlFlow, flagsUndefined, isString } from '@nest86/decoder/info';
import { definitions } from '../../src/semantics/definitions.ts';
import { CaseGenerator } from '../../test/harness/cases.ts';
import { hostDecoder } from '../../test/harness/encodings.ts';
import { hostVendor } from '../../test/harness/host-processor.ts';
import { type HostCase, type HostState, scratchSize } from '../../test/harness/host-state.ts';
import { pick, type Random, randomNumbers } from '../../test/harness/random.ts';

/** An instruction of a program, and what makes it meaningful. */
export interface Piece {
  readonly mnemonic: string;
  readonly code: Uint8Array;
  /** Values of general registers with which memory operands lie in the scratch pages, divisions divide, strings are short. */
  readonly registers: readonly (readonly [number: number, value: bigint])[];
  /** Where a displacement relative to RIP lies, or -1; and what it shall reach. */
  readonly relativeAt: number;
  readonly relativeTarget: number;
  /** Of an immediate in the code; 0 bytes if there is none. */
  readonly immediateAt: number;
  readonly immediateSize: number;
  readonly opcodeAt: number;
  /** Leaves flags undefined. */
  readonly spoilsFlags: boolean;
  /** It names RSP other than by a stack operation. */
  readonly touchesStack: boolean;
}

/** Instructions from which programs of a session choose: few enough forms for the interpreter's table of handlers. */
export interface PiecePool {
  readonly integer: readonly Piece[];
  readonly vector: readonly Piece[];
  readonly x87: readonly Piece[];
  /** States to start with. */
  readonly states: readonly HostState[];
  readonly scratch: Uint8Array;
}

const rax = 0;
const rcx = 1;
const rdx = 2;
const rbx = 3;
const rsp = 4;
const rbp = 5;
const rsi = 6;
const rdi = 7;

let generator: CaseGenerator | undefined;

/** @param size least number of integer instructions: what the native cases give is filled up with common ones */
export function makePool(seed: number, size: number): PiecePool {
  generator ??= new CaseGenerator((name) => Object.hasOwn(definitions, name));
  // Each mnemonic about once.
  const { cases, page } = generator.batch(generator.mnemonics.length, seed);
  const random = randomNumbers(seed ^ 0x5eed);
  const pool = {
    integer: [] as Piece[],
    vector: [] as Piece[],
    x87: [] as Piece[],
    states: cases.slice(0, 64).map(({ before }) => before),
    scratch: page.slice(0, scratchSize),
  };
  for (const one of cases) {
    const piece = pieceOf(one.code, one);
    const list = pool[kindOf(one)];
    if (piece !== undefined && (list !== pool.vector || random() % 3 === 0)) list.push(piece);
  }
  while (pool.integer.length < size) {
    const piece = pieceOf(commonInstruction(random), undefined);
    if (piece !== undefined) pool.integer.push(piece);
  }
  return pool;
}

function kindOf({ mnemonic }: HostCase): 'integer' | 'vector' | 'x87' {
  if (/^F|^EMMS/.test(mnemonic)) return 'x87';
  return generalMnemonic.test(mnemonic) ? 'integer' : 'vector';
}

const generalMnemonic =
  /^(A[ADN][A-Z]?|ADC|ADD|ADCX|ADOX|AND|ANDN|SUB|SBB|CMP|OR|XOR|TEST|INC|DEC|NEG|NOT|MOV|MOVZX|MOVSX|MOVSXD|LEA|C[BWD][A-Z]+|SET.*|CMOV.*|LEAVE|SH[LR]D?|SA[LR]|RO[LR]|RC[LR]|BT[SRC]?|BS[FR]|[TL]ZCNT|CRC32|BSWAP|MOVBE|BLS.*|BZHI|BEXTR|RORX|S[AH][LR]X|I?MUL|I?DIV|MULX|PDEP|PEXT|POPCNT|XCHG|XADD|CMPXCHG.*|XLATB|MOVS[BWQ]|STOS.|LODS.|CMPS[BWQ]|SCAS.|[CS]T[CD]|CMC|LAHF|SAHF|NOP|PUSH|POP)$/;

function pieceOf(code: Uint8Array, one: HostCase | undefined): Piece | undefined {
  const instruction = new Instruction();
  const bytes = new Uint8Array(15);
  bytes.set(code);
  if (decode(bytes, 0, hostDecoder(hostVendor(), 64), instruction) !== DecodeStatus.ok) return undefined;
  const { encoding, base, index, modrm } = instruction;
  if (controlFlow(encoding) !== ControlFlow.next) return undefined;
  const wanted = new Set<number>();
  const isMemory = modrm >= 0 && modrm < 0xc0;
  const isRelative = isMemory && registerClass(base) === RegisterClass.instructionPointer;
  if (isMemory) {
    if (base !== 0 && !isRelative) wanted.add(registerNumber(base));
    if (index !== 0 && registerClass(index) < RegisterClass.xmm) wanted.add(registerNumber(index));
  }
  const mnemonic = one?.mnemonic ?? '';
  if (isString(encoding)) for (const number of [rcx, rsi, rdi]) wanted.add(number);
  if (/^I?DIV$/.test(mnemonic)) for (const number of [rax, rdx]) wanted.add(number);
  if (mnemonic === 'XLATB') wanted.add(rbx);
  if (mnemonic === 'LEAVE') wanted.add(rbp);
  if (/^V?MASKMOV(Q|DQU)$/.test(mnemonic)) wanted.add(rdi);
  if (/^BT[SRC]?$/.test(mnemonic) && isMemory && instruction.immediateSize === 0) wanted.add(instruction.reg);
  const touchesStack =
    wanted.has(rsp) ||
    (modrm >= 0 && (instruction.reg === rsp || (!isMemory && instruction.rm === rsp))) ||
    (modrm < 0 && (instruction.opcode & 7) === rsp) ||
    /^(PUSH|POP|LEAVE|ENTER)/.test(mnemonic);
  return {
    mnemonic,
    code: code.slice(0, instruction.length),
    registers: [...wanted].map((number) => [
      number,
      one === undefined ? 0n : one.before.view.getBigUint64(8 * number, true),
    ]),
    relativeAt: isRelative ? instruction.displacementOffset : -1,
    relativeTarget: isRelative ? (one?.address ?? 0) + instruction.length + instruction.displacement : 0,
    immediateAt: instruction.immediateOffset,
    immediateSize: instruction.immediateSize,
    opcodeAt: instruction.opcodeOffset,
    spoilsFlags: flagsUndefined(encoding) !== 0,
    touchesStack,
  };
}

/** Forms that compilers emit most, between registers: flags, partial registers, widths. */
function commonInstruction(random: Random): Uint8Array {
  const choice = random();
  const bytes: number[] = [];
  const add = (...values: readonly number[]): void => {
    for (const value of values) bytes.push(value & 0xff);
  };
  if ((choice & 7) === 0) add(0x66);
  if ((choice & 0x18) !== 0) add(0x40 | ((choice >>> 5) & 15));
  const modrm = 0xc0 | ((choice >>> 9) & 0x3f);
  const any = random();
  switch ((choice >>> 16) % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
      add(((any & 7) << 3) | ((any >>> 3) & 3), modrm);
      break;
    case 4:
      add(0x83, modrm, pick(random, [0, 1, -1, 0x7f, -0x80, any >>> 8]));
      break;
    case 5:
      add(0x80, modrm, any);
      break;
    case 6:
      add((any & 1) === 0 ? 0xfe : 0xff, modrm & ~0x30);
      break;
    case 7:
      add(0x88 | (any & 3), modrm);
      break;
    case 8:
      add((any & 1) === 0 ? 0x84 : 0x85, modrm);
      break;
    case 9:
      add(0xf6 | (any & 1), (modrm & ~0x38) | 0x10 | (any & 8));
      break;
    case 10:
      add(0xd0 | (any & 3), modrm);
      break;
    case 11:
      add(0xc0 | (any & 1), modrm, pick(random, [0, 1, 7, 8, 31, 32, 63, any >>> 8]));
      break;
    case 12:
      add(0x0f, pick(random, [0xb6, 0xb7, 0xbe, 0xbf]), modrm);
      break;
    case 13:
      add(0x0f, 0x40 | (any & 15), modrm);
      break;
    case 14:
      add(0x0f, 0x90 | (any & 15), modrm);
      break;
    default:
      // LEA with a base and an index.
      add(0x8d, (modrm & 0x38) | 0x44, any, any >>> 8);
  }
  while (bytes.length < 15) add(0);
  return Uint8Array.from(bytes);
}
